"""The shares of the categories, for every product: what knowing nothing amounts to."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.shelving import Labelled, answered
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.tasks.base import Cases, Classes, Task


class MajorityCategory:
    """Always the most frequent category."""

    name: ClassVar[str] = "majority_category"

    def __init__(self) -> None:
        self.values: tuple[str, ...] = ()
        self.shares: F64 = np.zeros(0)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Count."""
        del task, seed
        labelled = Labelled.of(shop)
        self.values, self.shares = labelled.values, labelled.shares()

    def predict(self, shop: ShopArrays, cases: Cases) -> Classes:
        """The same for everybody."""
        return answered(self.values, np.tile(self.shares, (len(cases), 1)))

    def save(self, folder: Path) -> None:
        """Names and shares."""
        save_state(folder, {"values": list(self.values), "shares": self.shares.tolist()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        member.values, member.shares = tuple(settings["values"]), np.array(settings["shares"], dtype=np.float64)
        return member
