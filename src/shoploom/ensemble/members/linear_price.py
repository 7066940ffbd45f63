"""Ridge regression of the log price on words and pairs of words of title, category, brand and attributes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.pricing import (
    DEFAULT_SPREAD,
    PriceSheet,
    TextRidge,
    mape_factor,
    priced,
    spread_of,
    text_out_of_fold,
)
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.products import describe
from shoploom.tasks.base import Cases, Numbers, Task


class LinearPrice:
    """A linear model of the log price, moved to where MAPE is smallest out of fold."""

    name: ClassVar[str] = "linear_price"

    def __init__(self) -> None:
        self.model: TextRidge | None = None
        self.factor = 1.0
        self.spread = DEFAULT_SPREAD

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """One regression per fold for the spread, one on all."""
        del task
        sheet = PriceSheet.of(shop, seed)
        if not len(sheet):
            return
        texts = sheet.about.texts()
        guess = np.exp(text_out_of_fold(texts, sheet.log_price, sheet.fold))
        self.factor, self.spread = mape_factor(guess, sheet.price), spread_of(guess, sheet.price)
        self.model = TextRidge.fit(texts, sheet.log_price)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the shelf price."""
        texts = describe(shop, cases.units).texts()
        guess = np.exp(self.model(texts)) if self.model is not None else np.ones(len(texts))
        return priced(guess, self.factor, self.spread)

    def save(self, folder: Path) -> None:
        """One number per bucket of words, twice."""
        arrays = self.model.arrays() if self.model is not None else {}
        save_state(folder, {"factor": self.factor, "spread": list(self.spread)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.model = TextRidge.from_arrays(arrays) if arrays else None
        member.factor, member.spread = settings["factor"], (settings["spread"][0], settings["spread"][1])
        return member
