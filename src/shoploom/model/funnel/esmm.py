"""ESMM: a tower for each step of the funnel, learned on all impressions through the products."""

# Shapes: B impressions, D width, S stages

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from shoploom.model.funnel.chain import Observed, log_loss, log_reached


class Towers(nn.Module):
    """One small perceptron per stage over the same input.

    Args:
        dim: Width D of the input.
        stages: Number S.
        hidden: Width of the one hidden layer; 0: none, each tower is linear.

    Shape:
        x_BD: (B, D). Returns (B, S) logits.
    """

    def __init__(self, dim: int, stages: int, *, hidden: int = 32) -> None:
        super().__init__()
        self.inner = nn.Linear(dim, stages * hidden) if hidden else None
        self.weight = nn.Parameter(torch.randn(stages, hidden or dim) * (hidden or dim) ** -0.5 * bool(hidden))
        self.bias = nn.Parameter(torch.zeros(stages))

    def forward(self, x_BD: Tensor) -> Tensor:
        """All towers in one multiplication."""
        if self.inner is None:
            return torch.addmm(self.bias, x_BD, self.weight.T)
        stages, hidden = self.weight.shape
        inner_BSH = torch.relu(self.inner(x_BD)).view(-1, stages, hidden)
        return torch.einsum("bsh,sh->bs", inner_BSH, self.weight) + self.bias


class Esmm(nn.Module):
    """p(stage s) = prod_{t <= s} sigmoid(z_t); the loss is the sum over stages of the log loss of p(s).

    Every impression teaches every tower: the conversion tower is never fitted on clicked impressions alone, so that
    there is no selection, and pCTCVR = pCTR pCVR holds by construction.

    Args:
        dim: Width D of the input.
        stages: Number S.
        hidden: Width of the towers' hidden layer.

    References:
        Ma et al. 2018, "Entire Space Multi-Task Model", arXiv:1804.07931, Eq. (1) to (3); two stages there, S here.
    """

    name: ClassVar[str] = "esmm"

    def __init__(self, dim: int, stages: int, *, hidden: int = 32) -> None:
        super().__init__()
        self.towers = Towers(dim, stages, hidden=hidden)

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, S) log-probability to reach each stage."""
        return log_reached(self.towers(x_BD))

    def loss(self, x_BD: Tensor, observed: Observed) -> Tensor:
        """Mean over impressions of the sum over stages."""
        return esmm_loss(self(x_BD), observed)

    def start(self, rates: Tensor) -> None:
        """Set biases so that an empty input gets the mean rates (S,) of reaching each stage."""
        start_chain(self.towers, rates)


def esmm_loss(log_p_BS: Tensor, observed: Observed) -> Tensor:
    """Log loss of each stage over the entire space of impressions."""
    return log_loss(log_p_BS + observed.log_seen, observed.reached).sum(dim=1).mean()


def start_chain(towers: Towers, rates: Tensor) -> None:
    """Biases whose products are the rates."""
    before = torch.cat([rates.new_ones(1), rates[:-1]])
    with torch.no_grad():
        towers.bias.copy_(torch.logit(rates / before.clamp(min=1e-6), eps=1e-4))
