"""The simplest rival: how frequent each class is, whatever the row."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.tables.base import Held, Logits
from shoploom.features.table import TableShape, TableView
from shoploom.features.table_labels import LabelSet


class MostFrequent:
    """Log shares of the classes."""

    name: ClassVar[str] = "most_frequent"
    refit: ClassVar[bool] = True

    def __init__(self) -> None:
        self.shares: dict[str, F64] = {}

    def fresh(self) -> Self:
        """Another one."""
        return type(self)()

    def fit(self, view: TableView, shape: TableShape, labels: LabelSet, *, held: Held | None = None, seed: int) -> None:
        """Count."""
        del view, shape, held, seed
        self.shares = {label: labels.shares(label) for label in labels.codes}

    def logits(self, view: TableView) -> Logits:
        """The same for every row."""
        return {label: np.tile(np.log(one), (len(view), 1)) for label, one in self.shares.items()}

    def save(self, folder: Path) -> None:
        """The shares."""
        save_state(folder, {"labels": list(self.shares)}, dict(_numbered(self.shares)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.shares = {label: arrays[str(place)] for place, label in enumerate(settings["labels"])}
        return member


def _numbered(shares: dict[str, F64]) -> list[tuple[str, F64]]:
    return [(str(place), one) for place, one in enumerate(shares.values())]
