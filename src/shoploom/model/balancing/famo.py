"""FAMO: all losses fall at an equal rate, found from losses alone, without a gradient per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from shoploom.errors import UsageError
from shoploom.model.balancing.base import Adam, Balancer, Losses, backward_sum, places_of, wanted


class FAMO(Balancer):
    """Descends c sum_k z_k log L_k with z = softmax(xi); xi follows how much each log L_k fell in the step.

    Costs a second forward pass per step: the losses of the same batch after the step.

    Args:
        tasks: Names of the tasks.
        rate: Learning rate of xi (Adam).
        decay: gamma, the pull of xi towards 0.

    References:
        Liu et al. 2023, "FAMO: Fast Adaptive Multitask Optimization", arXiv:2306.03792, Algorithm 1: weights
        c z_k / L_k with c = 1 / sum_i (z_i / L_i), and the step of xi along J_softmax^T delta + gamma xi, where
        delta_k = log L_k before less after. The step is Adam's, as in the authors' code.
    """

    logits: Tensor
    before: Tensor
    last: Tensor

    def __init__(self, tasks: Sequence[str], *, rate: float = 0.025, decay: float = 0.001) -> None:
        super().__init__()
        wanted("famo", "rate", rate, 0, 1, open_left=True)
        wanted("famo", "decay", decay, 0, 1)
        self.tasks = tuple(tasks)
        self.decay = decay
        self.register_buffer("logits", torch.zeros(len(tasks), dtype=torch.float64))
        self.register_buffer("before", torch.zeros(len(tasks), dtype=torch.float64))
        self.register_buffer("last", torch.ones(len(tasks), dtype=torch.float64))
        self.adam = Adam(len(tasks), rate=rate)

    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """One backward pass.

        Raises:
            UsageError: If a loss is not above 0.
        """
        places = places_of(self.tasks, losses)
        values = _positive(losses)
        shares = self.logits[places].softmax(dim=0) / values
        self.last[places] = shares / shares.sum()
        self.before.zero_()
        self.before[places] = values
        backward_sum(losses, self.last[places].tolist())

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Compare the losses of the batch with those before the step."""
        with torch.no_grad():
            found = losses()
        found = {name: loss for name, loss in found.items() if self.before[places_of(self.tasks, {name: loss})] > 0}
        if not found:
            return
        places = torch.tensor(places_of(self.tasks, found))
        fallen = self.before[places].log() - _positive(found).log()
        self.adam.step(self.logits, self.gradient(self.logits[places], fallen), places)

    def gradient(self, logits: Tensor, fallen: Tensor) -> Tensor:
        """By the logits (K,): J_softmax^T delta + gamma xi, where J_softmax = diag(z) - z z^T."""
        shares = logits.softmax(dim=0)
        return shares * (fallen - (shares * fallen).sum()) + self.decay * logits

    def task_weights(self) -> dict[str, float]:
        """C z / L, which add up to 1."""
        return dict(zip(self.tasks, self.last.tolist(), strict=True))


def _positive(losses: Losses) -> Tensor:
    values = torch.stack([loss.detach() for loss in losses.values()]).double().cpu()
    for name, value in zip(losses, values.tolist(), strict=True):
        if not value > 0:
            raise UsageError(
                f"balancing 'famo' takes logarithms, and the loss of task {name!r} is {value}; "
                "use another method, such as uncertainty or static"
            )
    return values
