"""What every member over tables does."""

# Shapes: N rows, K classes

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, Self

from shoploom.data.arrays import F64
from shoploom.features.table import TableShape, TableView
from shoploom.features.table_labels import LabelSet

Held = tuple[TableView, LabelSet]
Logits = dict[str, F64]
"""(N, K) by label; the softmax of a multiple of them is a probability, and the multiple is for the fusion to learn."""


class TableMember(Protocol):
    """Learns all labels of a table, or those that it can. Instances are made without arguments.

    Attributes:
        name: Key in the plugin table.
        refit: Whether the one that serves is fitted on all rows; else those that were fitted on parts serve together,
            which suits members that end their training by held-out rows, and averages out their chance.
    """

    name: ClassVar[str]
    refit: ClassVar[bool]

    def fresh(self) -> Self:
        """An unfitted one with the same settings, those included that an earlier fit has chosen."""
        ...

    def fit(self, view: TableView, shape: TableShape, labels: LabelSet, *, held: Held | None = None, seed: int) -> None:
        """Learn.

        Args:
            view: Rows.
            shape: Of their columns.
            labels: Of the rows, -1 where unknown.
            held: Other rows, for choices such as when to stop.
            seed: Of whatever is drawn.
        """
        ...

    def logits(self, view: TableView) -> Logits:
        """(N, K) of every label that this member knows; labels that it leaves to others are absent."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that ``logits`` needs; never a pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A member that answers exactly as the saved one."""
        ...
