"""A space of its own per task beside a shared one; a task reads all of them and moves its own and the shared one."""

# Shapes: ... any leading dimensions, D width, E experts, K tasks, S = K + 1 spaces

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoploom.model.experts import Experts, in_pieces, mix, run_groups
from shoploom.model.sharing.base import Sharing, adapter, of_task, part, wanted


class STEM(Sharing):
    """All-forward, task-specific-backward gating over the experts of all tasks and shared ones.

    Like ``PLE``, but a task also reads the other tasks' experts, without moving them: good when one task has many
    labels and another few. Every space is a linear map of x, where the paper has embedding tables: our encoders are
    shared by all sample spaces, and the map gives a task coordinates of its own.

    Args:
        dim: Width D.
        tasks: Names of the tasks.
        num: Experts per space.
        hidden: Width of each expert; 0: D.
        rank: Of each task's own residual.
        dropout: Inside the experts.

    Shape:
        x (..., D), name of the task. Returns (..., D).

    References:
        Su et al. 2024, "STEM: Unleashing the Power of Embeddings for Multi-task Recommendation", AAAI,
        arXiv:2308.13537, "All Forward Task-specific Backward" gating: the forward pass reads every task's experts,
        gradients are stopped at those of other tasks.
    """

    def __init__(
        self,
        dim: int,
        *,
        tasks: Sequence[str],
        num: int = 1,
        hidden: int = 0,
        rank: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        wanted("num", num, 1, 256)
        wanted("hidden", hidden, 0, 65536)
        wanted("rank", rank, 1, 4096)
        self.tasks = tuple(tasks)
        self.num = num
        self.dropout = dropout
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.shared_space = nn.Linear(dim, dim)
        self.shared = Experts(num, dim, hidden=hidden or dim)
        self.space = nn.ModuleDict({part(name): nn.Linear(dim, dim) for name in tasks})
        self.own = nn.ModuleDict({part(name): Experts(num, dim, hidden=hidden or dim) for name in tasks})
        self.gate = nn.ModuleDict({part(name): nn.Linear(dim, (len(tasks) + 1) * num, bias=False) for name in tasks})
        self.last = nn.ModuleDict({part(name): adapter(dim, rank) for name in tasks})

    def forward(self, x: Tensor, task: str) -> Tensor:
        """The task's view."""
        return self.views(x, [task])[task]

    def views(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """All views, with one pass through the experts."""
        if not tasks:
            return {}
        for task in tasks:
            of_task(self.last, task)
        groups = [self.shared, *(self._own(task) for task in self.tasks)]
        found = in_pieces(lambda piece: self._views(piece, groups, tasks), x, groups)
        return dict(zip(tasks, found, strict=True))

    def gates(self, x: Tensor, task: str) -> Tensor:
        """(..., E): the shared experts, then every task's, in the order of the tasks."""
        of_task(self.last, task)
        return self._shares(self._spaces(x), task)

    def experts(self, task: str) -> tuple[str, ...]:
        """The shared experts, then every task's."""
        return tuple(f"{group} {number + 1}" for group in ("shared", *self.tasks) for number in range(self.num))

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """The task's space, experts, gate and residual."""
        parts = [of_task(one, task) for one in (self.space, self.own, self.gate, self.last)]
        return [weight for one in parts for weight in one.parameters()]

    def last_shared(self) -> list[nn.Parameter]:
        """The last layer of the shared experts."""
        return [self.shared.second, self.shared.second_bias]

    def _views(self, x: Tensor, groups: Sequence[Experts], tasks: Sequence[str]) -> list[Tensor]:
        """Of rows x (m, D); gradients stop at the experts of other tasks."""
        spaces = self._spaces(x)
        experts = run_groups(groups, spaces, dropout=self.dropout if self.training else 0.0)
        found = []
        for task in tasks:
            moved = self._moved(task, x.device)
            live = torch.where(moved[:, None], experts, experts.detach())
            mixed = x + mix(self._shares(spaces, task), live)
            found.append(mixed + of_task(self.last, task)(mixed))
        return found

    def _spaces(self, x: Tensor) -> Tensor:
        """(..., S, D): x in the shared space and in each task's."""
        maps = [self.shared_space, *(of_task(self.space, task) for task in self.tasks)]
        weight = torch.cat([one.get_parameter("weight") for one in maps])
        bias = torch.cat([one.get_parameter("bias") for one in maps])
        return nn.functional.linear(self.norm(x), weight, bias).view(*x.shape[:-1], len(maps), x.shape[-1])

    def _shares(self, spaces: Tensor, task: str) -> Tensor:
        """The gate reads the task's own space."""
        found: Tensor = of_task(self.gate, task)(spaces[..., self.tasks.index(task) + 1, :]).softmax(dim=-1)
        return found

    def _moved(self, task: str, device: torch.device) -> Tensor:
        """(E,) True at the experts that the task's loss moves."""
        moved = torch.zeros(len(self.tasks) + 1, dtype=torch.bool)
        moved[[0, self.tasks.index(task) + 1]] = True
        return moved.repeat_interleave(self.num).to(device)

    def _own(self, task: str) -> Experts:
        found = of_task(self.own, task)
        assert isinstance(found, Experts)
        return found
