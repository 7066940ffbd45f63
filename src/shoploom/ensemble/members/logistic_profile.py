"""Multinomial logistic regression on tastes and habits: the linear rival of profile."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.outlook import Scaler
from shoploom.ensemble.members.profiling import (
    Tastes,
    answers,
    from_json,
    known_attributes,
    learn_each,
    softmax,
    to_json,
)
from shoploom.ensemble.members.storage import Arrays, load_state, save_state
from shoploom.features.multinomial import multinomial
from shoploom.tasks.base import Cases, Classes, Task
from shoploom.tasks.profile import balanced

STRENGTH: Final = 2.0
"""Inverse of the L2 penalty on the mean loss: 0.003 per customer with 600 of them and 330 features."""


class LogisticProfile:
    """One regression per attribute, L2."""

    name: ClassVar[str] = "logistic_profile"

    def __init__(self) -> None:
        self.attributes: dict[str, tuple[tuple[str, ...], F64]] = {}
        self.tastes: Tastes | None = None
        self.models: dict[str, tuple[Scaler, F64]] = {}

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn every attribute from the customers who have it."""
        del task, seed  # a convex problem
        self.attributes = known_attributes(shop.attributes)
        self.tastes = Tastes.fit(shop)

        def learn(name: str, features: F64, codes: NDArray[np.int64], values: int) -> None:
            scaler = Scaler.fit(features)
            weights, biases = multinomial(
                scaler(features), codes, values, strength=STRENGTH, weight=balanced(codes, values)
            )
            self.models[name] = (scaler, np.concatenate([weights.T, biases[None]]))

        learn_each(shop, self.tastes, learn)

    def predict(self, shop: ShopArrays, cases: Cases) -> Classes:
        """Probabilities of every attribute."""
        assert self.tastes is not None, "fit or load first"
        features = self.tastes(shop, cases.units)

        def found(name: str) -> F64 | None:
            if name not in self.models:
                return None
            scaler, table = self.models[name]
            return softmax(scaler(features) @ table[:-1] + table[-1])

        return answers(cases, self.attributes, found)

    def save(self, folder: Path) -> None:
        """Coefficients as arrays."""
        assert self.tastes is not None, "fit first"
        arrays: Arrays = self.tastes.arrays()
        for number, (scaler, table) in enumerate(self.models.values()):
            arrays |= {f"mean.{number}": scaler.mean, f"scale.{number}": scaler.scale, f"table.{number}": table}
        save_state(folder, {"attributes": to_json(self.attributes), "models": list(self.models)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.attributes = from_json(settings["attributes"])
        member.tastes = Tastes.from_arrays(arrays)
        for number, name in enumerate(settings["models"]):
            scaler = Scaler(arrays[f"mean.{number}"], arrays[f"scale.{number}"])
            member.models[name] = (scaler, arrays[f"table.{number}"])
        return member
