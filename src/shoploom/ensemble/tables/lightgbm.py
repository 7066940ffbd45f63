"""Gradient-boosted trees per label."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.tables.base import Held, Logits
from shoploom.ensemble.tables.boosting import Forest
from shoploom.features.table import TableShape, TableView
from shoploom.features.table_labels import LabelSet

ROUNDS: Final = 800
HASTE: Final = 2.0
"""Many rows, and texts, get longer and fewer steps. Texts because their factors say less than the words, which other
members read; many rows because nothing is lost (income of 50,000 people: AUC .952 either way)."""
MANY_ROWS, LEAVES = 20_000, 15
"""Of fewer rows, trees of 7 leaves are better (AUC .933 to .929 on 6,000 visits)."""
PARAMS: Final[dict[str, Any]] = {
    "learning_rate": 0.03,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
}


class Lightgbm:
    """At most 800 rounds of small trees; fewer where held-out rows say so, or where there are texts.

    Where there are categories, two boosters share the work: one splits them by sets, the other by thresholds of their
    codes. Each is as good alone, and both together are better (income of 50,000 people: AUC .9518, .9521 and .9525).
    """

    name: ClassVar[str] = "lightgbm"
    refit: ClassVar[bool] = False

    def __init__(self) -> None:
        self.forests: list[Forest] = []

    def fresh(self) -> Self:
        """Another one."""
        return type(self)()

    def fit(self, view: TableView, shape: TableShape, labels: LabelSet, *, held: Held | None = None, seed: int) -> None:
        """Boost every label with few classes."""
        many = len(view) >= MANY_ROWS
        haste = HASTE if many or shape.tokens else 1.0
        params = PARAMS | {"learning_rate": haste * PARAMS["learning_rate"]}
        params |= {"num_leaves": LEAVES} if many else {}
        readings = (False, True) if set(shape.categories) - set(shape.numbers) else (False,)
        self.forests = [
            Forest.fit(view, shape, labels, params, rounds=round(ROUNDS / haste), seed=seed, ordered=one, held=held)
            for one in readings
        ]

    def logits(self, view: TableView) -> Logits:
        """Log probabilities, the mean of both."""
        told = [one.logits(view) for one in self.forests]
        return {label: np.mean([one[label] for one in told], axis=0) for label in told[0]}

    def save(self, folder: Path) -> None:
        """LightGBM's text format, a folder for each booster."""
        save_state(folder, {"forests": len(self.forests)})
        for place, one in enumerate(self.forests):
            one.save(folder / str(place))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, _ = load_state(folder)
        member = cls()
        member.forests = [Forest.load(folder / str(place)) for place in range(settings["forests"])]
        return member
