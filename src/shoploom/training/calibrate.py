"""After training: makes point and interval honest on what was held back.

A network that has seen its labels is surer than it should be. The held-back tenth says by how much: the point moves to
where it loses least, the interval is stretched until it covers four fifths. A refit keeps these numbers.
"""

# Shapes: n cases

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shoploom.data.arrays import F64

LEAST_CASES = 40
TAIL = 0.1
NOTHING = 0.05
"""A lower quantile below this share of the point is 0: a ratio alone never reaches those who buy nothing."""
_STRETCHES = np.geomspace(0.25, 8.0, 61)
_SHIFTS = np.linspace(-0.5, 0.25, 61)


@dataclass(frozen=True)
class Calibration:
    """How to correct a mean and its quantiles.

    Args:
        factor: Multiplies the point.
        low, high: Powers of the ratios p10 / point and p90 / point; above 1 widens.
    """

    factor: float = 1.0
    low: float = 1.0
    high: float = 1.0

    def apply(self, mean: F64, low: F64, high: F64) -> dict[str, F64]:
        """The corrected columns ``mean``, ``p10``, ``p90``, in order."""
        safe = np.maximum(mean, 1e-9)
        below, above = np.minimum(low / safe, 1.0), np.maximum(high / safe, 1.0)
        mean, share = mean * self.factor, below**self.low
        share = np.where(share < NOTHING, 0.0, share)
        return {"mean": mean, "p10": mean * share, "p90": mean * above**self.high}


def calibrate(
    truth: F64, mean: F64, low: F64, high: F64, *, relative: bool = False, factor: float = 1.0
) -> Calibration:
    """The correction that fits some cases best.

    Args:
        truth: (n,) what happened.
        mean: (n,) predicted.
        low: (n,) 10 % quantile.
        high: (n,) 90 % quantile.
        relative: Whether to move the point to the least mean relative error (prices).
        factor: Of the point, otherwise.
    """
    if len(truth) < LEAST_CASES:
        return Calibration()
    if relative:
        errors = [float(np.abs(mean * np.exp(shift) / truth - 1).mean()) for shift in _SHIFTS]
        factor = float(np.exp(_SHIFTS[int(np.argmin(errors))]))
    tails = {}
    for name, side in (("low", -1), ("high", 1)):
        outside = []
        for stretch in _STRETCHES:
            columns = Calibration(factor, stretch, stretch).apply(mean, low, high)
            missed = truth < columns["p10"] if side < 0 else truth > columns["p90"]
            outside.append(abs(float(missed.mean()) - TAIL))
        tails[name] = float(_STRETCHES[int(np.argmin(outside))])
    return Calibration(factor, tails["low"], tails["high"])


def to_dict(found: Mapping[str, Calibration]) -> dict[str, list[float]]:
    """JSON-ready."""
    return {name: [one.factor, one.low, one.high] for name, one in found.items()}


def from_dict(raw: Mapping[str, list[float]]) -> dict[str, Calibration]:
    """The inverse of ``to_dict``."""
    return {name: Calibration(*one) for name, one in raw.items()}
