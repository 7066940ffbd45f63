"""No sharing: a trunk of its own for each task, for single-task twins and as the far end of a comparison."""

# Shapes: ... any leading dimensions, D width

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from shoploom.model.sharing.base import Sharing, adapter, of_task, part, residual, wanted


class NoSharing(Sharing):
    """The blocks of ``SharedBottom``, once per task.

    The encoders below a trunk stay shared; whoever wants tasks that share nothing at all trains one model per task.

    Args:
        dim: Width D.
        tasks: Names of the tasks.
        rank: Of each task's last residual.
        dropout: Inside the blocks.

    Shape:
        x (..., D), name of the task. Returns (..., D).

    References:
        Caruana 1997, "Multitask Learning", Machine Learning 28, section 1: single-task learning.
    """

    def __init__(self, dim: int, *, tasks: Sequence[str], rank: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        wanted("rank", rank, 1, 4096)
        self.own = nn.ModuleDict(
            {
                part(name): nn.ModuleDict({"block": residual(dim, 2 * dim, dropout), "last": adapter(dim, rank)})
                for name in tasks
            }
        )

    def forward(self, x: Tensor, task: str) -> Tensor:
        """The task's view, through its own blocks alone."""
        own = of_task(self.own, task)
        assert isinstance(own, nn.ModuleDict)
        x = x + own["block"](x)
        viewed: Tensor = x + own["last"](x)
        return viewed

    def views(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """Nothing is shared: one ``forward`` each."""
        return {task: self(x, task) for task in tasks}

    def gates(self, x: Tensor, task: str) -> None:
        """No gates."""
        of_task(self.own, task)

    def experts(self, task: str) -> tuple[str, ...]:
        """No experts."""
        return ()

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """Everything that the task uses."""
        return list(of_task(self.own, task).parameters())

    def last_shared(self) -> list[nn.Parameter]:
        """Nothing."""
        return []
