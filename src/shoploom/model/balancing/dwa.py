"""Dynamic weight average: tasks whose loss falls slowest get the most weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from shoploom.model.balancing.base import Balancer, Losses, backward_sum, places_of, wanted


class DWA(Balancer):
    """lambda_k = K exp(r_k / T) / sum_i exp(r_i / T), where r_k is the ratio of a task's last two mean losses.

    Args:
        tasks: Names of the tasks.
        temperature: T; large values make the weights even.
        steps: Length of the periods over which losses are averaged: the paper has epochs, our batches are drawn
            without end. Weights are 1 in the first two periods.

    References:
        Liu et al. 2019, "End-to-End Multi-Task Learning with Attention", arXiv:1803.10704, Eq. (7).
    """

    sums: Tensor
    counts: Tensor
    older: Tensor
    newer: Tensor
    done: Tensor

    def __init__(self, tasks: Sequence[str], *, temperature: float = 2.0, steps: int = 20) -> None:
        super().__init__()
        wanted("dwa", "temperature", temperature, 0, 1e6, open_left=True)
        wanted("dwa", "steps", steps, 1, 1e9)
        self.tasks = tuple(tasks)
        self.temperature = temperature
        self.steps = steps
        for name in ("sums", "counts", "older", "newer"):
            self.register_buffer(name, torch.zeros(len(tasks), dtype=torch.float64))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """One backward pass."""
        places = places_of(self.tasks, losses)
        weights = self._weights()
        backward_sum(losses, [float(weights[place]) for place in places])
        self.sums[places] += torch.stack([loss.detach() for loss in losses.values()]).to(self.sums)
        self.counts[places] += 1

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Close a period when it is over."""
        self.done += 1
        if int(self.done) % self.steps:
            return
        mean = torch.where(self.counts > 0, self.sums / self.counts.clamp(min=1), self.newer)
        self.older.copy_(self.newer)
        self.newer.copy_(mean)
        self.sums.zero_()
        self.counts.zero_()

    def task_weights(self) -> dict[str, float]:
        """Lambda."""
        return dict(zip(self.tasks, self._weights().tolist(), strict=True))

    def _weights(self) -> Tensor:
        known = self.older != 0
        ratios = torch.where(known, self.newer / torch.where(known, self.older, torch.ones_like(self.older)), 1.0)
        return len(self.tasks) * (ratios / self.temperature).softmax(dim=0)
