"""Label columns of a table as codes, checked before anything is trained on them."""

# Shapes: N rows, K classes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.errors import DataError, SchemaError, unknown_name
from shoploom.features.table import FEW_VALUES, FIRST, TableShape, TableView
from shoploom.metrics.classification import auc

LEAK = 0.99
"""A single column that ranks a label better than this probably holds the answer."""
MOST_CLASSES = 2000
LEAK_CLASSES = 5
"""Only the most frequent classes of a label are asked whether a column gives them away."""


@dataclass(frozen=True)
class LabelSet:
    """Labels of rows.

    Args:
        classes: Values of each label, numbers in their order, else by name; every one occurs in the training rows.
        codes: (N,) position of the row's class, -1 where unknown.
    """

    classes: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(next(iter(self.codes.values())))

    @classmethod
    def read(cls, frame: pl.DataFrame, labels: Sequence[str]) -> LabelSet:
        """Codes of label columns; empty values are unknown, and numbers and strings count as classes alike.

        Raises:
            SchemaError: If a column is missing, has one class, no value, or too many classes.
        """
        if isinstance(labels, str):
            raise SchemaError(f"labels is the text {labels!r}; give a list of names, such as [{labels!r}]")
        if not labels:
            raise SchemaError(f"no label is named; name one or several of {', '.join(frame.columns)}")
        classes, codes = {}, {}
        for name in labels:
            if name not in frame.columns:
                raise SchemaError(unknown_name("label", name, frame.columns))
            _refuse_numbers(frame[name])
            values = _names(frame[name])
            found = tuple(sorted(values.drop_nulls().unique().to_list(), key=_order))
            if len(found) < 2:
                what = f"the one class {found[0]!r}" if found else "no value"
                raise SchemaError(
                    f"label {name!r} has {what} in {frame.height} rows; there is nothing to tell apart: "
                    "leave the label out, or give rows of another class"
                )
            if len(found) > MOST_CLASSES:
                raise SchemaError(
                    f"label {name!r} has {len(found)} classes, at most {MOST_CLASSES} are learned; "
                    "a column of numbers or ids is no label: bin or drop it"
                )
            place = {one: row for row, one in enumerate(found)}
            classes[name] = found
            codes[name] = np.array([place.get(one, -1) for one in values], dtype=np.int64)
        return cls(classes, codes)

    def take(self, rows: NDArray[np.integer[Any]]) -> LabelSet:
        """Some of the rows, by position."""
        return LabelSet(self.classes, {name: one[rows] for name, one in self.codes.items()})

    def only(self, labels: Sequence[str]) -> LabelSet:
        """Some of the labels."""
        return LabelSet({one: self.classes[one] for one in labels}, {one: self.codes[one] for one in labels})

    def known(self, label: str) -> NDArray[np.int64]:
        """Rows where a label is known."""
        return np.flatnonzero(self.codes[label] >= 0)

    def shares(self, label: str) -> F64:
        """(K,) share of each class among the known rows, each counted at least half a time."""
        codes = self.codes[label]
        counts = np.maximum(np.bincount(codes[codes >= 0], minlength=len(self.classes[label])).astype(float), 0.5)
        return np.asarray(counts / counts.sum())


def inputs_of(frame: pl.DataFrame, labels: Sequence[str], leave_out: Sequence[str]) -> pl.DataFrame:
    """The columns that may be read: all but the labels and those to leave out.

    Raises:
        SchemaError: If a column to leave out is missing or a label.
    """
    for name in leave_out:
        if name in labels:
            raise SchemaError(f"column {name!r} is a label, and no label is ever read; take it out of leave_out")
        if name not in frame.columns:
            raise SchemaError(unknown_name("column to leave out", name, frame.columns))
    return frame.drop([*labels, *leave_out])


def leaks(view: TableView, shape: TableShape, labels: LabelSet, *, limit: float = LEAK) -> list[str]:
    """Sentences about single columns that alone rank a class of a label with an AUC above ``limit``.

    A category is scored by the share of the class among every other row with its value, so that values of one row
    prove nothing. Not an error: a column may honestly say it all. But ask whether it is known before the label is.

    Args:
        view: The training rows.
        shape: Of their columns.
        labels: Of the same rows.
        limit: In [0.5, 1].
    """
    found = []
    for label, codes in labels.codes.items():
        known = codes >= 0
        counts = np.bincount(codes[known], minlength=len(labels.classes[label]))
        frequent = np.argsort(-counts, kind="stable")[:LEAK_CLASSES]
        told: dict[str, float] = {}
        for place, name in enumerate(shape.numbers):
            values = np.nan_to_num(view.numbers[known, place], nan=-1e9)
            for one in frequent:
                area = auc(codes[known] == one, values)
                told[name] = max(told.get(name, 0.0), area, 1.0 - area)
        for place, name in enumerate(shape.categories):
            own = view.codes[known, place]
            for one in frequent:
                told[name] = max(told.get(name, 0.0), _encoded_area(own, codes[known] == one, shape.sizes[place]))
        found += [
            f"column {name!r} alone ranks label {label!r} with an AUC of {area:.4f}: it may hold the answer. "
            "Leave it out if it is not known when the label is asked for"
            for name, area in told.items()
            if area > limit
        ]
    return found


def _encoded_area(codes: NDArray[np.integer[Any]], right: NDArray[np.bool_], size: int) -> float:
    """AUC of the mean of a class by category, counted in the other half of the rows."""
    half = np.arange(len(codes)) % 2 == 0
    scores = np.zeros(len(codes))
    for own, other in ((half, ~half), (~half, half)):
        counts = np.bincount(codes[other], minlength=max(size, FIRST))
        sums = np.bincount(codes[other], right[other], minlength=max(size, FIRST))
        scores[own] = ((sums + right.mean()) / (counts + 1.0))[codes[own]]
    return auc(right, scores)


def _names(series: pl.Series) -> pl.Series:
    if series.dtype.is_float():
        series = series.fill_nan(None)
        if (series.drop_nulls() == series.drop_nulls().floor()).all():
            series = series.cast(pl.Int64)
    elif series.dtype == pl.Boolean:
        series = series.cast(pl.Int64)
    elif series.dtype.is_nested() or series.dtype == pl.Binary:
        raise SchemaError(f"label {series.name!r} holds {series.dtype}; a label is a number, a flag or a string")
    strings = series.cast(pl.Utf8)
    return strings.set(strings == "", None)


def _order(name: str) -> tuple[int, float, str]:
    """Numbers first, in their order."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def check_rows(view: TableView, labels: LabelSet) -> None:
    """Raise unless there is a label for every row.

    Raises:
        DataError: If the numbers of rows differ.
    """
    if len(view) != len(labels):
        raise DataError(f"{len(view)} rows of inputs have labels of {len(labels)} rows; give the same rows")


def _refuse_numbers(column: pl.Series) -> None:
    """A measured number is no class; whole ones and a few steps (a rating of 4.5) are.

    Raises:
        SchemaError: If the column holds too many different fractions.
    """
    if not column.dtype.is_float():
        return
    known = column.drop_nulls().drop_nans()
    if known.n_unique() > FEW_VALUES and bool((known != known.round()).any()):
        raise SchemaError(
            f"label {column.name!r} holds {known.n_unique()} different fractions, and labels are classes: bin it, "
            "as with pl.Series.cut, or leave it out"
        )
