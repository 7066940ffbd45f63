"""The mean of the last eight blocks, for every block ahead: the forecast that costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.forecasting import ordered
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.tasks.base import Cases, Numbers, Task

BLOCKS, SPREAD = 8, 13


class MeanOf8:
    """Nothing is learned; p10 and p90 are those of the last 13 blocks."""

    name: ClassVar[str] = "mean_of_8"

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Nothing to learn."""
        del shop, task, seed

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """The same numbers for each block of a product."""
        items, place = np.unique(cases.units, return_inverse=True)
        blocks = max(1, min(SPREAD, shop.num_blocks))
        units = shop.panel(items, blocks)
        low, high = np.quantile(units, [0.1, 0.9], axis=1)
        return Numbers(ordered(units[:, -BLOCKS:].mean(axis=1)[place], low[place], high[place]))

    def save(self, folder: Path) -> None:
        """An empty state."""
        save_state(folder, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        load_state(folder)
        return cls()
