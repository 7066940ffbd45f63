"""What followed an item before: transitions, those after a gap of other items counting less."""

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

REACH = 10
DECAY = 0.6
MOST = 500
"""Successors of an item that are kept."""


class Markov:
    """Rows of a transition matrix, summed over the last items of a prefix.

    A pair at distance d in a training sequence counts 1 / d; the item at place p from the end of a prefix counts
    ``DECAY ** p``. Rows are divided by their sum, so that an item which was seen often does not speak louder.

    References:
        Ludewig and Jannach 2018, "Evaluation of session-based recommendation algorithms", UMUAI, section 3.1
        (sequential rules).
    """

    name: ClassVar[str] = "markov"

    def __init__(self) -> None:
        self.transitions: sp.csr_matrix | None = None

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Count pairs up to ``REACH`` steps apart."""
        del seed
        count, owners = train.num_items, train.owners
        counts = sp.csr_matrix((count, count), dtype=np.float32)
        for gap in range(1, REACH + 1):
            same = owners[gap:] == owners[:-gap]
            places = (train.items[:-gap][same], train.items[gap:][same])
            counts = counts + sp.csr_matrix((np.full(int(same.sum()), 1.0 / gap, np.float32), places), counts.shape)
        totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-9)
        self.transitions = largest((sp.diags(1.0 / totals) @ counts).tocsr().astype(np.float32), MOST)

    def score(self, prefixes: Sequences) -> F32:
        """(B, I) decayed sum of the rows of the last items."""
        assert self.transitions is not None, "fit first"
        asked = prefixes.last(REACH)
        weights = (DECAY**asked.ages).astype(np.float32)
        return np.asarray((weighted_rows(asked, weights) @ self.transitions).toarray(), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """The transitions."""
        assert self.transitions is not None, "fit first"
        save_state(folder, {}, to_arrays(self.transitions))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved transitions."""
        one = cls()
        one.transitions = from_arrays(load_state(folder)[1])
        return one
