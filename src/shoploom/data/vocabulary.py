"""Ids of the shop to row numbers and back; new ids get new rows, old rows never move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.types import ExternalId


class Vocabulary:
    """A growing two-way table of ids.

    Args:
        ids: First ids, unique; row numbers follow their order.

    Raises:
        ValueError: If an id occurs twice.

    Example:
        >>> words = Vocabulary(["b", "a"])
        >>> words.rows(["a", "z"]).tolist(), words.add("z"), words.ids[0]
        ([1, -1], 2, 'b')
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids: list[ExternalId] = [ExternalId(one) for one in ids]
        self._row = {one: row for row, one in enumerate(self.ids)}
        if len(self._row) != len(self.ids):
            raise ValueError("the ids of a vocabulary must be unique")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, one: object) -> bool:
        return one in self._row

    def add(self, one: str) -> int:
        """The row of an id, a new one if it is new."""
        row = self._row.get(ExternalId(one))
        if row is None:
            row = len(self.ids)
            self.ids.append(ExternalId(one))
            self._row[ExternalId(one)] = row
        return row

    def rename(self, row: int, one: str) -> None:
        """Give a row another id.

        Raises:
            ValueError: If another row has it.
        """
        if self.row(one) not in (-1, row):
            raise ValueError(f"the id {one!r} stands in row {self.row(one)} already")
        del self._row[self.ids[row]]
        self.ids[row] = ExternalId(one)
        self._row[ExternalId(one)] = row

    def row(self, one: str) -> int:
        """The row of an id, -1 if unknown."""
        return self._row.get(ExternalId(one), -1)

    def rows(self, ids: Sequence[str] | pl.Series) -> NDArray[np.int32]:
        """Rows of many ids, -1 for unknown ones and nulls."""
        if isinstance(ids, pl.Series) and len(ids) > 10_000:
            table = pl.DataFrame({"id": self.ids}, schema={"id": pl.Utf8}).with_row_index("row")
            found = pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")["row"]
            return found.cast(pl.Int32).fill_null(-1).to_numpy()
        return np.array([self._row.get(ExternalId(one), -1) for one in ids], dtype=np.int32)
