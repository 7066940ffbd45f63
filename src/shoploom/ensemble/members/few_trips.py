"""Customers who came rarely of late are likeliest to leave: the two-line rival of churn."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.engineered import CustomerTable, customer_table
from shoploom.tasks.base import Cases, Numbers, Task


class FewTrips:
    """1 / (1 + orders in 28 days), ties by the orders in 56 days."""

    name: ClassVar[str] = "few_trips"

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Nothing is learned."""

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Probabilities in name only: their order is what counts."""
        return Numbers({"probability": few_trips(customer_table(shop, cases.units))})

    def save(self, folder: Path) -> None:
        """A note that the member was here."""
        save_state(folder, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        load_state(folder)
        return cls()


def few_trips(table: CustomerTable) -> F64:
    """The heuristic itself, for members that had nothing to learn from."""
    return np.asarray(1.0 / (1.0 + table.column("orders_28") + 0.01 * table.column("orders_56")))
