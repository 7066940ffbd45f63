"""The usual price of products that share the most telling value with the new one."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.pricing import (
    DEFAULT_SPREAD,
    PriceSheet,
    fit_keys,
    key_of,
    keys_from_state,
    keys_out_of_fold,
    keys_to_state,
    mape_factor,
    price_keys,
    priced,
    spread_of,
)
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.encodings import DRAW, Encoding
from shoploom.features.products import describe
from shoploom.tasks.base import Cases, Numbers, Task


class CategoryBackOff:
    """Geometric mean price by the most telling key, drawn towards the next one where few products share it.

    Keys are what the catalogue has: category levels, brand, attributes, pairs of a category with these, the stem of
    the product's id. How good each is, is measured on products left out.
    """

    name: ClassVar[str] = "category_back_off"

    def __init__(self) -> None:
        self.encodings: dict[str, Encoding] = {}
        self.order: list[str] = []
        self.overall = 0.0
        self.factor = 1.0
        self.spread = DEFAULT_SPREAD

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Means per key, and the order of the keys by their error out of fold."""
        del task
        sheet = PriceSheet.of(shop, seed)
        if not len(sheet):
            return
        keys, target = price_keys(sheet.about), sheet.log_price
        self.overall = float(target.mean())
        left_out = keys_out_of_fold(keys, target, sheet.fold, draw=0.0)
        errors = {
            name: float(np.abs(mean - target)[count > 0].mean())
            for name, (mean, count) in left_out.items()
            if (count > 0).any()
        }
        self.order = sorted(errors, key=lambda name: errors[name])
        guess = np.exp(_backed_off(left_out, self.order, self.overall, len(sheet)))
        self.factor, self.spread = mape_factor(guess, sheet.price), spread_of(guess, sheet.price)
        self.encodings = fit_keys({name: keys[name] for name in self.order}, target, draw=0.0)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the shelf price."""
        keys = price_keys(describe(shop, cases.units))
        known = {name: one(key_of(keys, name, len(cases))) for name, one in self.encodings.items()}
        guess = np.exp(_backed_off(known, self.order, self.overall, len(cases)))
        return priced(guess, self.factor, self.spread)

    def save(self, folder: Path) -> None:
        """Values, means and counts."""
        settings, arrays = keys_to_state(self.encodings)
        state = {"keys": settings, "order": self.order, "overall": self.overall, "factor": self.factor}
        save_state(folder, state | {"spread": list(self.spread)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.encodings = keys_from_state(settings["keys"], arrays)
        member.order, member.overall, member.factor = settings["order"], settings["overall"], settings["factor"]
        member.spread = (settings["spread"][0], settings["spread"][1])
        return member


def _backed_off(known: dict[str, tuple[F64, F64]], order: list[str], overall: float, number: int) -> F64:
    guess = np.full(number, overall)
    for name in reversed(order):
        means, counts = known[name]
        guess = (counts * means + DRAW * guess) / (counts + DRAW)
    return guess
