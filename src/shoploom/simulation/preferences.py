"""Preferences from purchases: which shelf a customer needs, and which of its products the customer likes.

Both are hierarchical: a customer with few purchases is drawn to the average, a product with few buyers to its shelf.
"""

# Shapes: C customers, I items, S shelves, D rank, n purchases

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Rows = NDArray[np.integer]

KAPPAS = tuple(float(2**power) for power in range(1, 15))
"""What is tried for how many purchases of every customer the average counts as."""
KAPPA_ITEM = 10.0
"""The shelf's mean counts as so many buyers of every product."""
ALPHA = 0.1
"""Every product counts as if it had been bought so many times."""


@dataclass(frozen=True)
class Needs:
    """Which shelf a customer looks at: P(s | c) = (n_cs + kappa P(s)) / (n_c + kappa), n purchases, P(s) of all.

    Args:
        kappa: The average counts as so many purchases; chosen by leaving out one purchase at a time.
        overall: (S,) P(s), above 0, with the sum 1.
        offsets: (C + 1,) the shelves that customer c bought from are ``shelf[offsets[c]:offsets[c + 1]]``.
        shelf: (n,) shelves by customer.
        count: (n,) purchases.
    """

    kappa: float
    overall: F64
    offsets: NDArray[np.int64]
    shelf: NDArray[np.int32]
    count: F64

    @classmethod
    def fit(cls, customer: Rows, shelf: Rows, num_customers: int, sizes: Rows) -> Needs:
        """From purchases, one row each; ``sizes`` (S,) are products per shelf."""
        shape = (num_customers, len(sizes))
        counts = sp.csr_matrix((np.ones(len(customer)), (customer, shelf)), shape=shape)
        counts.sort_indices()
        overall = np.asarray(counts.sum(axis=0)).ravel() + ALPHA * sizes
        overall /= overall.sum()
        return cls(
            _kappa(counts, overall),
            overall,
            counts.indptr.astype(np.int64),
            counts.indices.astype(np.int32),
            counts.data.astype(np.float64),
        )

    def probability(self, customer: int) -> F64:
        """(S,) P(s | c)."""
        own = slice(int(self.offsets[customer]), int(self.offsets[customer + 1]))
        found = self.kappa * self.overall
        found[self.shelf[own]] += self.count[own]
        return np.asarray(found / found.sum())

    def draw(self, customer: Rows, draws: np.random.Generator) -> NDArray[np.int32]:
        """A shelf per row. Own and average needs are a mixture: one number decides which, another draws from it."""
        first, last = self._cumulative[self.offsets[customer]], self._cumulative[self.offsets[customer + 1]]
        own = draws.random(len(customer)) * (last - first + self.kappa) < last - first
        chance = draws.random(len(customer))
        average = np.searchsorted(self._cumulative_overall, chance, side="right")
        place = np.searchsorted(self._cumulative, first + chance * (last - first), side="right") - 1
        place = np.minimum(place, np.maximum(self.offsets[customer + 1] - 1, 0))
        mine = self.shelf[place] if len(self.shelf) else average
        return np.where(own, mine, np.minimum(average, len(self.overall) - 1)).astype(np.int32)

    @cached_property
    def _cumulative(self) -> F64:
        return np.concatenate([[0.0], np.cumsum(self.count)])

    @cached_property
    def _cumulative_overall(self) -> F64:
        return np.cumsum(self.overall)


def _kappa(counts: sp.csr_matrix, overall: F64) -> float:
    """The most likely one of ``KAPPAS`` when each purchase is foretold by all others of its customer."""
    count, average = counts.data, overall[counts.indices]
    others = np.repeat(np.asarray(counts.sum(axis=1)).ravel(), np.diff(counts.indptr)) - 1
    told = [float(count @ np.log((count - 1 + k * average) / (others + k))) for k in KAPPAS]
    return KAPPAS[int(np.argmax(told))]


def fit_affinity(
    customer: Rows, item: Rows, num_customers: int, shelf_of: Rows, *, rank: int, seed: int
) -> tuple[F32, F32]:
    """Factors whose inner product is how much a customer prefers a product to the others on its shelf.

    A truncated singular value decomposition of log(1 + purchases) / sqrt(buyers of the product), with rows of length 1.
    A product's factor is the mean of its own direction, weighted by its buyers, and that of its shelf, weighted
    ``KAPPA_ITEM``; the shelf's mean is then taken off, so that a product nobody bought is liked by all alike.

    Args:
        customer: (n,) of each purchase.
        item: (n,) of each purchase.
        num_customers: C.
        shelf_of: (I,) shelf of each item.
        rank: D at most.
        seed: Of the randomised range finder.

    Returns:
        (C, D) unit rows, zero for customers without purchases, and (I, D).

    References:
        Cremonesi et al. 2010, "Performance of Recommender Algorithms on Top-N Recommendation Tasks", RecSys, section
        3.3 (PureSVD); Halko et al. 2011, arXiv:0909.4061, algorithm 4.4.
    """
    num_items = len(shelf_of)
    matrix = sp.csr_matrix(
        (np.ones(len(customer), dtype=np.float32), (customer, item)), shape=(num_customers, num_items)
    )
    buyers = np.bincount(matrix.indices, minlength=num_items)
    rank = min(rank, min(matrix.shape) - 1)
    if rank < 1 or not matrix.nnz:
        return np.zeros((num_customers, 1), dtype=np.float32), np.zeros((num_items, 1), dtype=np.float32)
    matrix.data = np.log1p(matrix.data) / np.sqrt(buyers[matrix.indices]).astype(np.float32)
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix = sp.diags(1 / np.maximum(length, 1e-12)).astype(np.float32) @ matrix
    left, values, right = randomized_svd(matrix, rank, n_iter=4, random_state=seed % 2**32)
    own = _unit(right.T)
    shelves = sp.csr_matrix((np.ones(num_items), (shelf_of, np.arange(num_items))))
    weight = buyers / (buyers + KAPPA_ITEM)
    mass = np.maximum(shelves @ weight, 1e-12)
    mean = (shelves @ (own * weight[:, None])) / mass[:, None]
    # weight x own + (1 - weight) x mean, and off with the mean
    return _unit(left * values), ((own - mean[shelf_of]) * weight[:, None]).astype(np.float32)


def _unit(rows: NDArray[np.floating]) -> F32:
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)
