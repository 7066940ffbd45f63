"""Losses that several heads share."""

from __future__ import annotations

import torch
from torch import Tensor


def pinball(truth: Tensor, predicted: Tensor, level: float) -> Tensor:
    """Quantile loss of each case.

    References:
        Koenker and Bassett 1978, "Regression Quantiles", Econometrica 46(1), Eq. (1.2).

    Example:
        >>> pinball(torch.tensor([2.0]), torch.tensor([1.0]), 0.9)
        tensor([0.9000])
    """
    error = truth - predicted
    return torch.maximum(level * error, (level - 1) * error)


def biased_sum(predicted: Tensor, truth: Tensor, scale: Tensor, *, weight: float = 1.0) -> Tensor:
    """Squared relative error of a batch's sum: 0 where the forecasts add up to the truth.

    Args:
        predicted: (n,).
        truth: (n,).
        scale: Mean of the truth over the training set, so that a lucky batch of zeros does not explode.
        weight: Of the penalty.
    """
    return weight * ((predicted.mean() - truth.mean()) / torch.maximum(truth.mean(), 0.5 * scale)) ** 2
