"""A random forest per label, grown by LightGBM so that it is kept as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

from shoploom.ensemble.tables.base import Held, Logits
from shoploom.ensemble.tables.boosting import Forest
from shoploom.features.table import TableShape, TableView
from shoploom.features.table_labels import LabelSet

ROUNDS: Final = 150
PARAMS: Final[dict[str, Any]] = {
    "boosting": "rf",
    "num_leaves": 127,
    "min_data_in_leaf": 5,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.63,
    "bagging_freq": 1,
}


class RandomForest:
    """150 deep trees, each on its own sample of rows and columns.

    References:
        Breiman 2001, "Random Forests", Machine Learning 45.
    """

    name: ClassVar[str] = "random_forest"
    refit: ClassVar[bool] = False

    def __init__(self) -> None:
        self.forest = Forest()

    def fresh(self) -> Self:
        """Another one."""
        return type(self)()

    def fit(self, view: TableView, shape: TableShape, labels: LabelSet, *, held: Held | None = None, seed: int) -> None:
        """Grow; a forest needs no held-out rows."""
        del held
        self.forest = Forest.fit(view, shape, labels, PARAMS, rounds=ROUNDS, seed=seed)

    def logits(self, view: TableView) -> Logits:
        """Log shares of the leaves."""
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
