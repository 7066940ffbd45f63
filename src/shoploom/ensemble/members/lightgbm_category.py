"""Boosted trees on company, price, sales, sizes and on what the words say out of fold."""

# Shapes: n products, V classes

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.shelving import Labelled, WordClasses, answered, facts, readable
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.tasks.base import Cases, Classes, Task

MOST_TREES: Final = 450
MOST_ROUNDS: Final = 60
MOST_TAUGHT: Final = 8_000
FOLDS: Final = 2
PARAMS: Final[dict[str, Any]] = {
    "objective": "multiclass",
    "learning_rate": 0.08,
    "num_leaves": 15,
    "max_bin": 63,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "min_sum_hessian_in_leaf": 1.0,
}


class LightgbmCategory:
    """Trees on top of a regression on words: each half of the products is read by the regression of the other half."""

    name: ClassVar[str] = "lightgbm_category"

    def __init__(self) -> None:
        self.values: tuple[str, ...] = ()
        self.known: dict[str, int] = {}
        self.words: list[WordClasses] = []
        self.trees: Trees | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from all labelled products, or from 8,000 of them."""
        del task
        labelled = Labelled.of(shop)
        self.values, number = labelled.values, len(labelled.values)
        self.known = dict(zip(labelled.ids, labelled.codes.tolist(), strict=True))
        chosen = labelled.sample(MOST_TAUGHT, seed)
        items, codes = labelled.items[chosen], labelled.codes[chosen]
        dense, texts = facts(shop, items, self.known, number), readable(shop, items)
        weight = labelled.weights(chosen)
        half = np.random.default_rng(seed).permutation(len(items)) % FOLDS
        said = np.zeros((len(items), number))
        self.words = []
        for part in range(FOLDS):
            own = np.flatnonzero(half != part)
            model = WordClasses.fit([texts[row] for row in own], dense[own], codes[own], number, weight[own])
            asked = np.flatnonzero(half == part)
            said[asked] = model([texts[row] for row in asked], dense[asked])
            self.words.append(model)
        self.trees = Trees.train(
            _matrix(said, dense),
            codes,
            weight=weight,
            rounds=int(np.clip(MOST_TREES // max(1, number), 5, MOST_ROUNDS)),
            seed=seed,
            params=PARAMS | {"num_class": number, "min_data_in_leaf": int(np.clip(len(items) // 500, 3, 20))},
        )

    def predict(self, shop: ShopArrays, cases: Cases) -> Classes:
        """Probabilities of the categories."""
        assert self.trees is not None, "fit or load first"
        if not len(cases):
            return answered(self.values, np.zeros((0, len(self.values))))
        dense, texts = facts(shop, cases.units, self.known, len(self.values)), readable(shop, cases.units)
        said = np.mean([model(texts, dense) for model in self.words], axis=0)
        return answered(self.values, self.trees(_matrix(said, dense)))

    def save(self, folder: Path) -> None:
        """Weights of the words, the class of each known product, trees in LightGBM's text format."""
        assert self.trees is not None, "fit first"
        arrays = {
            f"{part} {name}": one for part, model in enumerate(self.words) for name, one in model.arrays().items()
        }
        save_state(folder, {"values": list(self.values), "known": self.known, "folds": len(self.words)}, arrays)
        self.trees.save(folder / "trees.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.values, member.known = tuple(settings["values"]), settings["known"]
        for part in range(settings["folds"]):
            own = {name.partition(" ")[2]: one for name, one in arrays.items() if name.startswith(f"{part} ")}
            member.words.append(WordClasses.from_arrays(own))
        member.trees = Trees.load(folder / "trees.txt")
        return member


def _matrix(said: F64, dense: F64) -> F64:
    """(n, F) log probabilities of the words' regression, then the facts."""
    return np.column_stack([np.log(np.maximum(said, 1e-6)), dense])
