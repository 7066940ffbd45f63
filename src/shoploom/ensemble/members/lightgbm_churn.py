"""Gradient-boosted trees for churn on the same features as ``logistic``; small trees, few customers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.few_trips import few_trips
from shoploom.ensemble.members.outlook import outlook, two_classes
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.features.engineered import customer_table
from shoploom.tasks.base import Cases, Numbers, Task

FILE: Final = "trees.txt"
ROUNDS: Final = 150
PARAMS: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 7,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "lambda_l2": 10.0,
}


class LightgbmChurn:
    """150 trees of 7 leaves; without labelled rows of both kinds it falls back to ``few_trips``."""

    name: ClassVar[str] = "lightgbm_churn"

    def __init__(self) -> None:
        self.trees: Trees | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from up to four earlier cuts."""
        del task
        rows = outlook(shop)
        if two_classes(rows.away):
            self.trees = Trees.train(rows.features, rows.away, rounds=ROUNDS, seed=seed, params=PARAMS)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Probability of no purchase in the horizon."""
        table = customer_table(shop, cases.units)
        if self.trees is None:
            return Numbers({"probability": few_trips(table)})
        return Numbers({"probability": self.trees(table.logs())})

    def save(self, folder: Path) -> None:
        """LightGBM's text format."""
        save_state(folder, {"fitted": self.trees is not None})
        if self.trees is not None:
            self.trees.save(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        if settings["fitted"]:
            member.trees = Trees.load(folder / FILE)
        return member
