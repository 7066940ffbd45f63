"""How often each item was touched, lately more than long ago: the weakest rival, and what breaks ties."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F32
from shoploom.data.sequences import Sequences
from shoploom.ensemble.members.storage import load_state, save_state

RECENT = 0.25


class Popular:
    """Share of all events, and of the newest quarter of them where times are known."""

    name: ClassVar[str] = "popular"

    def __init__(self) -> None:
        self.shares: F32 | None = None

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Count."""
        del seed
        counted = train.items
        if train.time is not None and len(train.time):
            counted = train.items[train.time >= np.quantile(train.time, 1 - RECENT)]
        counts = np.bincount(counted, minlength=train.num_items)
        self.shares = (counts / max(1, counts.sum())).astype(np.float32)

    def score(self, prefixes: Sequences) -> F32:
        """(B, I) the same for everybody."""
        assert self.shares is not None, "fit first"
        return np.tile(self.shares, (len(prefixes), 1))

    def save(self, folder: Path) -> None:
        """The shares."""
        assert self.shares is not None, "fit first"
        save_state(folder, {}, {"shares": self.shares})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved shares."""
        one = cls()
        one.shares = load_state(folder)[1]["shares"]
        return one
