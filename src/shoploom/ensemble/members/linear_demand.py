"""A ridge regression on lags, levels, promotion plan and how products sold under like plans."""

# Shapes: R rows, F features

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.forecasting import DemandRows, predicted, training_rows
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.tasks.base import Cases, Numbers, Task

RIDGE: Final = 1.0
CLIP: Final = 5.0
"""Features count up to so many standard deviations, so that one odd product does not tilt the plane."""


class LinearDemand:
    """Weighted least squares of pieces in units of each product's level; quantiles of the scaled residuals."""

    name: ClassVar[str] = "linear_demand"

    def __init__(self) -> None:
        self.centre: F64 = np.zeros(0)
        self.spread: F64 = np.ones(0)
        self.weights: F64 = np.zeros(0)
        self.residuals = (-1.0, 1.0)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Solve the normal equations."""
        del task, seed
        rows = training_rows(shop)
        if not len(rows):
            return
        weight = rows.scale / rows.scale.sum()
        known = np.where(np.isnan(rows.features), 0.0, 1.0) * weight[:, None]
        filled = np.nan_to_num(rows.features)
        self.centre = (known * filled).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        variance = (known * (filled - self.centre) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        self.spread = np.sqrt(variance) + 1e-9
        self.weights = _solved(self._inputs(rows.features), rows.target, weight * len(rows))
        self.residuals = self._residuals(rows)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 in pieces."""
        return predicted(shop, cases, self._pieces)

    def _pieces(self, features: F64, scale: F64) -> dict[str, F64]:
        guess = self._guess(features)
        root = np.sqrt(guess / scale)
        low, high = (guess + quantile * root for quantile in self.residuals)
        return {"mean": guess * scale, "p10": np.minimum(low, guess) * scale, "p90": np.maximum(high, guess) * scale}

    def _guess(self, features: F64) -> F64:
        if not len(self.weights):
            return np.ones(len(features))
        return np.asarray(np.maximum(self._inputs(features) @ self.weights, 0.01), dtype=np.float64)

    def _inputs(self, features: F64) -> F64:
        """Standardised features and a column of ones; unknown values are the mean."""
        scaled = np.clip(np.nan_to_num((features - self.centre) / self.spread), -CLIP, CLIP)
        return np.column_stack([scaled, np.ones(len(features))])

    def _residuals(self, rows: DemandRows) -> tuple[float, float]:
        """10 % and 90 % quantiles of the residuals in units of their Poisson deviation."""
        guess = self._guess(rows.features)
        low, high = np.quantile((rows.target - guess) / np.sqrt(guess / rows.scale), [0.1, 0.9])
        return float(low), float(high)

    def save(self, folder: Path) -> None:
        """Means, deviations and weights."""
        arrays = {"centre": self.centre, "spread": self.spread, "weights": self.weights}
        save_state(folder, {"residuals": list(self.residuals)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.centre, member.spread, member.weights = arrays["centre"], arrays["spread"], arrays["weights"]
        member.residuals = (settings["residuals"][0], settings["residuals"][1])
        return member


def _solved(inputs: F64, target: F64, weight: F64) -> F64:
    """Minimise sum w (y - Xb)^2 + ridge |b|^2, the constant not being drawn to 0."""
    penalty = np.full(inputs.shape[1], RIDGE)
    penalty[-1] = 1e-9
    left = (inputs * weight[:, None]).T @ inputs + np.diag(penalty)
    return np.asarray(np.linalg.solve(left, inputs.T @ (weight * target)), dtype=np.float64)
