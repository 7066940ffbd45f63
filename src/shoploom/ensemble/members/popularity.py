"""What everybody buys, the same for all customers: the floor under every recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.shortlist import excludes, filled, rules_of
from shoploom.tasks.base import Cases, Ranked, Task


class Popularity:
    """Products by number of orders."""

    name: ClassVar[str] = "popularity"

    def __init__(self) -> None:
        self.best: Bestsellers | None = None
        self.new_only = False

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Count the orders of each product."""
        del seed
        self.new_only = task.name == "new_for_you"
        self.best = Bestsellers.orders(shop, goods_only=self.new_only)

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


def global_lists(sold: Bestsellers, shop: ShopArrays, cases: Cases, *, exclude: bool) -> Ranked:
    """Lists in one order for all, without what a case must not be shown."""
    count = len(shop.items)
    histories = shop.histories(cases.units if exclude else cases.units[:0])
    rules = rules_of(cases, histories, sold.merchandise(count), count, exclude=exclude)
    nobody = np.zeros(0, dtype=np.int64)
    return filled(len(cases), rules, (nobody, nobody, np.zeros(0)), sold.popular, sold.shares(count), cases.k)
