"""Who buys what together: low-rank factors of the customer x item matrix, and a customer's score for any item.

A linear autoencoder: a customer's own decayed purchases, projected on the factors and back. Made from what is known
at one moment only; factors that have seen the future flatter every earlier prediction (recall on our own data went
from .094 to .145), so each training cut has its own.
"""

# Shapes: C customers, I items, R rank, E queries, n pairs

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, Flags, Histories, ShopArrays

HALF_LIFE_DAYS = 120.0
POWER = 0.5
LEAST_BUYERS = 3
MOST_ITEMS = 30_000
POOL = 6000


@dataclass(frozen=True)
class Spectral:
    """Item factors as of one moment.

    Args:
        items: (n,) items with factors, sorted.
        factors: (n, R) float32 orthonormal columns.
        damping: (n,) float32 buyers ** -POWER: how much a purchase of a popular item says less.
    """

    items: I32
    factors: F32
    damping: F32

    @classmethod
    def of(cls, shop: ShopArrays, *, rank: int = 48, seed: int = 0) -> Spectral:
        """Factors of everything before ``shop.end``; none for shops too small to have any.

        References:
            Cremonesi et al. 2010, "Performance of Recommender Algorithms on Top-N Recommendation Tasks", RecSys,
            section 3.3 (PureSVD); Halko et al. 2011, arXiv:0909.4061, algorithm 4.4 (randomised range finder).
        """
        lines = shop.lines
        kept = (lines.customer >= 0) & (lines.purchase | lines.goods)
        customer, item, age = lines.customer[kept], lines.item[kept], shop.end - lines.time[kept]
        shape = (len(shop.customers), len(shop.items))
        weight = np.exp2(-age / HALF_LIFE_DAYS).astype(np.float32)
        matrix = sp.csr_matrix((weight, (customer, item)), shape=shape)
        buyers = np.bincount(matrix.indices, minlength=shape[1])
        items = np.flatnonzero(buyers >= LEAST_BUYERS)
        if len(items) > MOST_ITEMS:
            items = np.sort(items[np.argsort(-buyers[items], kind="stable")[:MOST_ITEMS]])
        rank = min(rank, len(items) // 4, int((matrix.getnnz(axis=1) > 0).sum()) // 4)
        damping = np.maximum(buyers[items], 1).astype(np.float32) ** -POWER
        if rank < 2:
            return cls(np.zeros(0, dtype=np.int32), np.zeros((0, 1), dtype=np.float32), np.zeros(0, dtype=np.float32))
        matrix = matrix[:, items]
        matrix.data = np.log1p(matrix.data) * damping[matrix.indices]
        rows = _unit_rows(matrix)
        return cls(items.astype(np.int32), _factors(rows, rank, seed), damping)

    def profile(self, histories: Histories, as_of: F64) -> F32:
        """(E, R) each query's own purchases on the factors."""
        queries = len(histories.offsets) - 1
        lines, row = histories.lines, histories.rows
        place = self._place(lines.item)
        kept = (place >= 0) & (lines.purchase | lines.goods)
        weight = np.exp2(-(as_of[row] - lines.time) / HALF_LIFE_DAYS).astype(np.float32)
        matrix = sp.csr_matrix((weight[kept], (row[kept], place[kept])), shape=(queries, len(self.items)))
        matrix.data = np.log1p(matrix.data) * self.damping[matrix.indices]
        return np.asarray(_unit_rows(matrix) @ self.factors, dtype=np.float32)

    def scores(self, profile: F32, row: NDArray[np.integer], item: NDArray[np.integer]) -> F32:
        """(n,) score of each (query, item) pair, 0 for items without factors."""
        place = self._place(item)
        safe = np.maximum(place, 0)
        if not len(self.items):
            return np.zeros(len(item), dtype=np.float32)
        found = np.einsum("nr,nr->n", profile[row], self._tastes[safe])
        return np.where(place >= 0, found, 0.0).astype(np.float32)

    def best(self, profile: F32, number: int, allowed: Flags | None = None) -> I32:
        """(E, number) items with the highest scores of each query (fewer where there are fewer).

        Only the ``POOL`` items with the most buyers are looked at, as long as enough of them are allowed: others are
        hardly ever among the best, since scores grow with the root of the buyers.
        """
        if not len(self.items) or not number:
            return np.zeros((len(profile), 0), dtype=np.int32)
        rows, tastes = self._pool, self._pool_tastes
        if allowed is not None:
            inside = allowed[self.items[rows]]
            if inside.sum() < min(4 * number, len(rows)):
                rows = np.flatnonzero(allowed[self.items])
                tastes = self._tastes[rows]
            elif not inside.all():
                rows, tastes = rows[inside], tastes[inside]
        number = min(number, len(rows))
        if not number:
            return np.zeros((len(profile), 0), dtype=np.int32)
        scores = profile @ tastes.T
        chosen = np.argpartition(scores, len(rows) - number, axis=1)[:, len(rows) - number :]
        return self.items[rows[chosen]]

    @cached_property
    def _tastes(self) -> F32:
        """(n, R) factors with the damping taken back: a profile times this is a score."""
        return np.ascontiguousarray(self.factors / self.damping[:, None])

    @cached_property
    def _pool(self) -> NDArray[np.int64]:
        return np.sort(np.argsort(self.damping, kind="stable")[:POOL])

    @cached_property
    def _pool_tastes(self) -> F32:
        return self._tastes[self._pool]

    @cached_property
    def _places(self) -> I32:
        places = np.full(int(self.items[-1]) + 1, -1, dtype=np.int32)
        places[self.items] = np.arange(len(self.items))
        return places

    def _place(self, item: NDArray[np.integer]) -> NDArray[np.integer]:
        if not len(self.items):
            return np.full(len(item), -1, dtype=np.int32)
        inside = item < len(self._places)
        return np.where(inside, self._places[np.where(inside, item, 0)], -1)


def _unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    sizes = np.diff(matrix.indptr)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    norm = np.sqrt(np.bincount(owner, matrix.data.astype(np.float64) ** 2, minlength=len(sizes)))
    scaled = (matrix.data / np.maximum(norm, 1e-9)[owner]).astype(np.float32)
    return sp.csr_matrix((scaled, matrix.indices, matrix.indptr), shape=matrix.shape)


def _factors(rows: sp.csr_matrix, rank: int, seed: int) -> F32:
    """Leading right singular vectors: two power iterations from a random start."""
    rng = np.random.default_rng([seed, 6])
    basis = rows.T @ rng.standard_normal((rows.shape[0], rank + 8)).astype(np.float32)
    for _ in range(2):
        basis = rows.T @ (rows @ _orthonormal(basis))
    basis = _orthonormal(basis)
    small = np.asarray(rows @ basis)
    _, _, turn = np.linalg.svd(small.T @ small)
    return np.ascontiguousarray((basis @ turn.T)[:, :rank], dtype=np.float32)


def _orthonormal(basis: NDArray[np.floating]) -> F32:
    """The same space by orthonormal columns, from the small matrix of inner products: ten times as quick as QR.

    Twice, since the first time loses as many digits as the columns are alike.
    """
    for _ in range(2):
        values, turn = np.linalg.eigh(basis.T.astype(np.float64) @ basis)
        kept = values > 1e-12 * values[-1]
        basis = basis @ (turn[:, kept] / np.sqrt(values[kept]))
    return np.asarray(basis, dtype=np.float32)
