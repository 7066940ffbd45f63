"""Customers as sparse vectors over products: tamed counts, and the limits that keep learning from them quick."""

# Shapes: P pairs (customer, item), B customers, n columns

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F64
from shoploom.features.neighbours import HALF_LIFE_COLUMN
from shoploom.features.pairs import Pairs


def tamed_counts(pairs: Pairs, *, most: int | None = None) -> F64:
    """(P,) log(1 + orders with the product, halved every 90 days).

    Args:
        pairs: Of a batch.
        most: Of each customer only so many of the largest; the others are 0. None keeps all.
    """
    values = np.log1p(pairs.decays[:, HALF_LIFE_COLUMN])
    if most is None:
        return np.asarray(values)
    found = np.zeros(len(values))
    kept = pairs.tops(most, values)
    found[kept] = values[kept]
    return found


def of_unit_length(pairs: Pairs, values: F64) -> F64:
    """(P,) the values over the length of their customer's vector."""
    length = np.sqrt(np.bincount(pairs.row, values**2, len(pairs.orders.count)))
    return np.asarray(values / np.maximum(length, 1e-9)[pairs.row])


def some_rows(vectors: sp.csr_matrix, most: int, seed: int) -> sp.csr_matrix:
    """Rows that are not empty, without stored zeros; at most ``most``, drawn by ``seed``."""
    vectors.eliminate_zeros()
    rows = np.flatnonzero(np.diff(vectors.indptr))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return vectors[rows]
