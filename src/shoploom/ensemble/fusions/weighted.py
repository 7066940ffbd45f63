"""Weighted average: one weight per member, the same for everybody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Flags
from shoploom.ensemble.fusions.gate import Gate
from shoploom.ensemble.fusions.pool import Pool
from shoploom.ensemble.members.storage import Arrays


class Weighted:
    """A gate that sees no context: weights over members add up to 1 and are learned by the same loss."""

    name: ClassVar[str] = "weighted"

    def __init__(self) -> None:
        self.gate = Gate()

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Learn the weights."""
        self.gate.fit(_plain(pool), relevant, seed=seed)

    def score(self, pool: Pool) -> F64:
        """(n,) weighted mean of the members' opinions."""
        return self.gate.score(_plain(pool))

    def shares(self, pool: Pool) -> F64:
        """(n, M) as the gate's."""
        return self.gate.shares(_plain(pool))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The gate's."""
        return self.gate.state()

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """The saved weights."""
        one = cls()
        one.gate = Gate.from_state(settings, arrays)
        return one


def _plain(pool: Pool) -> Pool:
    return replace(pool, names=(), context=np.zeros((len(pool), 0), dtype=np.float32))
