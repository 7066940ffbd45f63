"""A part of the catalogue with numbers of its own: what models with one column per product are kept small by."""

# Shapes: I items of the shop, n items of the subset, B rows of a block

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32
from shoploom.data.keys import Rows
from shoploom.features.pairs import Pairs


@dataclass(frozen=True)
class ItemSubset:
    """Some items, numbered by their place in ``rows`` (n,), which ascends.

    Example:
        >>> ItemSubset(np.array([2, 5], dtype=np.int32)).place(np.array([5, 4, 9])).tolist()
        [1, -1, -1]
    """

    rows: I32

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def most_bought(cls, pairs: Pairs, *, most: int, buyers: int = 1) -> ItemSubset:
        """The ``most`` items with the most buyers; fewer than ``buyers`` are too few. Equal ones by row."""
        count = np.bincount(pairs.item, minlength=pairs.num_items)
        rows = np.flatnonzero(count >= buyers)
        if len(rows) > most:
            rows = np.sort(rows[np.argsort(-count[rows], kind="stable")[:most]])
        return cls(rows.astype(np.int32))

    def place(self, items: NDArray[np.integer]) -> Rows:
        """Place of each item in the subset, -1 where it is not in it."""
        if not len(self.rows):
            return np.full(len(items), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.rows, items), len(self.rows) - 1)
        return np.where(self.rows[place] == items, place, -1)

    def vectors(self, pairs: Pairs, values: F64, customers: int) -> sp.csr_matrix:
        """(customers, n) float32: a value per pair, pairs outside the subset left out."""
        place = self.place(pairs.item)
        kept = place >= 0
        offsets = np.searchsorted(pairs.row[kept], np.arange(customers + 1))
        data = values[kept].astype(np.float32)
        return sp.csr_matrix((data, place[kept].astype(np.int32), offsets), shape=(customers, len(self)))

    def spread(self, scores: F32, num_items: int) -> F32:
        """(B, num_items) the scores (B, n) in the columns of the shop; 0 elsewhere."""
        inside = self.rows < num_items
        found = np.zeros((len(scores), num_items), dtype=np.float32)
        found[:, self.rows[inside]] = scores[:, inside]
        return found


def strongest(matrix: sp.csr_matrix, most: int) -> sp.csr_matrix:
    """The ``most`` entries of each row that are furthest from 0.

    Row by row: a partition of one row is ten times as quick as sorting all of them at once.
    """
    places, sizes = [], np.minimum(np.diff(matrix.indptr), most)
    size = np.abs(matrix.data)
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        if end - start <= most:
            places.append(np.arange(start, end))
        else:
            chosen = np.argpartition(size[start:end], end - start - most)[end - start - most :]
            places.append(start + np.sort(chosen))
    kept = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], offsets), shape=matrix.shape)
