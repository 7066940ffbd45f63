"""Delayed feedback: a conversion that has not been seen may still come.

With delays D ~ Exp(rate), a conversion would have been seen after an elapsed time e with chance 1 - exp(-rate e), its
maturity. A click without a conversion yet has likelihood 1 - p (1 - exp(-rate e)), one with a conversion after a delay
d has p rate exp(-rate d) (Chapelle 2014, "Modeling Delayed Feedback in Display Advertising", Eq. (10) and (11)). Only
the first factor depends on p, so that the network needs nothing but the maturity of each impression.
"""

# Shapes: B clicks, n clicks, F features

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoploom.data.arrays import F64
from shoploom.errors import DataError

LEAST_MATURITY = 1e-4


def delay_loss(logit: Tensor, log_rate: Tensor, converted: Tensor, waited: Tensor) -> Tensor:
    """(B,) minus log-likelihood of Chapelle's model.

    Args:
        logit: (B,) of p, the chance to convert at all.
        log_rate: (B,) log of the rate of delays, per unit of time.
        converted: (B,) 1 where a conversion has been seen.
        waited: (B,) delay of the conversion where it has been seen, else the time since the click.
    """
    exponent = log_rate.exp() * waited
    seen = functional.logsigmoid(logit) + log_rate - exponent
    # log(1 - p + p exp(-rate e)) with p = sigmoid(z)
    unseen = torch.logaddexp(functional.logsigmoid(-logit), functional.logsigmoid(logit) - exponent)
    return -(converted * seen + (1 - converted) * unseen)


@dataclass(frozen=True)
class Delay:
    """Exponential delays of conversions.

    Args:
        rate: Per unit of time; the mean delay is 1 / rate.
    """

    rate: float

    def maturity(self, elapsed: F64) -> F64:
        """(n,) chance that a conversion would have been seen after so long.

        Example:
            >>> round(float(Delay(rate=0.5).maturity(np.array([2.0]))[0]), 4)
            0.6321
        """
        return np.asarray(np.maximum(-np.expm1(-self.rate * np.maximum(elapsed, 0.0)), LEAST_MATURITY))


def fit_delay(delays: F64, elapsed: F64, *, rounds: int = 200) -> Delay:
    """The rate that makes the seen delays likeliest, given that longer ones could not be seen yet.

    A delay seen within the time e since its click follows an exponential cut off at e, with log-likelihood log rate -
    rate d - log(1 - exp(-rate e)); its slope falls with the rate, so that halving finds the root.

    Args:
        delays: (n,) of the conversions that have been seen.
        elapsed: (n,) time since the click of each, at least the delay.
        rounds: At most.

    Raises:
        DataError: If there are none, or one is negative or longer than the time elapsed.
    """
    if not len(delays):
        raise DataError("no conversion has been seen, so their delays are unknown; wait for some, or give a rate")
    wrong = (delays < 0) | (delays > elapsed)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{int(wrong.sum())} delays are negative or longer than the time elapsed (row {row}: {delays[row]:g} of "
            f"{elapsed[row]:g}); both are counted from the click, in the same unit"
        )
    low, high = 1e-6 / float(elapsed.max() + 1e-12), 1e6 / float(max(delays.mean(), 1e-12))
    for _ in range(rounds):  # on a log scale
        rate = float(np.sqrt(low * high))
        reach = rate * elapsed
        cut = elapsed / np.expm1(np.minimum(reach, 700.0).clip(min=1e-12))
        slope = float((1 / rate - delays - cut).sum())
        low, high = (rate, high) if slope > 0 else (low, rate)
        if high / low < 1 + 1e-12:
            break
    return Delay(float(np.sqrt(low * high)))
