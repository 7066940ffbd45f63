"""Gradient-boosted trees on the engineered numbers, some bags for each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from shoploom.data.arrays import F32, F64
from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel.base import chained, with_position
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees

FEW_ROWS, MOST_ROWS, BAGS, MOST_CODES = 200_000, 1_500_000, 6, 64
FEW: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 3,
    "num_threads": 1,
    "min_data_in_leaf": 150,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 20.0,
}
FEW_TREES: Final = 400
MANY: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
}
MANY_TREES: Final = 150


class Lightgbm:
    """Small trees and several bags with few impressions, larger ones and one bag with many.

    The position is one more number, and the first one is assumed where it is unknown. Fields with up to 64 codes are
    read as they are; of others only their rates are known, as numbers.
    """

    name: ClassVar[str] = "lightgbm"

    def __init__(self) -> None:
        self.bags: list[list[Trees]] = []
        self.rates: list[float] = []

    def fit(self, rows: Impressions, *, seed: int = 0) -> None:
        """Each stage on all impressions, of many the latest."""
        few = len(rows) < FEW_ROWS
        if len(rows) > MOST_ROWS:
            rows = rows.take(np.sort(np.argsort(rows.time, kind="stable")[-MOST_ROWS:]))
        features = _features(rows)
        params, trees, bags = (FEW, FEW_TREES, BAGS) if few else (MANY, MANY_TREES, 1)
        self.bags, self.rates = [], [float(labels.mean()) for labels in rows.reached.T]
        for labels, rate in zip(np.ascontiguousarray(rows.reached.T), self.rates, strict=True):
            fitted = []
            if 0 < rate < 1:
                seeds = [1000 * seed + bag for bag in range(bags)]
                fitted = [Trees.train(features, labels, rounds=trees, seed=one, params=params) for one in seeds]
            self.bags.append(fitted)

    def predict(self, rows: Impressions) -> F64:
        """Mean of the bags, made coherent by the running minimum."""
        features = _features(rows)
        columns = [
            np.mean([trees(features) for trees in bags], axis=0) if bags else np.full(len(rows), rate)
            for bags, rate in zip(self.bags, self.rates, strict=True)
        ]
        return chained(np.column_stack(columns))

    def save(self, folder: Path) -> None:
        """LightGBM's text format."""
        save_state(folder, {"rates": self.rates, "bags": [len(bags) for bags in self.bags]})
        for stage, bags in enumerate(self.bags):
            for place, trees in enumerate(bags):
                trees.save(folder / f"stage{stage}_bag{place}.txt")

    @classmethod
    def load(cls, folder: Path) -> Lightgbm:
        """The saved member."""
        settings, _ = load_state(folder)
        one = cls()
        one.rates = settings["rates"]
        one.bags = [
            [Trees.load(folder / f"stage{stage}_bag{place}.txt") for place in range(count)]
            for stage, count in enumerate(settings["bags"])
        ]
        return one


def _features(rows: Impressions) -> F32:
    few = [place for place, size in enumerate(rows.sizes) if size <= MOST_CODES]
    return np.concatenate([with_position(rows), rows.codes[:, few].astype(np.float32)], axis=1)
