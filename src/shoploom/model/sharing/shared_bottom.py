"""The simplest sharing that works: one residual block for all tasks of a sample space, one small adapter each."""

# Shapes: ... any leading dimensions, D width

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SharedBottom(nn.Module):
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
        self.shared = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.own = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, rank), nn.GELU(), nn.Linear(rank, dim))
                for name in tasks
            }
        )

    def forward(self, x: Tensor, task: str) -> Tensor:
        """The task's view of the shared representation."""
        x = x + self.shared(x)
        viewed: Tensor = x + self.own[task](x)
        return viewed
