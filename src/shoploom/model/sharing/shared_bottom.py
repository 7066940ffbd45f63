"""The simplest sharing that works: one residual block for all tasks of a sample space, one small adapter each."""

# Shapes: ... any leading dimensions, D width

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from shoploom.model.sharing.base import Sharing, adapter, of_task, part, residual, wanted


class SharedBottom(Sharing):
    """A shared block, then a task's own low-rank residual.

    Args:
        dim: Width D.
        tasks: Names of the tasks.
        rank: Of each task's own residual.
        dropout: Of the shared block.

    Shape:
        x (..., D), name of the task. Returns (..., D).

    References:
        Caruana 1997, "Multitask Learning", section 2; the residual adapters follow Houlsby et al. 2019,
        arXiv:1902.00751, section 2.1.
    """

    def __init__(self, dim: int, *, tasks: Sequence[str], rank: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        wanted("rank", rank, 1, 4096)
        self.shared = residual(dim, 2 * dim, dropout)
        self.own = nn.ModuleDict({part(name): adapter(dim, rank) for name in tasks})

    def forward(self, x: Tensor, task: str) -> Tensor:
        """The task's view of the shared representation."""
        own = of_task(self.own, task)
        x = x + self.shared(x)
        viewed: Tensor = x + own(x)
        return viewed

    def views(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """All views, with one pass through the shared block."""
        own = {task: of_task(self.own, task) for task in tasks}
        x = x + self.shared(x)
        return {task: x + one(x) for task, one in own.items()}

    def gates(self, x: Tensor, task: str) -> None:
        """No gates."""
        of_task(self.own, task)

    def experts(self, task: str) -> tuple[str, ...]:
        """No experts."""
        return ()

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """The task's residual."""
        return list(of_task(self.own, task).parameters())

    def last_shared(self) -> list[nn.Parameter]:
        """The last linear map of the shared block."""
        return list(self.shared[-1].parameters())
