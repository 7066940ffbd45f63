"""What most customers bought in the last two weeks: follows seasons and promotions."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.popularity import global_lists
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.shortlist import excludes
from shoploom.tasks.base import Cases, Ranked, Task

DAYS = 14.0


class RecentPopularity:
    """Products by the number of different customers in the last 14 days, then by all orders."""

    name: ClassVar[str] = "recent_popularity"

    def __init__(self) -> None:
        self.best: Bestsellers | None = None
        self.new_only = False

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Count the buyers of each product."""
        del seed
        self.new_only = task.name == "new_for_you"
        self.best = Bestsellers.buyers(shop, days=DAYS, goods_only=self.new_only)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The same list for everybody, but for what must be left out."""
        assert self.best is not None, "fit or load first"
        return global_lists(self.best, shop, cases, exclude=excludes(cases, by_default=self.new_only))

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
