"""What every fusion does: learn from members' lists and what was right, then score the pooled candidates."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, Self

from shoploom.data.arrays import F64, Flags
from shoploom.ensemble.fusions.pool import Pool
from shoploom.ensemble.members.storage import Arrays


class Fusion(Protocol):
    """Scores candidates from what several members say of them. Instances are made without arguments.

    Nothing that a member did not list, or listed with a score of zero, earns credit for a rank.
    """

    name: ClassVar[str]

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Learn from lists that the members made without knowing the answers.

        Args:
            pool: Candidates.
            relevant: (n,) whether each one was right.
            seed: Of whatever is drawn.
        """
        ...

    def score(self, pool: Pool) -> F64:
        """(n,) the higher the better, comparable within a case."""
        ...

    def shares(self, pool: Pool) -> F64:
        """(n, M) how much of each candidate's score each member is answerable for; a row adds up to 1, or 0."""
        ...

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings for JSON and arrays."""
        ...

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """The inverse of ``state``."""
        ...
