"""Items that the same sequences hold: cosine with shrinkage."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32
from shoploom.data.sequences import Sequences
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.next_item.base import weighted_rows
from shoploom.features.sparse import from_arrays, largest, to_arrays

SHRINKAGE = 5.0
NEAREST = 200
DECAY = 0.8


class ItemKnn:
    """Likeness of i and j: sequences with both, each divided by the root of its length, over sqrt(n_i + s)(n_j + s).

    References:
        Deshpande and Karypis 2004, "Item-based top-N recommendation algorithms", ACM TOIS 22, section 4.1.
    """

    name: ClassVar[str] = "item_knn"

    def __init__(self) -> None:
        self.likeness: sp.csr_matrix | None = None

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Multiply the matrix of sequences and items by itself, the diagonal left out."""
        del seed
        has = weighted_rows(train, np.ones(len(train.items), dtype=np.float32))
        has.data[:] = 1.0
        length = np.maximum(np.diff(has.indptr), 1)
        even = sp.diags((1.0 / np.sqrt(length)).astype(np.float32)) @ has
        together = (even.T @ even).tocsr()
        together.setdiag(0.0)
        together.eliminate_zeros()
        norm = sp.diags(1.0 / np.sqrt(np.asarray(has.sum(axis=0)).ravel() + SHRINKAGE))
        self.likeness = largest((norm @ together @ norm).tocsr().astype(np.float32), NEAREST)

    def score(self, prefixes: Sequences) -> F32:
        """(B, I) decayed sum of the rows of the prefix's items."""
        assert self.likeness is not None, "fit first"
        weights = (DECAY**prefixes.ages).astype(np.float32)
        return np.asarray((weighted_rows(prefixes, weights) @ self.likeness).toarray(), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """The nearest items of every item."""
        assert self.likeness is not None, "fit first"
        save_state(folder, {}, to_arrays(self.likeness))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved likeness."""
        one = cls()
        one.likeness = from_arrays(load_state(folder)[1])
        return one
