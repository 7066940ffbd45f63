"""Gradient-boosted trees of the mean spend (Tweedie), blended with ``usual_spend`` as far as that has helped.

How much is found on the latest labelled cut with trees from the older ones: regular customers of a grocer deserve
half, the erratic ones of a gift shop nothing. The mean is predicted, not the median: a median wins WAPE by lying low.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, Flags, ShopArrays
from shoploom.ensemble.members.outlook import Outlook, outlook
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.ensemble.members.usual_spend import DEFAULT, around, spread, usual_of
from shoploom.features.engineered import customer_table
from shoploom.tasks.base import Cases, Numbers, Task

ROUNDS, QUANTILE_ROUNDS, FEWEST_ROWS = 150, 100, 50
PARAMS: Final[dict[str, Any]] = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.5,
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.6,
    "bagging_freq": 1,
}
BLENDS = (0.0, 0.25, 0.5, 0.75)
LEVELS = {"p10": 0.1, "p90": 0.9}


class LightgbmSpend:
    """Trees for the mean and for two quantiles; too few labelled rows fall back to ``usual_spend``."""

    name: ClassVar[str] = "lightgbm_spend"

    def __init__(self) -> None:
        self.mean: Trees | None = None
        self.quantiles: dict[str, Trees] = {}
        self.blend = 0.0
        self.factors = DEFAULT

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from up to four earlier cuts; the latest one also chooses the blend."""
        del task
        rows = outlook(shop)
        if len(rows) < FEWEST_ROWS or rows.spend.max(initial=0.0) <= 0:
            self.factors = spread(rows, rows.usual)
            return
        self.blend = _best_blend(rows, seed)
        everything = np.ones(len(rows), dtype=bool)
        self.mean = _mean_trees(rows, everything, seed)
        for name, level in LEVELS.items():
            params = PARAMS | {"objective": "quantile", "alpha": level}
            self.quantiles[name] = Trees.train(
                rows.features, rows.spend, rounds=QUANTILE_ROUNDS, seed=seed, params=params
            )

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the horizon's spend."""
        table = customer_table(shop, cases.units)
        usual, features = usual_of(table, float(shop.clock.horizon_days)), table.logs()
        if self.mean is None:
            return Numbers(around(usual, self.factors))
        mean = (1 - self.blend) * self.mean(features) + self.blend * usual
        low = np.maximum(self.quantiles["p10"](features), 0.0)
        return Numbers({"mean": mean, "p10": low, "p90": np.maximum(self.quantiles["p90"](features), low)})

    def save(self, folder: Path) -> None:
        """LightGBM's text format."""
        fitted = self.mean is not None
        save_state(folder, {"fitted": fitted, "blend": self.blend, "factors": list(self.factors)})
        if self.mean is not None:
            self.mean.save(folder / "mean.txt")
            for name, one in self.quantiles.items():
                one.save(folder / f"{name}.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        member.blend = settings["blend"]
        member.factors = (settings["factors"][0], settings["factors"][1])
        if settings["fitted"]:
            member.mean = Trees.load(folder / "mean.txt")
            member.quantiles = {name: Trees.load(folder / f"{name}.txt") for name in LEVELS}
        return member


def _mean_trees(rows: Outlook, chosen: Flags, seed: int) -> Trees:
    target = np.maximum(rows.spend[chosen], 0.0)
    return Trees.train(rows.features[chosen], target, rounds=ROUNDS, seed=seed, params=PARAMS)


def _best_blend(rows: Outlook, seed: int) -> float:
    """The weight of the usual amount with the least absolute error on the latest cut, unseen by the trees."""
    latest: NDArray[np.bool_] = rows.cut == 0
    if (~latest).sum() < FEWEST_ROWS or rows.spend[~latest].max() <= 0:
        return 0.0
    learned = _mean_trees(rows, ~latest, seed)(rows.features[latest])
    usual, truth = np.maximum(rows.usual[latest], 0.0), rows.spend[latest]

    def error(weight: float) -> float:
        guess: F64 = (1 - weight) * learned + weight * usual
        return float(np.abs(guess - truth).sum())

    return min(BLENDS, key=error)
