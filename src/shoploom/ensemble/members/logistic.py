"""Logistic regression on recency, frequency and spend: hard to beat for churn on a few thousand customers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.few_trips import few_trips
from shoploom.ensemble.members.outlook import Scaler, outlook, two_classes
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.engineered import customer_table
from shoploom.tasks.base import Cases, Numbers, Task

STRENGTH = 0.05
"""Inverse of the L2 penalty; 0.02 to 0.1 tie on both example shops."""


class Logistic:
    """Standardised logs of ``features.engineered``, L2.

    A history too short for labelled rows, or without both outcomes, falls back to ``few_trips``.
    """

    name: ClassVar[str] = "logistic"

    def __init__(self) -> None:
        self.scaler: Scaler | None = None
        self.weights: F64 = np.zeros(0)
        self.bias = 0.0

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from up to four earlier cuts."""
        from sklearn.linear_model import LogisticRegression

        del task
        rows = outlook(shop)
        if not two_classes(rows.away):
            return
        self.scaler = Scaler.fit(rows.features)
        model = LogisticRegression(C=STRENGTH, max_iter=1000, random_state=seed)
        model.fit(self.scaler(rows.features), rows.away)
        self.weights, self.bias = model.coef_[0].astype(np.float64), float(model.intercept_[0])

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Probability of no purchase in the horizon."""
        table = customer_table(shop, cases.units)
        if self.scaler is None:
            return Numbers({"probability": few_trips(table)})
        return Numbers({"probability": 1.0 / (1.0 + np.exp(-(self.scaler(table.logs()) @ self.weights + self.bias)))})

    def save(self, folder: Path) -> None:
        """Coefficients as arrays."""
        if self.scaler is None:
            save_state(folder, {"fitted": False})
            return
        arrays = {"mean": self.scaler.mean, "scale": self.scaler.scale, "weights": self.weights}
        save_state(folder, {"fitted": True, "bias": self.bias}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        if settings["fitted"]:
            member.scaler = Scaler(arrays["mean"], arrays["scale"])
            member.weights, member.bias = arrays["weights"], settings["bias"]
        return member
