"""EASE: each item predicted linearly from all others, in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F32
from shoploom.data.sequences import Sequences
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.next_item.base import weighted_rows

PENALTY = 100.0
MOST_ITEMS = 5000
DECAY = 0.9


class Ease:
    """A linear autoencoder with a zero diagonal over the ``MOST_ITEMS`` most frequent items.

    References:
        Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", arXiv:1905.03375, Eq. (8).
    """

    name: ClassVar[str] = "ease"

    def __init__(self) -> None:
        self.items = np.zeros(0, dtype=np.int64)
        self.weights: F32 | None = None

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Invert the regularised Gram matrix."""
        del seed
        counts = np.bincount(train.items, minlength=train.num_items)
        self.items = np.sort(np.argsort(-counts, kind="stable")[: min(MOST_ITEMS, int((counts > 0).sum()))])
        matrix = weighted_rows(train, np.ones(len(train.items), dtype=np.float32))[:, self.items]
        matrix.data[:] = 1.0
        gram = (matrix.T @ matrix).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += PENALTY
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)[None]
        np.fill_diagonal(weights, 0.0)
        self.weights = weights.astype(np.float32)

    def score(self, prefixes: Sequences) -> F32:
        """(B, I) the decayed prefix times the weights; items beyond the most frequent get 0."""
        assert self.weights is not None, "fit first"
        asked = weighted_rows(prefixes, (DECAY**prefixes.ages).astype(np.float32))[:, self.items]
        found = np.zeros((len(prefixes), prefixes.num_items), dtype=np.float32)
        found[:, self.items] = np.maximum(asked @ self.weights, 0.0)
        return found

    def save(self, folder: Path) -> None:
        """The weights."""
        assert self.weights is not None, "fit first"
        save_state(folder, {}, {"items": self.items, "weights": self.weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved weights."""
        one, (_, arrays) = cls(), load_state(folder)
        one.items, one.weights = arrays["items"], arrays["weights"]
        return one
