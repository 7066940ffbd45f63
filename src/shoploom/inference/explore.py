"""Exploration: now and then a place shows a product from further down, with a probability that is known exactly.

Places are drawn rather than whole lists (Plackett-Luce, Gumbel top-k), because the probability of a product at a place
is then a closed formula instead of a sum over orders, so that what is logged is what off-policy estimators divide by.
"""

# Shapes: k places, m products in the pool

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Explored:
    """A list after the draw.

    Args:
        items: What is shown, in order.
        propensities: Probability that just this product stands at just this place, over all requests that ask the
            same in the same state of the shop.
        drawn: Positions from 0 that show a product of the pool.
    """

    items: list[int]
    propensities: list[float]
    drawn: list[int]


def explored(
    items: Sequence[int], pool: Sequence[int], *, share: float, seed: str, fixed: Collection[int] = ()
) -> Explored:
    """Each place that is not fixed shows, with probability e, a product of the pool instead of its own.

    No product is shown twice: the products of the pool are dealt to the n free places in a random order, and a coin per
    place decides whether the dealt product is shown. Where the pool is smaller than n, the deal has blanks, which show
    the place's own product. With w = max(n, m), a product of the pool stands at a free place with probability e / w,
    the place's own with 1 - e m / w, and what is fixed with 1.

    Args:
        items: The best list, item rows.
        pool: What may be shown instead; none of it is in ``items``.
        share: e in [0, 1].
        seed: The same text draws the same list.
        fixed: Positions from 0 that are never changed.

    Example:
        >>> found = explored([1, 2], [3, 4, 5, 6], share=0.2, seed="request 7", fixed=[0])
        >>> found.items[0], found.propensities[0]
        (1, 1.0)
        >>> found.propensities[1] == (0.8 if found.items[1] == 2 else 0.05)
        True
    """
    free = [place for place in range(len(items)) if place not in fixed]
    shown, propensities, drawn = list(items), [1.0] * len(items), []
    width = max(len(free), len(pool))
    draws = np.random.default_rng(int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=16).digest(), "big"))
    dealt = draws.permutation(width)[: len(free)].tolist()
    coins = (draws.random(len(free)) < share).tolist()
    for place, card, coin in zip(free, dealt, coins, strict=True):
        if coin and card < len(pool):
            shown[place], propensities[place] = pool[card], share / width
            drawn.append(place)
        else:
            propensities[place] = 1 - share * len(pool) / width
    return Explored(shown, propensities, drawn)
