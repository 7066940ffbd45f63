"""How missing values of a column are filled: mean, median, mode or an explicit "missing"; said in the quality report.

Ids, times and texts are never filled. A filled column should be read with ``is_missing`` beside it where the values are
not missing at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

Method = Literal["none", "mean", "median", "mode", "missing"]
MISSING = "missing"
"""The explicit class of unknown categories."""

MOSTLY_MISSING, RARELY_MISSING = 0.6, 0.05


@dataclass(frozen=True)
class Imputation:
    """The choice for one column.

    Args:
        column: Its name.
        method: What is put where a value is missing.
        value: The number or class that is put there; None if nothing is.
        missing: Share of rows without a value.
        why: One sentence.
    """

    column: str
    method: Method
    value: float | str | None
    missing: float
    why: str

    def apply(self, column: pl.Series) -> pl.Series:
        """The column without missing values, if there is a value to put there."""
        if self.value is None:
            return column
        if column.dtype.is_numeric():
            return column.cast(pl.Float64).fill_nan(None).fill_null(self.value)
        return column.cast(pl.Utf8).fill_null(str(self.value))


def choose(column: pl.Series) -> Imputation:
    """The imputation of a numeric or categorical column.

    Numbers: the median where the distribution is skewed (mean and median more than a quarter of a standard deviation
    apart), else the mean; nothing is put where most values are missing. Classes: the mode where few are missing and one
    class has half of the rows, else an explicit "missing", because shops' gaps are seldom random.

    Example:
        >>> choose(pl.Series("price", [1.0, 1.0, 2.0, 50.0, None])).method
        'median'
        >>> choose(pl.Series("brand", ["a", "b", None])).value
        'missing'
    """
    numeric = column.dtype.is_numeric()
    values = column.cast(pl.Float64).fill_nan(None) if numeric else column
    share = values.null_count() / max(1, len(values))
    if share == 0:
        return Imputation(column.name, "none", None, 0.0, "no value is missing")
    if share == 1:
        return Imputation(column.name, "none", None, 1.0, "the column is empty and left out")
    return _number(values, share) if numeric else _class(values.cast(pl.Utf8), share)


def _number(values: pl.Series, share: float) -> Imputation:
    if share > MOSTLY_MISSING:
        return Imputation(values.name, "missing", None, share, "most values are missing: models see that it is unknown")
    known = values.drop_nulls()
    mean, median, spread = (float(one) for one in (known.mean(), known.median(), known.std() or 0.0))  # type: ignore[arg-type]
    if abs(mean - median) > 0.25 * spread:
        return Imputation(values.name, "median", median, share, "the distribution is skewed")
    return Imputation(values.name, "mean", mean, share, "the distribution is even")


def _class(values: pl.Series, share: float) -> Imputation:
    counts = values.drop_nulls().value_counts(sort=True)
    usual, rows = counts.row(0)
    if share <= RARELY_MISSING and rows >= 0.5 * len(values):
        return Imputation(values.name, "mode", str(usual), share, "few are missing and one class has half of the rows")
    return Imputation(values.name, "missing", MISSING, share, "the gap is a class of its own")
