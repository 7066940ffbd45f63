"""Multi-gate mixture of experts: all experts are shared, and each task weighs them by a gate of its own."""

# Shapes: ... any leading dimensions, D width, E experts, K tasks

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoploom.model.experts import Experts, in_pieces, mix_all, run_experts
from shoploom.model.sharing.base import Sharing, adapter, of_task, part, wanted


class MMoE(Sharing):
    """Experts f_i for all tasks; task k sees x + sum_i g^k_i(x) f_i(x), then its own low-rank residual.

    Like ``SharedBottom`` where all gates agree. ``PLE`` also gives each task experts that nobody else moves: better
    when tasks fight.

    Args:
        dim: Width D.
        tasks: Names of the tasks.
        num: Number of experts E.
        hidden: Width of each expert; 0: D.
        rank: Of each task's own residual; 0: none, the heads are the towers, as in the paper.
        dropout: Inside the experts.

    Shape:
        x (..., D), name of the task. Returns (..., D).

    References:
        Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD,
        Eq. (5) to (7). The paper has no residual path and no norm; with them a gate that has learned nothing yet
        does no harm.
    """

    def __init__(
        self,
        dim: int,
        *,
        tasks: Sequence[str],
        num: int = 4,
        hidden: int = 0,
        rank: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        wanted("num", num, 1, 256)
        wanted("hidden", hidden, 0, 65536)
        wanted("rank", rank, 0, 4096)
        self.dropout = dropout
        self.norm = nn.LayerNorm(dim)
        self.shared = Experts(num, dim, hidden=hidden or dim)
        self.gate = nn.ModuleDict({part(name): nn.Linear(dim, num, bias=False) for name in tasks})
        self.own = nn.ModuleDict({part(name): adapter(dim, rank) for name in tasks} if rank else {})

    def forward(self, x: Tensor, task: str) -> Tensor:
        """The task's view."""
        return self.views(x, [task])[task]

    def views(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """All views, with one pass through the experts."""
        if not tasks:
            return {}
        found = in_pieces(lambda piece: self._views(piece, tasks), x, [self.shared])
        return dict(zip(tasks, found, strict=True))

    def gates(self, x: Tensor, task: str) -> Tensor:
        """(..., E)."""
        shares: Tensor = of_task(self.gate, task)(self.norm(x)).softmax(dim=-1)
        return shares

    def experts(self, task: str) -> tuple[str, ...]:
        """All are shared."""
        return tuple(f"shared {number + 1}" for number in range(self.shared.num))

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """The task's gate and residual."""
        own = of_task(self.own, task).parameters() if self.own else ()
        return [*of_task(self.gate, task).parameters(), *own]

    def last_shared(self) -> list[nn.Parameter]:
        """The last layer of the experts."""
        return [self.shared.second, self.shared.second_bias]

    def _views(self, x: Tensor, tasks: Sequence[str]) -> list[Tensor]:
        """Of rows x (m, D)."""
        normed = self.norm(x)
        weight = torch.cat([of_task(self.gate, task).get_parameter("weight") for task in tasks])
        gates = functional.linear(normed, weight).view(-1, len(tasks), self.shared.num).softmax(dim=-1)
        experts = run_experts([self.shared], normed, dropout=self.dropout if self.training else 0.0)
        mixed = list(mix_all(gates, experts, x).unbind(dim=1))
        if not self.own:
            return mixed
        return [one + of_task(self.own, task)(one) for task, one in zip(tasks, mixed, strict=True)]
