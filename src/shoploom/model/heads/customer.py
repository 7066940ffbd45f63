"""Heads on the state of a customer: will it happen, and how much."""

# Shapes: n cases, D trunk width, K decays

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoploom.model.heads.losses import biased_sum, pinball


class BinaryHead(nn.Module):
    """Probability of yes.

    Shape:
        x_nD. Returns logits (n,).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out = nn.Linear(dim, 1)

    def forward(self, x_nD: Tensor) -> Tensor:
        """Logits (n,)."""
        logits: Tensor = self.out(x_nD).squeeze(1)
        return logits

    @staticmethod
    def loss(logits: Tensor, label: Tensor) -> Tensor:
        """Mean binary cross-entropy."""
        return functional.binary_cross_entropy_with_logits(logits, label)


class AmountHead(nn.Module):
    """An amount over the horizon: learned mixture of the customer's rates per day, times a learned factor.

    The median-seeking absolute error wins WAPE by lying low, so the loss also holds the sum of a batch to its truth.

    Args:
        dim: Width D of the trunk.
        num_rates: K.
        days: Length of the horizon.

    Shape:
        x_nD, rates_nK (amount per day). Returns (n, 3): mean, 10 % and 90 % quantile.
    """

    def __init__(self, dim: int, *, num_rates: int, days: float) -> None:
        super().__init__()
        self.days = days
        self.num_rates = num_rates
        self.mix = nn.Linear(dim, num_rates)
        self.factor = nn.Linear(dim, 4)
        with torch.no_grad():
            self.factor.weight.mul_(0.1)
            self.factor.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0]))

    def forward(self, x_nD: Tensor, rates_nK: Tensor) -> Tensor:
        """Mean and two quantiles (n, 3), in order."""
        base = (torch.softmax(self.mix(x_nD), dim=1) * rates_nK).sum(dim=1) * self.days
        log_factor, low, high, floor = self.factor(x_nD).unbind(dim=1)
        mean = (base + functional.softplus(floor)) * torch.exp(log_factor.clamp(-4, 4))
        low = mean * torch.sigmoid(low - 1.0)
        return torch.stack([mean, low, mean * (1 + functional.softplus(high))], dim=1)

    @staticmethod
    def loss(predicted: Tensor, amount: Tensor, scale: Tensor) -> Tensor:
        """Absolute error over the mean amount, a penalty on the bias of the sum, and two pinball losses."""
        mean, low, high = predicted.unbind(dim=1)
        error = (mean - amount).abs().mean() / scale
        quantile = pinball(amount, low, 0.1).mean() + pinball(amount, high, 0.9).mean()
        return error + biased_sum(mean, amount, scale) + quantile / scale
