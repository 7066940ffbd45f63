"""Similar customers: what those with the nearest decayed baskets buy.

Each customer is a sparse vector over items: the decayed counts, the largest scaled to 1. Nearness is the cosine.
"""

# Shapes: N reference customers, I items, B customers of a batch

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64
from shoploom.features.pairs import Pairs

HALF_LIFE_COLUMN = 2  # 90 days of features.pairs.HALF_LIVES
BLOCK = 500


@dataclass(frozen=True)
class Block:
    """Scores of consecutive customers of a batch: ``scores`` (rows, I) dense, the first row being ``start``."""

    start: int
    scores: F32


class Neighbours:
    """Reference customers to be compared with.

    Args:
        vectors: (N, I) csr, largest value of each row 1.
        customers: (N,) their rows in the shop, so that nobody is a neighbour of oneself.
        count: How many neighbours speak.

    References:
        Hu et al. 2020, "Modeling personalized item frequency information for next-basket recommendation",
        arXiv:2006.00556, Eq. (5): the neighbours' mean. Decay is by days here, not by order groups, and
        neighbours are weighed by their cosine.
    """

    def __init__(self, vectors: sp.csr_matrix, customers: NDArray[np.int64], *, count: int = 300) -> None:
        self.vectors = vectors
        self.customers = customers
        self.count = count
        self._unit = unit_rows(vectors)
        self._by_item = self._unit.T.tocsr()
        self._place = {int(row): place for place, row in enumerate(customers)}

    @classmethod
    def fit(cls, pairs: Pairs, customers: NDArray[np.int64], *, most: int = 5000, seed: int = 0) -> Neighbours:
        """Reference customers from the pairs of a batch; at most ``most`` of them, drawn by ``seed``."""
        vectors = vectors_of(pairs, len(customers))
        chosen = np.flatnonzero(np.diff(vectors.indptr) > 0)
        if len(chosen) > most:
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, most, replace=False))
        return cls(vectors[chosen], customers[chosen])

    def weights(self, batch: sp.csr_matrix, customers: NDArray[np.integer]) -> F32:
        """(B, N) cosines of the nearest neighbours, adding up to 1 (or 0 without any)."""
        likeness = (unit_rows(batch) @ self._by_item).toarray()
        for row, customer in enumerate(customers):
            place = self._place.get(int(customer))
            if place is not None:
                likeness[row, place] = 0.0
        kept = min(self.count, likeness.shape[1])
        if 0 < kept < likeness.shape[1]:
            limit = np.partition(likeness, -kept, axis=1)[:, -kept]
            likeness[likeness < limit[:, None]] = 0.0
        likeness /= np.maximum(likeness.sum(axis=1, keepdims=True), 1e-9)
        return np.asarray(likeness, dtype=np.float32)

    def blocks(self, pairs: Pairs, customers: NDArray[np.integer]) -> Iterator[Block]:
        """What the neighbours of each customer of a batch buy, block by block."""
        batch = _widened(vectors_of(pairs, len(customers)), self.vectors.shape[1])
        for start in range(0, len(customers), BLOCK):
            weights = self.weights(batch[start : start + BLOCK], customers[start : start + BLOCK])
            if len(weights) == 1:
                near = np.flatnonzero(weights[0])
                scores = (self.vectors[near].T @ weights[0, near])[None]
            else:
                scores = (self.vectors.T @ weights.T).T
            yield Block(start, np.asarray(scores, dtype=np.float32))


def vectors_of(pairs: Pairs, count: int) -> sp.csr_matrix:
    """(count, I) decayed counts of a batch, the largest of each customer 1."""
    values: F64 = pairs.decays[:, HALF_LIFE_COLUMN]
    largest = np.full(count, 1e-9)
    np.maximum.at(largest, pairs.row, values)
    offsets = np.searchsorted(pairs.row, np.arange(count + 1))
    scaled = (values / largest[pairs.row]).astype(np.float32)
    return sp.csr_matrix((scaled, pairs.item.astype(np.int32), offsets), shape=(count, pairs.num_items))


def unit_rows(vectors: sp.csr_matrix) -> sp.csr_matrix:
    """The same rows with length 1."""
    sizes = np.diff(vectors.indptr)
    owner = np.repeat(np.arange(vectors.shape[0]), sizes)
    norms = np.sqrt(np.bincount(owner, vectors.data.astype(np.float64) ** 2, minlength=vectors.shape[0]))
    data = vectors.data / np.maximum(norms, 1e-9)[owner]
    return sp.csr_matrix((data.astype(np.float32), vectors.indices, vectors.indptr), shape=vectors.shape)


def _widened(vectors: sp.csr_matrix, width: int) -> sp.csr_matrix:
    """The same rows over ``width`` items; items that came later have no neighbours' opinion."""
    if vectors.shape[1] == width:
        return vectors
    if vectors.shape[1] > width:
        return vectors[:, :width]
    return sp.csr_matrix((vectors.data, vectors.indices, vectors.indptr), shape=(vectors.shape[0], width))
