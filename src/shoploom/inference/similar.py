"""Which products are like a product: by the model's item vectors, else by the customers who bought both."""

# Shapes: I items, D vector width

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from shoploom.data.arrays import F32, F64, Flags, ShopArrays
from shoploom.data.keys import distinct
from shoploom.inference.facts import Facts


@runtime_checkable
class HasItemVectors(Protocol):
    """A member that can place every product in one space."""

    def item_vectors(self, shop: ShopArrays) -> F32:
        """(I, D) one vector per item."""
        ...


@dataclass(frozen=True)
class Similar:
    """Rows of similar items, best first, with scores in [-1, 1]; ``basis`` says what they were compared by."""

    items: list[int]
    scores: list[float]
    basis: str


class SimilarItems:
    """Similar products of one shop.

    Args:
        facts: Who bought what.
        source: A member with item vectors; None: co-purchases are all there is.
    """

    def __init__(self, facts: Facts, source: HasItemVectors | None = None) -> None:
        self._facts = facts
        self._source = source
        self._made: tuple[F32, F32] | None = None  # the member's vectors, and the same with length 1
        self.basis = "customers who bought both" if source is None else "learned item vectors"

    def to(self, shop: ShopArrays, item: int, *, k: int, allowed: Flags) -> Similar:
        """The ``k`` allowed items that are most like an item; it is never in its own list."""
        if self._source is not None:
            unit = self._vectors(shop)
            scores = (unit @ unit[item]).astype(np.float64)
        else:
            scores = self.together(item, len(allowed))
        usable = allowed.copy()
        usable[item] = False
        if self._source is None:
            usable &= scores > 0
        return _best(scores, usable, k, self.basis)

    def vectors(self, shop: ShopArrays) -> F32 | None:
        """(I, D) vectors of length 1; None where the version has no item vectors. The first call may take seconds."""
        return None if self._source is None else self._vectors(shop)

    def together(self, item: int, count: int) -> F64:
        """(count,) cosine of the sets of buyers: shared buyers over the root of the product of both counts."""
        facts, lines = self._facts, self._facts.lines
        buyers = facts.customers_of(item)
        starts, ends = facts.offsets[buyers], facts.offsets[buyers + 1]
        rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)] or [np.arange(0)])
        rows = rows[lines.purchase[rows]].astype(np.int64)
        pairs = distinct(lines.customer[rows].astype(np.int64) * facts.num_items + lines.item[rows])
        shared = np.bincount(pairs % max(1, facts.num_items), minlength=count).astype(np.float64)[:count]
        sizes = np.zeros(count)
        sizes[: facts.num_items] = facts.num_customers_of[:count]
        return np.asarray(shared / np.sqrt(np.maximum(sizes, 1) * max(1, len(buyers))), dtype=np.float64)

    def _vectors(self, shop: ShopArrays) -> F32:
        assert self._source is not None
        vectors, made = self._source.item_vectors(shop), self._made
        if made is None or not _is_same(vectors, made[0]):
            made = vectors, vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
            self._made = made
        return made[1]


def _is_same(one: F32, other: F32) -> bool:
    """Whether two arrays are the same memory; a source that kept its vectors gives them out again."""
    return one.shape == other.shape and one.ctypes.data == other.ctypes.data


def _best(scores: F64, usable: Flags, k: int, basis: str) -> Similar:
    rows = np.flatnonzero(usable)
    k = min(k, len(rows))
    if not k:
        return Similar([], [], basis)
    top = rows[np.argpartition(-scores[rows], k - 1)[:k]]
    top = top[np.argsort(-scores[top], kind="stable")]
    return Similar(top.tolist(), [round(float(one), 4) for one in scores[top]], basis)
