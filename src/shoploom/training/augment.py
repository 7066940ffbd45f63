"""More examples from the ones there are: parts, gaps and swaps of sequences and of texts that mean the same.

Each function takes one example and a generator and returns a new one; nothing is changed in place. ``two_views`` pairs
them for a contrastive loss.
"""

# Shapes: T length of a sequence, B batch, D width

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shoploom.errors import UsageError, unknown_name

Ids = NDArray[np.integer[Any]]


def crop(items: Ids, draws: Generator, *, share: float = 0.6) -> Ids:
    """A part in a row of ⌊share · T⌋ items (one at least), from anywhere.

    References:
        Xie et al. 2022, "Contrastive Learning for Sequential Recommendation" (CL4SRec), arXiv:2010.14395, Eq. (4).
    """
    _check("share", share)
    length = max(1, int(share * len(items))) if len(items) else 0
    start = int(draws.integers(0, len(items) - length + 1)) if len(items) else 0
    return items[start : start + length].copy()


def mask(items: Ids, draws: Generator, *, share: float = 0.3, token: int = 0) -> Ids:
    """⌊share · T⌋ items, drawn without replacement, become ``token``.

    References:
        CL4SRec, Eq. (5).
    """
    _check("share", share)
    found = items.copy()
    found[draws.choice(len(items), int(share * len(items)), replace=False)] = token
    return found


def reorder(items: Ids, draws: Generator, *, share: float = 0.6) -> Ids:
    """A part in a row of ⌊share · T⌋ items is shuffled: the order within a short time often means nothing.

    References:
        CL4SRec, Eq. (6).
    """
    _check("share", share)
    length = int(share * len(items))
    start = int(draws.integers(0, len(items) - length + 1))
    found = items.copy()
    found[start : start + length] = draws.permutation(items[start : start + length])
    return found


SEQUENCES: Final[Mapping[str, Callable[..., Ids]]] = {"crop": crop, "mask": mask, "reorder": reorder}


def two_views(
    items: Ids, draws: Generator, *, kinds: Sequence[str] = tuple(SEQUENCES), token: int = 0
) -> tuple[Ids, Ids]:
    """Two different looks at one sequence, each by a method drawn from ``kinds``.

    Raises:
        UsageError: If a kind is unknown.
    """
    for kind in kinds:
        if kind not in SEQUENCES:
            raise UsageError(unknown_name("augmentation", kind, SEQUENCES))

    def view() -> Ids:
        kind = kinds[int(draws.integers(len(kinds)))]
        return SEQUENCES[kind](items, draws, **({"token": token} if kind == "mask" else {}))

    return view(), view()


def contrastive_loss(one_BD: Tensor, other_BD: Tensor, *, temperature: float = 0.1) -> Tensor:
    """How hard it is to find each example's other view among all 2B − 1 others by cosine; a scalar in nats.

    References:
        Chen et al. 2020, "SimCLR", arXiv:2002.05709, Eq. (1) (NT-Xent); CL4SRec, Eq. (3), uses the same.
    """
    both = functional.normalize(torch.cat([one_BD, other_BD]), dim=1)
    size = len(one_BD)
    logits = (both @ both.T / temperature).masked_fill(torch.eye(2 * size, dtype=torch.bool, device=both.device), -1e9)
    partner = torch.arange(2 * size, device=both.device).roll(size)
    return functional.cross_entropy(logits, partner)


# ------------------------------------------------------------------------------------------------------- texts


def drop_tokens(text: str, draws: Generator, *, share: float = 0.1) -> str:
    """Each word is left out with probability ``share``; one word always stays.

    References:
        Wei and Zou 2019, "EDA", arXiv:1901.11196, section 2 (random deletion).
    """
    _check("share", share)
    words = text.split()
    kept = [word for word, draw in zip(words, draws.random(len(words)), strict=True) if draw >= share]
    return " ".join(kept or (words[int(draws.integers(len(words)))] for _ in words[:1]))


def swap_tokens(text: str, draws: Generator, *, share: float = 0.1) -> str:
    """⌈share · words⌉ times two words that stand side by side change places.

    Neighbours rather than any two words as in EDA: titles of products keep their phrases nearly in place.
    """
    _check("share", share)
    words = text.split()
    if len(words) < 2:
        return text
    for _ in range(int(np.ceil(share * len(words)))):
        place = int(draws.integers(len(words) - 1))
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def drop_ngrams(buckets: Sequence[Ids], draws: Generator, *, share: float = 0.1) -> list[Ids]:
    """Hashed n-grams of several texts, each left out with probability ``share``; a text never loses all of them.

    Cheaper than making the n-grams anew, and the typos of customers look like it.
    """
    _check("share", share)
    found = []
    for one in buckets:
        kept = draws.random(len(one)) >= share
        if len(one) and not kept.any():
            kept[int(draws.integers(len(one)))] = True
        found.append(one[kept])
    return found


def _check(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is {value}; wanted a number from 0 to 1")
