"""A personal order for any products, new ones included: how near they are to what somebody bought."""

# Shapes: I items, D vector width, n items to be ordered, m liked items

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoploom.data import schema
from shoploom.data.arrays import F32, F64, Lines
from shoploom.data.keys import Rows
from shoploom.inference.catalogue import Catalogue

HALF_LIFE_DAYS = 120.0
MOST_LIKED = 300
INTEREST = {"view": 0.2, "click": 0.2, "add_to_cart": 0.5, schema.PURCHASE: 1.0, "rating": 0.5}
_WEIGHTS = np.array([INTEREST.get(kind, 0.0) for kind in schema.EVENT_TYPES])


@dataclass(frozen=True)
class Liked:
    """(m,) Products that say what somebody likes, and how much each says."""

    items: Rows
    weights: F64

    @classmethod
    def by(cls, own: Lines, when: float) -> Liked:
        """Of a customer's history: decayed events, purchases most."""
        weight = _WEIGHTS[own.kind] * np.exp2(-np.maximum(0.0, when - own.time) / HALF_LIFE_DAYS)
        items, place = np.unique(own.item[weight > 0], return_inverse=True)
        total = np.bincount(place, weight[weight > 0], minlength=len(items)).astype(np.float64)
        return cls(items.astype(np.int64), total).strongest()

    def strongest(self) -> Liked:
        """Those that say most, so that an answer takes bounded time."""
        order = np.argsort(-self.weights, kind="stable")[:MOST_LIKED]
        return Liked(self.items[order], self.weights[order])


@dataclass(frozen=True)
class Near:
    """(n,) How near products are to what is liked, and the liked product that each is nearest to, -1 for none."""

    scores: F64
    because: Rows


def nearness(wanted: Rows, liked: Liked, *, unit: F32 | None, catalogue: Catalogue) -> Near | None:
    """How near some products are to those that are liked.

    By the cosine with the nearest of them. For 600 customers of a grocer and 2,660 products that came in the last
    four weeks, a share of .049 of what they bought of these was among the first 20 by that, .033 by categories, .009
    by the cosine with the mean of all liked products, .008 by chance (the vectors had seen these sales).

    Args:
        wanted: (n,) products to be ordered.
        liked: Products that say what is liked.
        unit: (I, D) vectors of length 1; a new product's come from its attributes. None: finest categories speak.
        catalogue: Names the categories.

    Returns:
        Cosines, or shares of the categories; None if nothing is known of either side.
    """
    if not len(liked.items) or not len(wanted):
        return None
    if unit is not None and max(int(wanted.max()), int(liked.items.max())) < len(unit):
        likeness = unit[wanted] @ unit[liked.items].T
        best = likeness.argmax(axis=1)
        return Near(likeness[np.arange(len(wanted)), best].astype(np.float64), liked.items[best])
    shares: dict[str, float] = {}
    for item, weight in zip(liked.items.tolist(), liked.weights.tolist(), strict=True):
        if name := catalogue.finest(item):
            shares[name] = shares.get(name, 0.0) + weight
    if not shares:
        return None
    total = sum(shares.values())
    scores = np.array([shares.get(catalogue.finest(item) or "", 0.0) / total for item in wanted.tolist()])
    return Near(scores, np.full(len(wanted), -1))
