"""Metrics of amounts, quantities and prices. ``weights`` count how often each row is drawn; None counts each once.

WAPE without the bias beside it is no result: on skewed data a forecast that is too low wins it.
"""

# Shapes: B rows

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def wape(truth: Values, predicted: Values, weights: Values | None = None) -> float:
    """Sum of absolute errors over the sum of actual values; NaN where that is 0.

    Example:
        >>> wape(np.array([4.0, 0.0]), np.array([3.0, 1.0]))
        0.5
    """
    return _over(np.abs(predicted - truth), truth, weights)


def bias(truth: Values, predicted: Values, weights: Values | None = None) -> float:
    """Sum of (predicted - actual) over the sum of actual values: 0.1 promises 10 % too much."""
    return _over(predicted - truth, truth, weights)


def mape(truth: Values, predicted: Values, weights: Values | None = None) -> float:
    """Mean of |predicted - actual| / actual, for actual values above 0."""
    return _mean(np.abs(predicted - truth) / truth, weights)


def mdape(truth: Values, predicted: Values, weights: Values | None = None) -> float:
    """Median of |predicted - actual| / actual."""
    return weighted_median(np.abs(predicted - truth) / truth, weights)


def mase(truth: Values, predicted: Values, scale: Values, weights: Values | None = None) -> float:
    """Mean absolute error in units of ``scale``, the mean absolute step-to-step change of each row's own past.

    Rows whose scale is NaN or 0 (no change to compare with) are left out.

    References:
        Hyndman and Koehler 2006, "Another look at measures of forecast accuracy", section 3.
    """
    return _mean(_scaled(np.abs(predicted - truth), scale), weights)


def rmsse(truth: Values, predicted: Values, scale: Values, weights: Values | None = None) -> float:
    """Root of the mean squared error in units of ``scale``, the root mean squared change of each row's own past."""
    return float(np.sqrt(_mean(_scaled(np.abs(predicted - truth), scale) ** 2, weights)))


def pinball(truth: Values, predicted: Values, level: float) -> Values:
    """(B,) Quantile loss: level x (what was missing) + (1 - level) x (what was too much).

    Example:
        >>> pinball(np.array([10.0, 10.0]), np.array([8.0, 12.0]), 0.75).tolist()
        [1.5, 0.5]
    """
    error = truth - predicted
    return np.asarray(np.maximum(level * error, (level - 1) * error), dtype=np.float64)


def covered(truth: Values, low: Values, high: Values) -> Values:
    """(B,) 1 where ``low <= truth <= high``."""
    return ((truth >= low) & (truth <= high)).astype(np.float64)


def coverage(truth: Values, low: Values, high: Values, weights: Values | None = None) -> float:
    """Share of rows inside their interval; an 80 % interval should hold 80 %."""
    return _mean(covered(truth, low, high), weights)


def r2_log(truth: Values, predicted: Values, weights: Values | None = None) -> float:
    """Share of the variance of the log values that is explained; NaN where they do not vary."""
    own = _weights(truth, weights)
    actual, guess = np.log(truth), np.log(predicted)
    spread = float(own @ (actual - own @ actual / own.sum()) ** 2)
    return 1 - float(own @ (actual - guess) ** 2) / spread if spread > 0 else float("nan")


def spearman(truth: Values, predicted: Values, weights: Values | None = None) -> float:
    """Rank correlation, ties sharing their mean rank; NaN where one side is constant.

    Under ``weights`` a row of weight 2 counts as two tied rows.
    """
    own = _weights(truth, weights)
    left, right = _ranks(truth, own), _ranks(predicted, own)
    left, right = left - own @ left / own.sum(), right - own @ right / own.sum()
    spread = float(np.sqrt((own @ left**2) * (own @ right**2)))
    return float(own @ (left * right)) / spread if spread > 0 else float("nan")


def weighted_median(values: Values, weights: Values | None = None) -> float:
    """The smallest value at which half of the weight is reached; the mean of two where exactly half is.

    Example:
        >>> weighted_median(np.array([3.0, 1.0, 2.0, 10.0]))
        2.5
    """
    own = _weights(values, weights)
    kept = own > 0
    if not kept.any():
        return float("nan")
    order = np.argsort(values[kept], kind="stable")
    ordered, reached = values[kept][order], np.cumsum(own[kept][order])
    half = reached[-1] / 2
    left, right = np.searchsorted(reached, half, "left"), np.searchsorted(reached, half, "right")
    return float((ordered[left] + ordered[min(right, len(ordered) - 1)]) / 2)


def _ranks(values: Values, weights: Values) -> Values:
    _, place = np.unique(values, return_inverse=True)
    sizes = np.bincount(place, weights)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[place], dtype=np.float64)


def _scaled(error: Values, scale: Values) -> Values:
    usable = np.where(scale > 0, scale, np.nan)
    return np.asarray(error / usable, dtype=np.float64)


def _weights(values: NDArray[Any], weights: Values | None) -> Values:
    return np.ones(len(values)) if weights is None else weights


def _over(top: Values, bottom: Values, weights: Values | None) -> float:
    own = _weights(bottom, weights)
    total = float(own @ bottom)
    return float(own @ top) / total if total else float("nan")


def _mean(values: Values, weights: Values | None) -> float:
    known = ~np.isnan(values)
    own = _weights(values, weights)[known]
    total = float(own.sum())
    return float(own @ values[known]) / total if total else float("nan")
