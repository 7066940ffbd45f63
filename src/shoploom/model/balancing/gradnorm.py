"""GradNorm: weights that bring the tasks' gradients at the last shared layer to sizes that fit their progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from shoploom.errors import UsageError
from shoploom.model.balancing.base import Adam, Balancer, Losses, backward_sum, places_of, wanted

LEAST = 1e-3


class GradNorm(Balancer):
    """Moves w so that G_k = |w_k dL_k/dW| comes to mean(G) r_k^alpha, r_k being how far task k is behind the others.

    W is the last layer that all tasks share, as in the paper; measured at an early layer, such as an embedding table,
    the sizes say little of what the tasks pull at. The target is held constant, so the gradient of
    sum_k |G_k - target_k| by w_k is sign(G_k - target_k) |dL_k/dW|, and no second derivative is needed.

    Args:
        tasks: Names of the tasks.
        alpha: How strongly tasks that are behind are pushed; 0 makes all G_k equal.
        rate: Learning rate of the weights (Adam).

    References:
        Chen et al. 2018, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks",
        arXiv:1711.02257, Eq. (1), (2) and Algorithm 1. Weights are kept at 0.001 or more.
    """

    weights: Tensor
    first_losses: Tensor

    def __init__(self, tasks: Sequence[str], *, alpha: float = 1.5, rate: float = 0.025) -> None:
        super().__init__()
        wanted("gradnorm", "alpha", alpha, 0, 10)
        wanted("gradnorm", "rate", rate, 0, 1, open_left=True)
        self.tasks = tuple(tasks)
        self.alpha = alpha
        self.register_buffer("weights", torch.ones(len(tasks), dtype=torch.float64))
        self.register_buffer("first_losses", torch.zeros(len(tasks), dtype=torch.float64))
        self.adam = Adam(len(tasks), rate=rate)

    def backward(
        self, losses: Losses, *, parameters: Sequence[nn.Parameter], last_shared: Sequence[nn.Parameter] = ()
    ) -> None:
        """A short backward pass per task down to the last shared layer, then one through everything.

        Raises:
            UsageError: If no shared layer is given.
        """
        if not last_shared:
            raise UsageError("balancing 'gradnorm' needs a layer that all tasks share; use another sharing scheme")
        places = torch.tensor(places_of(self.tasks, losses))
        norms = torch.stack([_norm(loss, last_shared) for loss in losses.values()])
        values = torch.stack([loss.detach() for loss in losses.values()]).double().cpu()
        new = self.first_losses[places] == 0
        self.first_losses[places] = torch.where(new, values, self.first_losses[places])
        weights = self.weights[places]
        backward_sum(losses, weights.tolist())
        gradient = self.gradient(weights, norms, values / self.first_losses[places])
        self.adam.step(self.weights, gradient, places)
        self.weights.clamp_(min=LEAST)
        self.weights *= len(self.tasks) / self.weights.sum()

    def gradient(self, weights: Tensor, norms: Tensor, ratios: Tensor) -> Tensor:
        """Of Eq. (2) by the weights (K,).

        Args:
            weights: (K,) w.
            norms: (K,) |dL_k/dW|; tasks with 0 do not reach W, and count for nothing.
            ratios: (K,) L_k(t) / L_k(0).
        """
        reach = norms > 0
        if not bool(reach.any()):
            return torch.zeros_like(norms)
        sizes = weights * norms
        behind = (ratios / ratios[reach].mean()).clamp(min=0)
        return torch.sign(sizes - sizes[reach].mean() * behind**self.alpha) * norms

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """Nothing to do."""

    def task_weights(self) -> dict[str, float]:
        """W, which add up to the number of tasks."""
        return dict(zip(self.tasks, self.weights.tolist(), strict=True))


def _norm(loss: Tensor, layer: Sequence[nn.Parameter]) -> Tensor:
    found: Sequence[Tensor | None] = torch.autograd.grad(loss, list(layer), retain_graph=True, allow_unused=True)
    squares = [one.detach().double().square().sum().cpu() for one in found if one is not None]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros((), dtype=torch.float64)
