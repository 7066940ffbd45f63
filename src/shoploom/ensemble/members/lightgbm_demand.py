"""Boosted trees on lags, levels, the promotion plan and how products sold under like plans."""

# Shapes: R rows, F features

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.forecasting import predicted, training_rows
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.tasks.base import Cases, Numbers, Task

PARAMS: Final[dict[str, Any]] = {
    "learning_rate": 0.1,
    "num_leaves": 31,
    "max_bin": 63,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
}
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "tweedie": {"objective": "tweedie", "tweedie_variance_power": 1.2},
    "median": {"objective": "quantile", "alpha": 0.5},
    "p10": {"objective": "quantile", "alpha": 0.1},
    "p90": {"objective": "quantile", "alpha": 0.9},
}
ROUNDS: Final = {"tweedie": 100, "median": 100, "p10": 60, "p90": 60}
FEWEST: Final = 50


class LightgbmDemand:
    """Tweedie mean averaged with the median, p10 and p90, all in units of each product's level.

    The average is closer to most products than the mean, but loses pieces; it is scaled to the mean's total.
    With fewer than 50 rows to learn from (a shop of a few weeks) every product stays at its level.
    """

    name: ClassVar[str] = "lightgbm_demand"

    def __init__(self) -> None:
        self.models: dict[str, Trees] = {}
        self.kept = 1.0

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Four boosters on the rows of earlier moments."""
        del task
        rows = training_rows(shop)
        if len(rows) < FEWEST:
            return
        small = {"min_data_in_leaf": int(np.clip(len(rows) // 100, 5, 100))}
        for name, objective in OBJECTIVES.items():
            # the tails need fewer rows than the middle, and cost as much
            own = rows.take(slice(None, None, 2 if name in ("p10", "p90") and len(rows) > 20_000 else 1))
            self.models[name] = Trees.train(
                own.features,
                own.target,
                weight=own.scale,
                rounds=ROUNDS[name],
                seed=seed,
                params=PARAMS | small | objective,
            )
        mean, median = (np.maximum(self.models[name](rows.features), 0) for name in ("tweedie", "median"))
        share = float(rows.scale @ (mean + median)) / max(2 * float(rows.scale @ mean), 1e-9)
        self.kept = 1 / max(share, 0.5)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 in pieces."""
        return predicted(shop, cases, self._pieces)

    def _pieces(self, features: F64, scale: F64) -> dict[str, F64]:
        if not self.models:
            return {"mean": scale, "p10": 0.5 * scale, "p90": 1.7 * scale}
        found = {name: np.maximum(model(features), 0.0) * scale for name, model in self.models.items()}
        mean = (found["tweedie"] + found["median"]) / 2 * self.kept
        return {"mean": mean, "p10": found["p10"], "p90": found["p90"]}

    def save(self, folder: Path) -> None:
        """LightGBM's text format, one file per objective."""
        save_state(folder, {"models": list(self.models), "kept": self.kept})
        for name, model in self.models.items():
            model.save(folder / f"{name}.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        member.kept = settings["kept"]
        member.models = {name: Trees.load(folder / f"{name}.txt") for name in settings["models"]}
        return member
