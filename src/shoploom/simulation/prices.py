"""Prices by product and week: the regular price times a level that is drawn by a hash, so nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
DAYS = 7


class WeeklyPrices:
    """Each product draws a level per week, whatever else happens: the price is randomised, and so its effect known.

    Args:
        regular: (I,) regular prices.
        levels: Factors on them.
        weights: Probability of each level.
        seed: The same one draws the same levels.
    """

    def __init__(
        self, regular: NDArray[np.float64], levels: Sequence[float], weights: Sequence[float], seed: int
    ) -> None:
        self.regular = regular
        self.levels = np.array(levels, dtype=np.float64)
        self._cumulative = np.cumsum(weights)
        self._seed = np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)

    def at(self, item: NDArray[np.integer], day: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) shown prices of items at moments, to four decimals; those below 1 keep five digits."""
        week = np.floor(day / DAYS).astype(np.uint64)
        words = _mix(_mix(item.astype(np.uint64) + self._seed) ^ (week * np.uint64(0xA0761D6478BD642F)))
        chance = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        level = np.searchsorted(self._cumulative, chance, side="right").clip(max=len(self.levels) - 1)
        return np.asarray(np.round(self.regular[item] * self.levels[level], 4))


def _mix(words: U64) -> U64:
    """The finaliser of splitmix64: every bit of the input moves half the bits of the output."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(words ^ (words >> np.uint64(31)))
