"""The shares of an attribute's values among customers who are known: the floor of every profile."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Attribute, ShopArrays
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.tasks.base import Cases, Classes, Task


class Majority:
    """The same probabilities for everybody."""

    name: ClassVar[str] = "majority"

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, ...]] = {}
        self.shares: dict[str, F64] = {}

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Count the known values."""
        del task, seed
        self.values = {name: one.values for name, one in shop.attributes.items()}
        self.shares = {name: value_shares(one) for name, one in shop.attributes.items()}

    def predict(self, shop: ShopArrays, cases: Cases) -> Classes:
        """The shares, once per case."""
        del shop
        found = {name: np.tile(shares, (len(cases), 1)) for name, shares in self.shares.items()}
        return Classes(dict(self.values), found)

    def save(self, folder: Path) -> None:
        """Shares as JSON."""
        shares = {name: one.tolist() for name, one in self.shares.items()}
        save_state(folder, {"values": {name: list(one) for name, one in self.values.items()}, "shares": shares})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        member.values = {name: tuple(one) for name, one in settings["values"].items()}
        member.shares = {name: np.array(one) for name, one in settings["shares"].items()}
        return member


def value_shares(attribute: Attribute) -> F64:
    """(V,) share of each value among the known ones; even shares if nobody is known."""
    counts = np.bincount(attribute.codes[attribute.codes >= 0], minlength=len(attribute.values)).astype(np.float64)
    total = counts.sum()
    return np.asarray(counts / total) if total else np.full(len(counts), 1.0 / max(1, len(counts)))
