"""The mean of the last horizon's spend and of the lifetime rate: two lines that boosting finds hard to beat."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.outlook import Outlook, outlook, usual_amount
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.engineered import CustomerTable, customer_table
from shoploom.tasks.base import Cases, Numbers, Task

DEFAULT = (0.0, 2.0)
"""p10 and p90 as multiples of the mean where no earlier horizon tells."""


class UsualSpend:
    """Nothing is learned but how wide the interval is."""

    name: ClassVar[str] = "usual_spend"

    def __init__(self) -> None:
        self.factors = DEFAULT

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """The 10 % and 90 % quantiles of what came over what is usual, at earlier cuts."""
        del task, seed
        rows = outlook(shop)
        self.factors = spread(rows, rows.usual)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the horizon's spend."""
        mean = usual_of(customer_table(shop, cases.units), float(shop.clock.horizon_days))
        return Numbers(around(mean, self.factors))

    def save(self, folder: Path) -> None:
        """Two numbers."""
        save_state(folder, {"factors": list(self.factors)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        member.factors = (settings["factors"][0], settings["factors"][1])
        return member


def usual_of(table: CustomerTable, horizon: float) -> F64:
    """(B,) usual amount, never below 0 (refunds may outweigh purchases)."""
    return np.maximum(usual_amount(table.column("spend_horizon"), table.column("rate"), horizon), 0.0)


def spread(rows: Outlook, predicted: F64) -> tuple[float, float]:
    """10 % and 90 % quantiles of spend over prediction."""
    kept = predicted > 0
    if kept.sum() < 20:
        return DEFAULT
    low, high = np.quantile(rows.spend[kept] / predicted[kept], [0.1, 0.9])
    return float(max(low, 0.0)), float(max(high, low, 0.0))


def around(mean: F64, factors: tuple[float, float]) -> dict[str, F64]:
    """The columns of a prediction whose quantiles are multiples of the mean."""
    return {"mean": mean, "p10": mean * factors[0], "p90": mean * factors[1]}
