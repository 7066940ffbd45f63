"""Like ``personal_frequency``, but an order counts half as much every 90 days: habits change."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.personal_frequency import own_lists
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.neighbours import HALF_LIFE_COLUMN
from shoploom.features.shortlist import excludes
from shoploom.tasks.base import Cases, Ranked, Task


class DecayedFrequency:
    """Products by the customer's own orders, halved every 90 days."""

    name: ClassVar[str] = "decayed_frequency"

    def __init__(self) -> None:
        self.best: Bestsellers | None = None
        self.new_only = False

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Only the popularity that fills up is learned."""
        del seed
        self.new_only = task.name == "new_for_you"
        self.best = Bestsellers.orders(shop, goods_only=self.new_only)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Own products first."""
        assert self.best is not None, "fit or load first"
        exclude = excludes(cases, by_default=self.new_only)
        return own_lists(self.best, shop, cases, lambda pairs: pairs.decays[:, HALF_LIFE_COLUMN], exclude=exclude)

    def save(self, folder: Path) -> None:
        """Counts as arrays."""
        assert self.best is not None, "fit first"
        save_state(folder, {"new_only": self.new_only}, self.best.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.new_only = settings["new_only"]
        member.best = Bestsellers.from_arrays(arrays)
        return member
