"""Progressive layered extraction: shared experts, and experts that only one task's loss moves, in one or two levels."""

# Shapes: ... any leading dimensions, D width, E experts of a view, K tasks

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoploom.model.experts import Experts, in_pieces, mix, run_experts, run_groups
from shoploom.model.sharing.base import Sharing, adapter, of_task, part, wanted


class PLE(Sharing):
    """Each task mixes the shared experts with its own; with two levels this is done twice.

    One level is CGC (customised gate control). With two, the shared path of the first level mixes all experts of
    all tasks, so a task's loss does reach other tasks' experts of that level, through that path alone; the experts
    of the last level stay their task's own.

    Args:
        dim: Width D.
        tasks: Names of the tasks.
        num: Experts per group; the groups are the shared one and one per task.
        hidden: Width of each expert; 0: D.
        levels: 1 or 2.
        rank: Of each task's own residual.
        dropout: Inside the experts.

    Shape:
        x (..., D), name of the task. Returns (..., D).

    References:
        Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
        Recommendations", RecSys, Eq. (1) to (4) for one level (CGC), Eq. (5) to (7) for more. Residual paths and
        norms are ours, as in ``MMoE``.
    """

    def __init__(
        self,
        dim: int,
        *,
        tasks: Sequence[str],
        num: int = 2,
        hidden: int = 0,
        levels: int = 1,
        rank: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        wanted("num", num, 1, 256)
        wanted("hidden", hidden, 0, 65536)
        wanted("levels", levels, 1, 2)
        wanted("rank", rank, 1, 4096)
        self.tasks = tuple(tasks)
        self.num = num
        self.dropout = dropout
        self.lower = _Level(dim, tasks, num, hidden or dim, with_shared_gate=True) if levels == 2 else None
        self.upper = _Level(dim, tasks, num, hidden or dim, with_shared_gate=False)
        self.last = nn.ModuleDict({part(name): adapter(dim, rank) for name in tasks})

    def forward(self, x: Tensor, task: str) -> Tensor:
        """The task's view."""
        return self.views(x, [task])[task]

    def views(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """All views, with one pass through the experts."""
        if not tasks:
            return {}
        found = in_pieces(lambda piece: self._views(piece, tasks), x, self.upper.groups(tasks))
        return dict(zip(tasks, found, strict=True))

    def gates(self, x: Tensor, task: str) -> Tensor:
        """(..., E) of the last level: the shared experts, then the task's own."""
        of_task(self.last, task)
        return self.upper.shares(self._inputs(x, [task])[task], task)

    def experts(self, task: str) -> tuple[str, ...]:
        """Of the last level."""
        return tuple(f"{group} {number + 1}" for group in ("shared", task) for number in range(self.num))

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """Experts and gate of the last level, and the residual."""
        lower = [] if self.lower is None else list(of_task(self.lower.gate, task).parameters())
        return [*lower, *self.upper.own_parameters(task), *of_task(self.last, task).parameters()]

    def last_shared(self) -> list[nn.Parameter]:
        """The last layer of the shared experts."""
        return [self.upper.shared.second, self.upper.shared.second_bias]

    def _views(self, x: Tensor, tasks: Sequence[str]) -> list[Tensor]:
        """Of rows x (m, D)."""
        mixed = self.upper.views(self._inputs(x, tasks), tasks, self.dropout if self.training else 0.0)
        return [one + of_task(self.last, task)(one) for task, one in mixed.items()]

    def _inputs(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """What the last level reads for each task, and under the empty name what its shared experts read."""
        if self.lower is None:
            return dict.fromkeys(["", *tasks], x)
        return self.lower.progress(x, tasks, self.tasks, self.dropout if self.training else 0.0)


class _Level(nn.Module):
    """Shared experts, own experts and gates of one level."""

    def __init__(self, dim: int, tasks: Sequence[str], num: int, hidden: int, *, with_shared_gate: bool) -> None:
        super().__init__()
        self.num = num
        self.norm = nn.LayerNorm(dim)
        self.shared = Experts(num, dim, hidden=hidden)
        self.own = nn.ModuleDict({part(name): Experts(num, dim, hidden=hidden) for name in tasks})
        self.gate = nn.ModuleDict({part(name): nn.Linear(dim, 2 * num, bias=False) for name in tasks})
        self.shared_gate = nn.Linear(dim, (len(tasks) + 1) * num, bias=False) if with_shared_gate else None

    def shares(self, x: Tensor, task: str) -> Tensor:
        """A task's gate (..., 2 * num) over the shared experts and its own."""
        found: Tensor = of_task(self.gate, task)(self.norm(x)).softmax(dim=-1)
        return found

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return [*of_task(self.own, task).parameters(), *of_task(self.gate, task).parameters()]

    def views(self, inputs: dict[str, Tensor], tasks: Sequence[str], chance: float) -> dict[str, Tensor]:
        """Every task's mixture of shared and own experts, each group reading its own input."""
        groups = self.groups(tasks)
        first = inputs[""]
        if all(one is first for one in inputs.values()):
            experts = run_experts(groups, self.norm(first), dropout=chance)
        else:
            stacked = torch.stack([first, *(inputs[task] for task in tasks)], dim=-2)
            experts = run_groups(groups, self.norm(stacked), dropout=chance)
        return {
            task: inputs[task] + self._mixed(inputs[task], experts, task, place) for place, task in enumerate(tasks)
        }

    def progress(self, x: Tensor, tasks: Sequence[str], known: Sequence[str], chance: float) -> dict[str, Tensor]:
        """As ``views`` for one input, and under the empty name a mixture of all experts of all tasks."""
        assert self.shared_gate is not None
        normed = self.norm(x)
        experts = run_experts(self.groups(known), normed, dropout=chance)
        found = {"": x + mix(self.shared_gate(normed).softmax(dim=-1), experts)}
        return found | {task: x + self._mixed(x, experts, task, known.index(task)) for task in tasks}

    def groups(self, tasks: Sequence[str]) -> list[Experts]:
        """The shared experts, then those of some tasks."""
        return [self.shared, *(self._own(task) for task in tasks)]

    def _mixed(self, x: Tensor, experts: Tensor, task: str, place: int) -> Tensor:
        """Experts (..., all, D), of which the first ``num`` are shared and ``place`` counts groups after those."""
        own = experts.narrow(-2, (place + 1) * self.num, self.num)
        gates = self.shares(x, task)
        return mix(gates[..., : self.num], experts.narrow(-2, 0, self.num)) + mix(gates[..., self.num :], own)

    def _own(self, task: str) -> Experts:
        found = of_task(self.own, task)
        assert isinstance(found, Experts)
        return found
