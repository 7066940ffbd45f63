"""Logistic regression on the engineered numbers, one for each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel.base import chained, with_position
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.binary_regression import BinaryRegression

PENALTY: Final = 3e-3
MOST_ROWS: Final = 400_000
"""The latest; Newton's method reads all rows in each round."""


class Logistic:
    """The chain's stages one by one on all impressions; a stage that nobody or everybody reached is its rate."""

    name: ClassVar[str] = "logistic"

    def __init__(self) -> None:
        self.models: list[BinaryRegression | float] = []

    def fit(self, rows: Impressions, *, seed: int = 0) -> None:
        """Newton's method."""
        del seed
        if len(rows) > MOST_ROWS:
            rows = rows.take(np.sort(np.argsort(rows.time, kind="stable")[-MOST_ROWS:]))
        features = with_position(rows)
        self.models = []
        for labels in rows.reached.T:
            rate = float(labels.mean())
            fitted = BinaryRegression.fit(features, labels.astype(np.int8), penalty=PENALTY) if 0 < rate < 1 else rate
            self.models.append(fitted)

    def predict(self, rows: Impressions) -> F64:
        """Made coherent by the running minimum."""
        features = with_position(rows)
        columns = [one(features) if callable(one) else np.full(len(rows), one) for one in self.models]
        return chained(np.column_stack(columns))

    def save(self, folder: Path) -> None:
        """Weights."""
        settings: list[float | None] = []
        arrays: dict[str, NDArray[Any]] = {}
        for place, one in enumerate(self.models):
            settings.append(None if callable(one) else one)
            if callable(one):
                arrays |= {f"{place}.{name}": value for name, value in one.arrays().items()}
        save_state(folder, {"rates": settings}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Logistic:
        """The saved member."""
        settings, arrays = load_state(folder)
        one = cls()
        for place, rate in enumerate(settings["rates"]):
            prefix = f"{place}."
            parts = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
            one.models.append(BinaryRegression.from_arrays(parts) if rate is None else rate)
        return one
