"""What a customer bought most often comes again; the rest is filled up with what everybody buys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Histories, ShopArrays
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.pairs import Pairs, pairs_of
from shoploom.features.shortlist import excludes, filled, rules_of
from shoploom.tasks.base import Cases, Ranked, Task

SMALL = 1e-3
"""Weight of popularity beside personal counts: it only breaks ties."""


class PersonalFrequency:
    """Products by the number of the customer's own orders that hold them."""

    name: ClassVar[str] = "personal_frequency"

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
        return own_lists(self.best, shop, cases, lambda pairs: pairs.times, exclude=exclude)

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


def own_lists(
    sold: Bestsellers, shop: ShopArrays, cases: Cases, score: Callable[[Pairs], F64], *, exclude: bool
) -> Ranked:
    """Lists of own products by a score of the pairs, filled up with popular ones.

    ``features.pairs`` counts ages from ``shop.end`` here, not from the visit: a common factor of all own products.
    """
    count, histories = len(shop.items), shop.histories(cases.units)
    moment = np.full(len(cases), latest(shop, histories))
    pairs = pairs_of(histories, moment, num_items=count, timezone=shop.timezone)
    rules = rules_of(cases, histories, sold.merchandise(count), count, exclude=exclude)
    own = (pairs.row, pairs.item, score(pairs))
    return filled(len(cases), rules, own, sold.popular, SMALL * sold.shares(count), cases.k)


def latest(shop: ShopArrays, histories: Histories) -> float:
    """The moment of asking: ``shop.end``, or just after the last live event of the batch."""
    return max(shop.end, float(histories.lines.time.max(initial=shop.end)))
