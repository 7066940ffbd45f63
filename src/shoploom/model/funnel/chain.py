"""Probabilities along a chain of stages: products of conditional ones, so that none can exceed the one before.

With p(s | s - 1) = sigmoid(z_s), the chance to reach stage s is the product of the first s of them (Ma et al. 2018,
"Entire Space Multi-Task Model", arXiv:1804.07931, Eq. (1): pCTCVR = pCTR pCVR). All of it is done in logs, which stay
finite where the product underflows.
"""

# Shapes: B impressions, S stages

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST = 1e-7


@dataclass(frozen=True)
class Observed:
    """What is known of a batch's outcome.

    Args:
        reached: (B, S) 1 where the stage was seen to be reached, else 0.
        log_seen: (B, S) log of the chance that reaching the stage would have been seen: examination of the position
            times maturity of the stage; 0 where everything is seen.
    """

    reached: Tensor
    log_seen: Tensor


def log_reached(logits: Tensor) -> Tensor:
    """(B, S) log-probability to reach each stage from the logits of the conditional ones.

    Example:
        >>> log_reached(torch.zeros(1, 3)).exp().tolist()
        [[0.5, 0.25, 0.125]]
    """
    return functional.logsigmoid(logits).cumsum(dim=1)


def log_loss(log_probability: Tensor, labels: Tensor) -> Tensor:
    """Element-wise -y log p - (1 - y) log(1 - p) from log p <= 0, without leaving the logs."""
    log_other = torch.log(-torch.expm1(log_probability.clamp(max=-SMALLEST)))
    return -(labels * log_probability + (1 - labels) * log_other)
