"""Gradient-boosted trees per attribute on the same features as ``logistic_profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.profiling import (
    Tastes,
    answers,
    from_json,
    known_attributes,
    learn_each,
    to_json,
)
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.tasks.base import Cases, Classes, Task
from shoploom.tasks.profile import balanced

ROUNDS: Final = 60
PARAMS: Final[dict[str, Any]] = {
    "objective": "multiclass",
    "learning_rate": 0.03,
    "num_leaves": 7,
    "min_data_in_leaf": 10,
    "feature_fraction": 0.7,
}


class LightgbmProfile:
    """60 rounds of small trees per attribute."""

    name: ClassVar[str] = "lightgbm_profile"

    def __init__(self) -> None:
        self.attributes: dict[str, tuple[tuple[str, ...], F64]] = {}
        self.tastes: Tastes | None = None
        self.models: dict[str, Trees] = {}

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn every attribute from the customers who have it."""
        del task
        self.attributes = known_attributes(shop.attributes)
        self.tastes = Tastes.fit(shop)

        def learn(name: str, features: F64, codes: NDArray[np.int64], values: int) -> None:
            params = PARAMS | {"num_class": values}
            weights = balanced(codes, values)
            self.models[name] = Trees.train(features, codes, rounds=ROUNDS, seed=seed, params=params, weight=weights)

        learn_each(shop, self.tastes, learn)

    def predict(self, shop: ShopArrays, cases: Cases) -> Classes:
        """Probabilities of every attribute."""
        assert self.tastes is not None, "fit or load first"
        features = self.tastes(shop, cases.units)

        def found(name: str) -> F64 | None:
            if name not in self.models or not len(features):
                return None
            raw = self.models[name](features)
            return np.asarray(raw / raw.sum(axis=1, keepdims=True))

        return answers(cases, self.attributes, found)

    def save(self, folder: Path) -> None:
        """LightGBM's text format, one file per attribute."""
        assert self.tastes is not None, "fit first"
        state = {"attributes": to_json(self.attributes), "models": list(self.models)}
        save_state(folder, state, self.tastes.arrays())
        for number, one in enumerate(self.models.values()):
            one.save(folder / f"trees_{number}.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.attributes = from_json(settings["attributes"])
        member.tastes = Tastes.from_arrays(arrays)
        for number, name in enumerate(settings["models"]):
            member.models[name] = Trees.load(folder / f"trees_{number}.txt")
        return member
