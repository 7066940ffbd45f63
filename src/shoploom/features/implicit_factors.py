"""Factors of customers and products from implicit feedback, by alternating least squares in batches."""

# Shapes: n rows to solve, m rows of the fixed side, R factors, s rows of a batch, L entries of a row (padded)

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32
from shoploom.data.keys import Rows

BATCH_NUMBERS: Final = 4_000_000
"""Numbers of one padded batch: bounds memory at some tens of megabytes."""


@dataclass(frozen=True)
class FixedSide:
    """The factors (m, R) that do not move while the other side is solved, and what all solutions share.

    Args:
        factors: (m, R) float32.
        gram: (R, R) factors' Gram matrix plus the penalty on the diagonal.
        inverse: (R, R) inverse of ``gram``.
    """

    factors: F32
    gram: F32
    inverse: F32

    @classmethod
    def of(cls, factors: F32, penalty: float) -> FixedSide:
        """Prepare a side for ``solve``."""
        gram = (factors.T @ factors).astype(np.float64) + penalty * np.eye(factors.shape[1])
        return cls(factors, gram.astype(np.float32), np.linalg.inv(gram).astype(np.float32))

    def solve(self, weights: sp.csr_matrix) -> F32:
        """(n, R) the best factors of rows whose entries were preferred with confidence 1 + weight, all others with 1.

        Rows with at most R entries are solved in as many unknowns as they have entries (Woodbury), others in R.

        Args:
            weights: (n, m) weights above 0.
        """
        found = np.zeros((weights.shape[0], self.factors.shape[1]), dtype=np.float32)
        for rows, length in _batches(np.diff(weights.indptr), self.factors.shape[1]):
            places = weights.indptr[rows][:, None] + np.arange(length)
            inside = places < weights.indptr[rows + 1][:, None]
            places = np.where(inside, places, 0)
            own_sLR = self.factors[weights.indices[places]] * inside[:, :, None]
            weight_sL = np.where(inside, weights.data[places], 0).astype(np.float32)
            solver = self._few if length <= self.factors.shape[1] else self._many
            found[rows] = solver(own_sLR, weight_sL, inside)
        return found

    def _few(self, own_sLR: F32, weight_sL: F32, inside: np.ndarray) -> F32:
        spread_sLR = own_sLR @ self.inverse
        kernel = spread_sLR @ own_sLR.transpose(0, 2, 1)
        safe = np.where(inside, weight_sL, 1.0).astype(np.float32)
        diagonal = np.arange(kernel.shape[1])
        kernel[:, diagonal, diagonal] += 1.0 / safe
        right = np.where(inside, (1.0 + weight_sL) / safe, 0.0).astype(np.float32)
        share = np.linalg.solve(kernel, right[:, :, None])
        return np.asarray((spread_sLR.transpose(0, 2, 1) @ share)[:, :, 0])

    def _many(self, own_sLR: F32, weight_sL: F32, inside: np.ndarray) -> F32:
        across = own_sLR.transpose(0, 2, 1)
        left = self.gram + across @ (own_sLR * weight_sL[:, :, None])
        right = across @ ((1.0 + weight_sL) * inside)[:, :, None].astype(np.float32)
        return np.asarray(np.linalg.solve(left, right)[:, :, 0])


def factorise(weights: sp.csr_matrix, *, rank: int, penalty: float, rounds: int, seed: int) -> F32:
    """(m, R) factors of the columns of (n, m) weights.

    References:
        Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets", ICDM, Eq. (4) and (5).
    """
    draws = np.random.default_rng([seed, 7])
    columns = (0.1 * draws.standard_normal((weights.shape[1], rank))).astype(np.float32)
    across = weights.T.tocsr()
    for _ in range(rounds):
        rows = FixedSide.of(columns, penalty).solve(weights)
        columns = FixedSide.of(rows, penalty).solve(across)
    return columns


def _batches(sizes: Rows, rank: int) -> Iterator[tuple[Rows, int]]:
    """Rows of like size, and the length to which they are padded; rows without entries are in no batch."""
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    start = 0
    while start < len(order):
        length = int(sizes[order[start]])
        length += length // 4  # a quarter of padding at most
        if sizes[order[start]] <= rank:
            length = min(length, rank)
        most = max(1, BATCH_NUMBERS // (length * max(length if length <= rank else 0, rank)))
        stop = min(int(np.searchsorted(sizes[order], length, side="right")), start + most)
        yield order[start:stop], int(sizes[order[stop - 1]])
        start = stop
