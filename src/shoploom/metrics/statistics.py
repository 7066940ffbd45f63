"""Metrics as functions of unit weights, so that one paired bootstrap serves them all.

A statistic takes one weight per independent unit (customer or product). Ones give the estimate, the counts of a
resample with replacement give one bootstrap round. Knows nothing of shops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Statistic = Callable[[Values], dict[str, float]]


def means(columns: Mapping[str, Values]) -> Statistic:
    """Plain averages over units; NaN marks a unit for which a metric is not defined.

    Example:
        >>> means({"hit": np.array([1.0, 0.0, np.nan])})(np.ones(3))
        {'hit': 0.5}
    """
    prepared = {name: (np.nan_to_num(values), (~np.isnan(values)).astype(float)) for name, values in columns.items()}

    def statistic(weights: Values) -> dict[str, float]:
        return {name: _ratio(weights @ values, weights @ known) for name, (values, known) in prepared.items()}

    return statistic


def ratios(parts: Mapping[str, tuple[Values, Values]]) -> Statistic:
    """Sums of a numerator over sums of a denominator, both per unit (WAPE, bias).

    Example:
        >>> ratios({"wape": (np.array([1.0, 3.0]), np.array([2.0, 6.0]))})(np.ones(2))
        {'wape': 0.5}
    """

    def statistic(weights: Values) -> dict[str, float]:
        return {name: _ratio(weights @ top, weights @ bottom) for name, (top, bottom) in parts.items()}

    return statistic


def together(*statistics: Statistic) -> Statistic:
    """Several statistics of the same units as one."""

    def statistic(weights: Values) -> dict[str, float]:
        found: dict[str, float] = {}
        for one in statistics:
            found |= one(weights)
        return found

    return statistic


def _ratio(top: Any, bottom: Any) -> float:
    return float(top / bottom) if bottom else float("nan")
