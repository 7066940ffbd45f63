"""Counts as of a moment: how often a key had happened strictly before, for many moments at once.

Knows nothing of funnels: keys are integers, times are numbers.
"""

# Shapes: n questions, m events, W kinds of weight

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64


class Past:
    """Events by key and time, ready to be asked.

    Args:
        keys: (m,) non-negative codes.
        times: (m,) in any order.
        weights: (m, W) what each event adds; None: 1.

    Example:
        >>> past = Past(np.array([7, 7, 8]), np.array([1.0, 2.0, 1.0]))
        >>> past.total(np.array([7, 7, 8]), np.array([2.0, 9.0, 1.0]))[:, 0].tolist()
        [1.0, 2.0, 0.0]
    """

    def __init__(self, keys: NDArray[Any], times: NDArray[Any], weights: NDArray[Any] | None = None) -> None:
        self.moments = np.unique(times)
        rank = np.searchsorted(self.moments, times)
        code = np.asarray(keys, dtype=np.int64) * (len(self.moments) + 1) + rank
        order = np.argsort(code, kind="stable")
        self.codes = code[order]
        self.times = np.asarray(times, dtype=np.float64)[order]
        table = np.ones((len(order), 1)) if weights is None else np.asarray(weights, dtype=np.float64)[order]
        self.sums = np.zeros((len(order) + 1, table.shape[1]))
        np.cumsum(table, axis=0, out=self.sums[1:])

    def _between(self, keys: NDArray[Any], times: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first = np.asarray(keys, dtype=np.int64) * (len(self.moments) + 1)
        now = first + np.searchsorted(self.moments, times)
        return np.searchsorted(self.codes, first), np.searchsorted(self.codes, now)

    def total(self, keys: NDArray[Any], times: NDArray[Any], *, window: float | None = None) -> F64:
        """(n, W) sums over the key's events strictly before each time.

        Args:
            keys: (n,).
            times: (n,).
            window: Only events not older than this.
        """
        low, high = self._between(keys, times)
        if window is not None:
            _, low = self._between(keys, np.asarray(times) - window)
        return np.asarray(self.sums[high] - self.sums[low])

    def since(self, keys: NDArray[Any], times: NDArray[Any]) -> F64:
        """(n,) time since the key's latest event strictly before; NaN without one."""
        low, high = self._between(keys, times)
        latest = self.times[np.maximum(high - 1, 0)] if len(self.times) else np.zeros(len(high))
        return np.asarray(np.where(high > low, np.asarray(times, dtype=np.float64) - latest, np.nan))

    def since_first(self, keys: NDArray[Any], times: NDArray[Any]) -> F64:
        """(n,) time since the key's first event; NaN where that was not before."""
        low, high = self._between(keys, times)
        first = self.times[np.minimum(low, max(len(self.times) - 1, 0))] if len(self.times) else np.zeros(len(high))
        return np.asarray(np.where(high > low, np.asarray(times, dtype=np.float64) - first, np.nan))


def smoothed_rate(hits: NDArray[Any], shown: NDArray[Any], overall: F64 | float, *, strength: float) -> F64:
    """(hits + strength overall) / (shown + strength): the mean of a Beta prior worth ``strength`` cases.

    Example:
        >>> smoothed_rate(np.array([1.0]), np.array([10.0]), 0.3, strength=10.0).tolist()
        [0.2]
    """
    return np.asarray((hits + strength * np.asarray(overall)) / (shown + strength))
