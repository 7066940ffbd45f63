"""Cross-validation in time: learn from what came before, judge on what came after, several times over.

A random split lets a model look into next week to predict this one. Between the two parts lies a gap as long as labels
take to become known, so that no training label reaches into the judged part.
"""

# Shapes: n rows, K folds

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.errors import DataError, UsageError

Rows = NDArray[np.int64]
Window = Literal["expanding", "sliding"]


@dataclass(frozen=True)
class TimeFold:
    """One split, all in days.

    Args:
        train: From and until: rows with ``train[0] <= time < train[1]`` are learned from.
        valid: Likewise, rows to judge on; ``valid[0]`` is ``train[1]`` plus the gap.
    """

    train: tuple[float, float]
    valid: tuple[float, float]

    def rows(self, time: F64) -> tuple[Rows, Rows]:
        """Row numbers to learn from and to judge on."""
        learned = np.flatnonzero((time >= self.train[0]) & (time < self.train[1]))
        judged = np.flatnonzero((time >= self.valid[0]) & (time < self.valid[1]))
        return learned, judged


def time_folds(
    start: float,
    end: float,
    *,
    folds: int = 4,
    valid_days: float,
    gap_days: float = 0.0,
    step_days: float | None = None,
    window: Window = "expanding",
    train_days: float | None = None,
) -> list[TimeFold]:
    """Folds of equal judged parts, oldest first, the last one ending at ``end``.

    Args:
        start: Day of the first row.
        end: Day after the last one.
        folds: K.
        valid_days: Length of each judged part.
        gap_days: Days between the two parts: the horizon of a label.
        step_days: Days from one fold to the next; ``valid_days`` if None, so that no row is judged twice.
        window: ``expanding`` learns from everything before, ``sliding`` from the last ``train_days`` only.
        train_days: With ``sliding`` the length of the part to learn from, otherwise its least length.

    Raises:
        UsageError: If a number makes no sense, or a sliding window has no length.
        DataError: If the days are not enough; the message says how many are needed.

    Example:
        >>> for fold in time_folds(0, 100, folds=2, valid_days=20, gap_days=10):
        ...     print(fold.train, fold.valid)
        (0.0, 50.0) (60.0, 80.0)
        (0.0, 70.0) (80.0, 100.0)
    """
    step = valid_days if step_days is None else step_days
    if folds < 1 or valid_days <= 0 or gap_days < 0 or step <= 0 or (train_days is not None and train_days <= 0):
        raise UsageError(
            f"folds={folds}, valid_days={valid_days}, gap_days={gap_days}, step_days={step}, train_days={train_days}: "
            "wanted at least one fold, a gap of 0 or more, and lengths above 0"
        )
    if window == "sliding" and train_days is None:
        raise UsageError("a sliding window needs train_days, the days to learn from; or take window='expanding'")
    least = 1.0 if train_days is None else train_days
    needed = least + gap_days + valid_days + (folds - 1) * step
    if end - start < needed:
        raise DataError(
            f"{folds} folds need {needed:g} days (to learn {least:g}, gap {gap_days:g}, judged {valid_days:g} in steps "
            f"of {step:g}), there are {end - start:g}; take fewer folds or shorter parts"
        )
    found = []
    for number in reversed(range(folds)):
        judged = float(end - number * step)
        cut = judged - valid_days - gap_days
        first = float(start) if window == "expanding" or train_days is None else cut - train_days
        found.append(TimeFold((first, cut), (judged - valid_days, judged)))
    return found


@dataclass(frozen=True)
class Spread:
    """A measure over folds: mean, standard deviation (n − 1; NaN of one fold) and the values, oldest first."""

    mean: float
    deviation: float
    values: tuple[float, ...]


def spread(measures: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and spread over folds of every measure that all folds have.

    Example:
        >>> spread([{"auc": 0.7}, {"auc": 0.9}])["auc"].mean
        0.8
    """
    names = [name for name in measures[0] if all(name in one for one in measures)] if measures else []
    found = {}
    for name in names:
        values = np.array([one[name] for one in measures], dtype=np.float64)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[name] = Spread(float(values.mean()), deviation, tuple(values.tolist()))
    return found


def cross_validate(
    score: Callable[[Rows, Rows], Mapping[str, float]], time: NDArray[Any], folds: Sequence[TimeFold]
) -> dict[str, Spread]:
    """Learn and judge on every fold: ``score(rows to learn from, rows to judge on)`` gives measures.

    Raises:
        DataError: If a fold has no rows on one side.
    """
    return spread([score(*rows) for rows in _filled(np.asarray(time, dtype=np.float64), folds)])


def _filled(time: F64, folds: Sequence[TimeFold]) -> Iterator[tuple[Rows, Rows]]:
    for number, fold in enumerate(folds):
        learned, judged = fold.rows(time)
        if not len(learned) or not len(judged):
            raise DataError(
                f"fold {number} has {len(learned)} rows to learn from and {len(judged)} to judge on; "
                "take longer parts or fewer folds"
            )
        yield learned, judged
