"""What the most similar earlier sequences went on with."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, F64
from shoploom.data.sequences import Sequences
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.next_item.base import weighted_rows
from shoploom.features.sparse import from_arrays, largest, to_arrays

NEAREST = 500
REACH = 20
HALF_LIFE_DAYS = 30.0
MOST = 200_000
"""Earlier sequences that are kept, the latest ones."""


class SessionKnn:
    """Sequences that share late items of the prefix, most of all rare ones.

    The likeness of an earlier sequence is the sum over shared items of the item's inverse frequency times the weight
    of its place in the prefix, which falls linearly from the end, halved for every ``HALF_LIFE_DAYS`` of its age.

    References:
        Ludewig and Jannach 2018, UMUAI, section 3.2 (V-SkNN: linear weights of the prefix, idf of shared items).
    """

    name: ClassVar[str] = "session_knn"

    def __init__(self) -> None:
        self.has: sp.csr_matrix | None = None
        self.idf: F64 = np.zeros(0)
        self.fresh: F32 = np.zeros(0, dtype=np.float32)
        self._by_item: sp.csr_matrix | None = None

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Keep the sequences, by item."""
        del seed
        if len(train) > MOST:
            train = train.take(np.arange(len(train) - MOST, len(train)))
        has = weighted_rows(train, np.ones(len(train.items), dtype=np.float32))
        has.data[:] = 1.0
        frequency = np.asarray(has.sum(axis=0)).ravel()
        self.has, self._by_item = has, has.T.tocsr()
        self.idf = np.log(max(len(train), 2) / np.maximum(frequency, 1.0))
        self.fresh = np.ones(len(train), dtype=np.float32)
        if train.time is not None and len(train.time):
            newest = np.full(len(train), train.time.min())
            np.maximum.at(newest, train.owners, train.time)
            self.fresh = np.exp2((newest - newest.max()) / HALF_LIFE_DAYS).astype(np.float32)

    def score(self, prefixes: Sequences) -> F32:
        """(B, I) sum over the nearest sequences of likeness times what they hold."""
        assert self.has is not None, "fit first"
        assert self._by_item is not None
        asked = prefixes.last(REACH)
        lengths = np.maximum(np.repeat(asked.lengths, asked.lengths), 1)
        place = 1.0 - asked.ages / lengths
        likeness = weighted_rows(asked, (place * self.idf[asked.items]).astype(np.float32)) @ self._by_item
        likeness.data *= self.fresh[likeness.indices]
        return np.asarray((largest(likeness.tocsr(), NEAREST) @ self.has).toarray() * self.idf, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """The sequences."""
        assert self.has is not None, "fit first"
        save_state(folder, {}, to_arrays(self.has) | {"idf": self.idf, "fresh": self.fresh})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved sequences."""
        one, (_, arrays) = cls(), load_state(folder)
        one.has, one.idf, one.fresh = from_arrays(arrays), arrays["idf"], arrays["fresh"]
        one._by_item = one.has.T.tocsr()
        return one
