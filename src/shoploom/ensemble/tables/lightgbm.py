"""Gradient-boosted trees per label."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

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
    """At most 800 rounds of small trees; fewer where held-out rows say so, or where there are texts."""

    name: ClassVar[str] = "lightgbm"
    refit: ClassVar[bool] = False

    def __init__(self) -> None:
        self.forest = Forest()

    def fresh(self) -> Self:
        """Another one."""
        return type(self)()

    def fit(self, view: TableView, shape: TableShape, labels: LabelSet, *, held: Held | None = None, seed: int) -> None:
        """Boost every label with few classes."""
        many = len(view) >= MANY_ROWS
        haste = HASTE if many or shape.tokens else 1.0
        params = PARAMS | {"learning_rate": haste * PARAMS["learning_rate"]}
        params |= {"num_leaves": LEAVES} if many else {}
        rounds = round(ROUNDS / haste)
        self.forest = Forest.fit(view, shape, labels, params, rounds=rounds, seed=seed, held=held)

    def logits(self, view: TableView) -> Logits:
        """Log probabilities."""
        return self.forest.logits(view)

    def save(self, folder: Path) -> None:
        """LightGBM's text format."""
        self.forest.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        member = cls()
        member.forest = Forest.load(folder)
        return member
