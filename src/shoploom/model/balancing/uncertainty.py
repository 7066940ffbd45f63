"""Weights by homoscedastic uncertainty: a learned variance per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from shoploom.model.balancing.base import Adam, Balancer, Losses, backward_sum, places_of, wanted

LEAST, MOST = -10.0, 10.0


class Uncertainty(Balancer):
    """sum_k L_k / (2 sigma_k^2) + log sigma_k, over log-variances s_k = log sigma_k^2 that are learned with the model.

    For a fixed loss the best s_k is log L_k, so every task comes to pull with 1 / (2 L_k). The form for classes,
    L_k / sigma_k^2 + log sigma_k, is the same with s_k moved by log 2; one form serves both.

    Args:
        tasks: Names of the tasks.
        rate: Learning rate of the log-variances (Adam).

    References:
        Kendall et al. 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
        Semantics", arXiv:1705.07115, Eq. (7) and (10).
    """

    log_variance: Tensor

    def __init__(self, tasks: Sequence[str], *, rate: float = 0.01) -> None:
        super().__init__()
        wanted("uncertainty", "rate", rate, 0, 1, open_left=True)
        self.tasks = tuple(tasks)
        self.register_buffer("log_variance", torch.zeros(len(tasks), dtype=torch.float64))
        self.adam = Adam(len(tasks), rate=rate)

    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """One backward pass, then one step of the log-variances."""
        places = torch.tensor(places_of(self.tasks, losses))
        values = torch.stack([loss.detach() for loss in losses.values()]).double().cpu()
        precision = torch.exp(-self.log_variance[places])
        backward_sum(losses, (0.5 * precision).tolist())
        self.adam.step(self.log_variance, 0.5 * (1 - precision * values), places)
        self.log_variance.clamp_(LEAST, MOST)

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Nothing to do."""

    def task_weights(self) -> dict[str, float]:
        """1 / (2 sigma^2)."""
        return dict(zip(self.tasks, (0.5 * torch.exp(-self.log_variance)).tolist(), strict=True))
