"""Boosted trees on what is usual for each key of the catalogue, on the words and on the package size."""

# Shapes: n products, F features

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.pricing import (
    DEFAULT_SPREAD,
    PriceSheet,
    TextRidge,
    fit_keys,
    key_of,
    keys_from_state,
    keys_out_of_fold,
    keys_to_state,
    price_keys,
    priced,
    text_out_of_fold,
)
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.features.encodings import Encoding
from shoploom.features.products import Descriptions, describe
from shoploom.tasks.base import Cases, Numbers, Task

FEWEST: Final = 50
ROUNDS: Final = {"mean": 100, "p10": 50, "p90": 50}
PARAMS: Final[dict[str, Any]] = {
    "num_leaves": 47,
    "max_bin": 63,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
}
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "mean": {"objective": "l1", "learning_rate": 0.12},
    "p10": {"objective": "quantile", "alpha": 0.1, "learning_rate": 0.15},
    "p90": {"objective": "quantile", "alpha": 0.9, "learning_rate": 0.15},
}
MOST_SALES: Final = 20
"""New products are sold a few times; well-known ones count less, down to 1 / sqrt(20)."""


class LightgbmPrice:
    """Trees that minimise MAPE, and two quantiles.

    MAPE of a price is an absolute error weighed by 1 / price. In a leaf its best guess is the median under those
    weights, which is the same for logs; between leaves the weights are taken relative to the usual price of such
    products, else cheap ones alone would shape the trees.
    """

    name: ClassVar[str] = "lightgbm_price"

    def __init__(self) -> None:
        self.encodings: dict[str, Encoding] = {}
        self.text: TextRidge | None = None
        self.models: dict[str, Trees] = {}
        self.usual = 1.0

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Encode out of fold, then boost."""
        del task
        sheet = PriceSheet.of(shop, seed)
        self.usual = float(np.median(sheet.price)) if len(sheet) else 1.0
        if len(sheet) < FEWEST:
            return
        keys, target, texts = price_keys(sheet.about), sheet.log_price, sheet.about.texts()
        words = text_out_of_fold(texts, target, sheet.fold)
        features = _matrix(keys_out_of_fold(keys, target, sheet.fold), words, sheet.about)
        few = 1 / np.sqrt(np.minimum(sheet.sales, MOST_SALES))
        relative = np.clip(np.exp(words - target), 0.1, 5.0)
        leaf = {"min_data_in_leaf": int(np.clip(len(sheet) // 500, 5, 20))}
        for name, objective in OBJECTIVES.items():
            self.models[name] = Trees.train(
                features,
                target,
                weight=few * relative if name == "mean" else few,
                rounds=ROUNDS[name],
                seed=seed,
                params=PARAMS | leaf | objective,
            )
        self.encodings, self.text = fit_keys(keys, target), TextRidge.fit(texts, target)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the shelf price."""
        if self.text is None or not len(cases):
            return priced(np.full(len(cases), self.usual), 1.0, DEFAULT_SPREAD)
        about = describe(shop, cases.units)
        keys = price_keys(about)
        known = {name: one(key_of(keys, name, len(cases))) for name, one in self.encodings.items()}
        features = _matrix(known, self.text(about.texts()), about)
        found = {name: np.exp(model(features)) for name, model in self.models.items()}
        return Numbers(
            {
                "mean": found["mean"],
                "p10": np.minimum(found["p10"], found["mean"]),
                "p90": np.maximum(found["p90"], found["mean"]),
            }
        )

    def save(self, folder: Path) -> None:
        """Encodings, word weights, and the trees in LightGBM's text format."""
        settings, arrays = keys_to_state(self.encodings)
        words = self.text.arrays() if self.text is not None else {}
        state = {"keys": settings, "usual": self.usual, "models": list(self.models)}
        save_state(folder, state, arrays | {f"text {name}": one for name, one in words.items()})
        for name, model in self.models.items():
            model.save(folder / f"{name}.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.usual = settings["usual"]
        member.encodings = keys_from_state(settings["keys"], arrays)
        words = {name.removeprefix("text "): one for name, one in arrays.items() if name.startswith("text ")}
        member.text = TextRidge.from_arrays(words) if words else None
        member.models = {name: Trees.load(folder / f"{name}.txt") for name in settings["models"]}
        return member


def _matrix(keys: dict[str, tuple[F64, F64]], words: F64, about: Descriptions) -> F64:
    """(n, F) means and log counts of each key, in order of name, the guess from the words, the sizes."""
    columns = [column for name in sorted(keys) for column in (keys[name][0], np.log1p(keys[name][1]))]
    return np.column_stack([*columns, words, about.sizes()])
