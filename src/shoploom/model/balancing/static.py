"""Fixed weights: the sum of the losses, each multiplied by a number that somebody chose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from shoploom.errors import UsageError, unknown_name
from shoploom.model.balancing.base import Balancer, Losses, backward_sum, places_of


class Static(Balancer):
    """sum_k w_k L_k. The one to beat: well-chosen weights are level with most of what learns them, at no cost.

    Args:
        tasks: Names of the tasks.
        weights: By task, 0 or more; 1 where missing.

    Raises:
        UsageError: If a weight is negative or not finite, all are 0, or one is for an unknown task.

    References:
        Xin et al. 2022, "Do Current Multi-Task Optimization Methods in Deep Learning Even Help?",
        arXiv:2209.11379, Eq. (1).
    """

    def __init__(self, tasks: Sequence[str], *, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = dict(weights or {})
        for name, value in weights.items():
            if name not in tasks:
                raise UsageError(unknown_name("task with a weight", name, tasks))
            if not 0 <= value < math.inf:
                raise UsageError(f"the weight of task {name!r} is {value}; wanted 0 or more")
        if tasks and not any(weights.get(name, 1.0) for name in tasks):
            raise UsageError("the weights of all tasks are 0, so nothing would be learned; give one of them more")
        self.tasks = tuple(tasks)
        self.weights = {name: weights.get(name, 1.0) for name in tasks}

    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """One backward pass."""
        places_of(self.tasks, losses)
        backward_sum(losses, [self.weights[name] for name in losses])

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Nothing to do."""

    def task_weights(self) -> dict[str, float]:
        """As given."""
        return dict(self.weights)
