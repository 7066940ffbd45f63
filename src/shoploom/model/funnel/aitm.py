"""AITM: each stage has a tower of its own and takes from the stage before what a small attention chooses."""

# Shapes: B impressions, D width, H tower width, S stages

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoploom.model.funnel.chain import Observed, log_loss


class Transfer(nn.Module):
    """AIT: attention over two vectors, what the stage before passes on (p) and the stage's own (q).

    With u in {p, q}: w_u = <h1(u), h2(u)> / sqrt(H), weights by softmax over the two, result sum_u w_u h3(u).

    References:
        Xi et al. 2021, "Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task
        Learning in Targeted Display Advertising", arXiv:2105.08489, Eq. (3) to (5).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.key = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(self, passed_BH: Tensor, own_BH: Tensor) -> Tensor:
        """(B, H)."""
        both = torch.stack([passed_BH, own_BH], dim=1)
        score = (self.key(both) * self.query(both)).sum(dim=2) / both.shape[2] ** 0.5
        return torch.einsum("bu,buh->bh", score.softmax(dim=1), self.value(both))


class Aitm(nn.Module):
    """Every stage says its own probability to be reached; a calibrator keeps later ones below earlier ones.

    The loss is the sum over stages of the log loss plus ``calibrator`` times mean(max(0, p(s) - p(s - 1))). As a
    penalty alone does not make a promise, the answer is the running minimum along the chain (our addition), which
    changes nothing where the penalty has done its work.

    Args:
        dim: Width D of the input.
        stages: Number S.
        hidden: Width H of the towers; 0: that of the input.
        calibrator: Weight alpha of the penalty.

    References:
        Xi et al. 2021, arXiv:2105.08489, Eq. (6) to (9).
    """

    name: ClassVar[str] = "aitm"

    def __init__(self, dim: int, stages: int, *, hidden: int = 32, calibrator: float = 0.6) -> None:
        super().__init__()
        hidden = hidden or dim
        self.towers = nn.ModuleList(nn.Linear(dim, hidden) for _ in range(stages))
        self.passes = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(stages - 1))
        self.transfers = nn.ModuleList(Transfer(hidden) for _ in range(stages - 1))
        self.outputs = nn.ModuleList(nn.Linear(hidden, 1) for _ in range(stages))
        self.calibrator = calibrator

    def logits(self, x_BD: Tensor) -> Tensor:
        """(B, S) of each stage by itself."""
        states = [torch.relu(self.towers[0](x_BD))]
        for tower, passing, transfer in zip(self.towers[1:], self.passes, self.transfers, strict=True):
            states.append(transfer(torch.relu(passing(states[-1])), torch.relu(tower(x_BD))))
        return torch.cat([output(state) for output, state in zip(self.outputs, states, strict=True)], dim=1)

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, S) log-probability to reach each stage, never rising along the chain."""
        return functional.logsigmoid(self.logits(x_BD)).cummin(dim=1).values

    def loss(self, x_BD: Tensor, observed: Observed) -> Tensor:
        """Mean over impressions of log losses and penalty."""
        log_p = functional.logsigmoid(self.logits(x_BD))
        fit = log_loss(log_p + observed.log_seen, observed.reached).sum(dim=1).mean()
        return fit + self.calibrator * calibrator_loss(log_p.exp())

    def start(self, rates: Tensor) -> None:
        """Set biases so that an empty input gets the mean rates (S,) of reaching each stage."""
        with torch.no_grad():
            for output, rate in zip(self.outputs, rates, strict=True):
                output.bias.copy_(torch.logit(rate, eps=1e-4).reshape(1))  # type: ignore[operator]


def calibrator_loss(p_BS: Tensor) -> Tensor:
    """Mean over impressions of the sum over s > 1 of max(0, p(s) - p(s - 1)).

    Example:
        >>> round(calibrator_loss(torch.tensor([[0.2, 0.5], [0.5, 0.2]])).item(), 4)
        0.15
    """
    return (p_BS[:, 1:] - p_BS[:, :-1]).clamp(min=0.0).sum(dim=1).mean()
