"""Selection: in each segment the member that was best there answers alone."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Flags
from shoploom.data.keys import Rows
from shoploom.ensemble.fusions.pool import Pool, normalised
from shoploom.ensemble.members.storage import Arrays

LEAST_CASES = 100
"""Smaller segments get the member that is best over all: their own choice would be luck."""


class Selection:
    """The best member per segment, by the mean discounted gain of the first ten places."""

    name: ClassVar[str] = "selection"

    def __init__(self) -> None:
        self.chosen: Rows = np.zeros(1, dtype=np.int64)

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Compare the members' own lists."""
        del seed
        near = (pool.rank > 0) & (pool.rank <= 10)
        gains = np.where(near, 1.0 / np.log2(pool.rank + 1.0 + (pool.rank == 0)), 0.0) * relevant[:, None]
        found = np.zeros((pool.cases, len(pool.members)))
        np.add.at(found, pool.row, gains)
        segment = np.zeros(pool.cases, dtype=np.int64) if pool.segment is None else pool.segment
        overall = int(found.mean(axis=0).argmax()) if pool.cases else 0
        self.chosen = np.full(max(1, len(pool.segments)), overall, dtype=np.int64)
        for number in range(len(self.chosen)):
            mine = found[segment == number]
            if len(mine) >= LEAST_CASES:
                self.chosen[number] = int(mine.mean(axis=0).argmax())

    def score(self, pool: Pool) -> F64:
        """(n,) credit of the chosen member's rank; where it lists nothing at all, the mean of the others' credits."""
        credit = pool.credit()
        own = credit[np.arange(len(pool)), self._member(pool)]
        return np.asarray(own + 1e-3 * credit.mean(axis=1), dtype=np.float64)

    def shares(self, pool: Pool) -> F64:
        """(n, M) all to the chosen member, or to those that list an item which it does not."""
        credit = pool.credit().astype(np.float64)
        alone = np.zeros_like(credit)
        alone[np.arange(len(pool)), self._member(pool)] = 1.0
        return normalised(np.where((credit * alone).any(axis=1, keepdims=True), credit * alone, credit))

    def _member(self, pool: Pool) -> Rows:
        if pool.segment is None or len(self.chosen) == 1:
            return np.full(len(pool), self.chosen[0])
        return np.asarray(self.chosen[pool.segment[pool.row]])

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The choice."""
        return {"chosen": self.chosen.tolist()}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """The saved choice."""
        del arrays
        one = cls()
        one.chosen = np.array(settings["chosen"], dtype=np.int64)
        return one
