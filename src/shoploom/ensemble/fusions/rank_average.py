"""Rank average: the mean of reciprocal-rank credits, every member alike."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Flags
from shoploom.ensemble.fusions.pool import Pool, normalised
from shoploom.ensemble.members.storage import Arrays


class RankAverage:
    """Mean credit of an item's ranks.

    References:
        Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet", SIGIR.
    """

    name: ClassVar[str] = "rank_average"

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Nothing is learned."""

    def score(self, pool: Pool) -> F64:
        """(n,) mean credit."""
        return np.asarray(pool.credit().mean(axis=1), dtype=np.float64)

    def shares(self, pool: Pool) -> F64:
        """(n, M) each member's part of the sum."""
        return normalised(pool.credit().astype(np.float64))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Nothing."""
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """A new one."""
        del settings, arrays
        return cls()
