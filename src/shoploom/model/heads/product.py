"""The price of a product from everything but its price."""

# Shapes: n products, D width

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoploom.model.heads.losses import pinball


class PriceHead(nn.Module):
    """Log price with two quantiles, trained on the relative error that MAPE counts.

    Args:
        dim: Width D of the item vector.
        centre: Mean log price, the starting point.
        dropout: Of the hidden layer.

    Shape:
        x_nD. Returns (n, 3) log prices: point, 10 % and 90 % quantile, the quantiles in order.
    """

    def __init__(self, dim: int, *, centre: float, dropout: float = 0.1) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, 3))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))

    def forward(self, x_nD: Tensor) -> Tensor:
        """Log prices (n, 3)."""
        point, below, above = self.net(x_nD).unbind(dim=1)
        point = point + self.centre
        return torch.stack([point, point - functional.softplus(below), point + functional.softplus(above)], dim=1)

    @staticmethod
    def loss(predicted: Tensor, price: Tensor) -> Tensor:
        """Half relative error |p / y - 1| (capped), half absolute log error, and two pinball losses of the log."""
        point, low, high = predicted.unbind(dim=1)
        log = price.log()
        error = (point - log).clamp(-3, 1.5)
        relative = (torch.exp(error) - 1).abs()
        main = relative + 0.25 * (point - log).abs()
        return (main + pinball(log, low, 0.1) + pinball(log, high, 0.9)).mean()
