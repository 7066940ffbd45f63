"""The interface of a sharing scheme, and the two blocks that the schemes are built from."""

# Shapes: ... any leading dimensions, D width, E experts

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from shoploom.errors import UsageError, unknown_name


class Sharing(nn.Module, ABC):
    """A trunk: every task's view of one representation.

    Constructors take ``(dim, *, tasks, dropout, **options)`` and refuse options out of range. The order of ``tasks``
    is fixed then; a name that is not among them is a ``UsageError``.
    """

    @abstractmethod
    def forward(self, x: Tensor, task: str) -> Tensor:
        """A task's view (..., D) of x (..., D)."""

    @abstractmethod
    def views(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """The views of several tasks that read the same x; what they share is computed once.

        Without dropout they are equal to those of ``forward``.
        """

    @abstractmethod
    def gates(self, x: Tensor, task: str) -> Tensor | None:
        """A task's shares (..., E) of the experts, each row adding up to 1; None for a scheme without gates."""

    @abstractmethod
    def experts(self, task: str) -> tuple[str, ...]:
        """What the E columns of ``gates`` are, such as ``shared 1`` or ``churn 2``; empty without gates."""

    @abstractmethod
    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """Weights that no other task's loss moves."""

    @abstractmethod
    def last_shared(self) -> list[nn.Parameter]:
        """Weights of the last layer that all tasks share; empty for a scheme that shares nothing."""


def residual(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    """Norm, one hidden GELU layer, back to D: what a trunk adds to its input."""
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
    )


def adapter(dim: int, rank: int) -> nn.Sequential:
    """A task's own low-rank residual.

    References:
        Houlsby et al. 2019, arXiv:1902.00751, section 2.1.
    """
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, rank), nn.GELU(), nn.Linear(rank, dim))


def part(task: str) -> str:
    """The name under which a task's part stands in a ``ModuleDict``: the task's, where torch allows it.

    Example:
        >>> part("churn"), part("never married"), part("keys")
        ('churn', 'task_never_20married', 'task_keys')
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", task) and not hasattr(nn.ModuleDict, task) and task != "training":
        return task
    return "task_" + "".join(one if one.isalnum() and one.isascii() else f"_{ord(one):x}" for one in task)


def of_task(parts: nn.ModuleDict, task: str) -> nn.Module:
    """A task's part of a trunk.

    Raises:
        UsageError: If the trunk was not built for such a task.
    """
    name = part(task)
    if name not in parts:
        raise UsageError(unknown_name("task of this trunk", task, parts))
    return parts[name]


def wanted(name: str, value: float, least: float, most: float) -> None:
    """Refuse an option outside its range."""
    if not least <= value <= most:
        raise UsageError(f"option {name!r} of the sharing scheme is {value}; wanted {least} to {most}")
