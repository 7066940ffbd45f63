"""Voting: an item has a vote of every member that puts it among its first places."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Flags
from shoploom.ensemble.fusions.pool import Pool, normalised
from shoploom.ensemble.members.storage import Arrays

PLACES = 20


class Voting:
    """Number of votes; among equals the mean credit for ranks decides, which is always less than a vote."""

    name: ClassVar[str] = "voting"

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Nothing is learned."""

    def score(self, pool: Pool) -> F64:
        """(n,) votes plus mean credit."""
        return np.asarray(_votes(pool).sum(axis=1) + pool.credit().mean(axis=1), dtype=np.float64)

    def shares(self, pool: Pool) -> F64:
        """(n, M) each vote counts alike."""
        return normalised(_votes(pool))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Nothing."""
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """A new one."""
        del settings, arrays
        return cls()


def _votes(pool: Pool) -> F64:
    return np.asarray((pool.rank > 0) & (pool.rank <= PLACES), dtype=np.float64)
