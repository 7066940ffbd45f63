"""A generalised linear model of spend (Tweedie, log link) on logs of recency, frequency and spend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.outlook import Scaler, outlook
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.usual_spend import DEFAULT, around, spread, usual_of
from shoploom.features.engineered import customer_table
from shoploom.tasks.base import Cases, Numbers, Task

POWER, PENALTY = 1.5, 0.03
FEWEST_ROWS: Final = 50
CEILING: Final = 2.0
"""Nobody is predicted to spend more than twice the largest amount seen: the link is exponential."""


class LinearSpend:
    """A log-linear mean whose total fits the labelled rows; too few rows fall back to ``usual_spend``."""

    name: ClassVar[str] = "linear_spend"

    def __init__(self) -> None:
        self.scaler: Scaler | None = None
        self.weights: F64 = np.zeros(0)
        self.bias = 0.0
        self.most = 0.0
        self.factors = DEFAULT

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from up to four earlier cuts."""
        from sklearn.linear_model import TweedieRegressor

        del task, seed
        rows = outlook(shop)
        target = np.maximum(rows.spend, 0.0)
        if len(rows) < FEWEST_ROWS or target.sum() <= 0:
            return
        self.scaler = Scaler.fit(rows.features)
        unit = float(target.mean())  # the penalty then means the same in any currency
        model = TweedieRegressor(power=POWER, alpha=PENALTY, link="log", max_iter=1000)
        model.fit(self.scaler(rows.features), target / unit)
        self.weights, self.most = model.coef_.astype(np.float64), CEILING * float(target.max())
        self.bias = float(model.intercept_) + float(np.log(unit))
        self.bias += float(np.log(target.sum() / self._mean(rows.features).sum()))
        self.factors = spread(rows, self._mean(rows.features))

    def _mean(self, features: F64) -> F64:
        assert self.scaler is not None
        logits = np.minimum(self.scaler(features) @ self.weights + self.bias, 50.0)
        return np.minimum(np.exp(logits), self.most)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the horizon's spend."""
        table = customer_table(shop, cases.units)
        if self.scaler is None:
            return Numbers(around(usual_of(table, float(shop.clock.horizon_days)), self.factors))
        return Numbers(around(self._mean(table.logs()), self.factors))

    def save(self, folder: Path) -> None:
        """Coefficients as arrays."""
        settings: dict[str, Any] = {"fitted": self.scaler is not None, "bias": self.bias, "most": self.most}
        settings |= {"factors": list(self.factors)}
        if self.scaler is None:
            save_state(folder, settings)
        else:
            arrays = {"mean": self.scaler.mean, "scale": self.scaler.scale, "weights": self.weights}
            save_state(folder, settings, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.bias, member.most = settings["bias"], settings["most"]
        member.factors = (settings["factors"][0], settings["factors"][1])
        if settings["fitted"]:
            member.scaler, member.weights = Scaler(arrays["mean"], arrays["scale"]), arrays["weights"]
        return member
