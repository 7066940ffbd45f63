"""Target encodings that do not leak: what other rows, or earlier rows, with the same value had for a label.

A row that sees its own label in its encoding teaches a model to read the label off it: trained that way, even random
labels look predictable. ``TargetEncoder`` gives training rows out-of-fold or ordered values, and later rows what all
training rows say; ``features.encodings`` has the sums.
"""

# Shapes: n rows, G groups

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.data.keys import Rows
from shoploom.errors import DataError
from shoploom.features.encodings import DRAW, FOLDS, Encoding, out_of_fold
from shoploom.features.timeline import Timeline


def group_folds(groups: NDArray[Any], *, folds: int = FOLDS, seed: int = 0) -> Rows:
    """(n,) a fold per row such that rows of one group (a customer, say) share theirs.

    Example:
        >>> fold = group_folds(np.array([7, 7, 9, 9]), folds=2)
        >>> bool(fold[0] == fold[1] and fold[2] == fold[3] and fold[0] != fold[2])
        True
    """
    names, place = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % folds)[place]


def ordered(
    column: Sequence[str], target: F64, time: F64, *, delay: float = 0.0, draw: float = DRAW
) -> tuple[F64, F64]:
    """Means and counts of each row's value among the rows whose label was known strictly before the row's moment.

    Args:
        column: (n,) values, empty where unknown.
        target: (n,) labels.
        time: (n,) days at which each row was asked.
        delay: Days until a row's label is known, such as the horizon of churn.
        draw: Rows of the mean of everything known so far that are added to each value.

    References:
        Prokhorenkova et al. 2018, "CatBoost", section 3.2, Eq. (5); time takes the place of the random permutation.
    """
    names = {name: code for code, name in enumerate(dict.fromkeys(one for one in column if one))}
    codes = np.array([names.get(one, -1) for one in column], dtype=np.int64)
    time, target = np.asarray(time, dtype=np.float64), np.asarray(target, dtype=np.float64)
    everything = Timeline(np.zeros(len(codes), dtype=np.int64), time + delay, value=target)
    nobody = np.zeros(len(codes), dtype=np.int64)
    seen = everything.count(nobody, time)
    overall = np.divide(everything.total(nobody, time), seen, out=np.zeros(len(codes)), where=seen > 0)
    known = codes >= 0
    line = Timeline(codes[known], time[known] + delay, value=target[known])
    counts = np.where(known, line.count(codes, time), 0.0)
    sums = np.where(known, line.total(codes, time), 0.0)
    return (sums + draw * overall) / np.maximum(counts + draw, 1e-9), counts


@dataclass
class TargetEncoder:
    """One column's target encoding; training rows never see their own label.

    Args:
        how: ``folds``: training rows see the other folds; ``time``: they see earlier rows only.
        folds: Number of folds.
        draw: Rows of the overall mean that are added to each value (smoothing): a value seen so often counts half.
        delay: With ``time``: days until a label is known.
        seed: Of the folds.

    Example:
        >>> encoder = TargetEncoder(how="time")
        >>> encoder.fit_transform(["a", "a", "a"], np.array([1.0, 0.0, 1.0]), time=np.array([1.0, 2.0, 3.0])).tolist()
        [0.0, 1.0, 0.5]
        >>> encoder.transform(["a", "new"]).round(3).tolist()
        [0.667, 0.667]
    """

    how: Literal["folds", "time"] = "folds"
    folds: int = FOLDS
    draw: float = DRAW
    delay: float = 0.0
    seed: int = 0
    _fitted: Encoding | None = field(default=None, init=False, repr=False)

    def fit_transform(
        self,
        column: Sequence[str],
        target: NDArray[Any],
        *,
        time: F64 | None = None,
        groups: NDArray[Any] | None = None,
    ) -> F64:
        """(n,) values for the training rows; remembers all of them for ``transform``.

        Args:
            column: (n,) texts.
            target: (n,) labels; 0 and 1, or numbers.
            time: (n,) days, with ``how="time"``.
            groups: (n,) whose rows share a fold, with ``how="folds"``; None: every row is alone.

        Raises:
            DataError: If ``how`` is ``time`` and there are no times, or lengths differ.
        """
        labels = np.asarray(target, dtype=np.float64)
        if len(column) != len(labels):
            raise DataError(f"{len(column)} values but {len(labels)} labels; give one label per value")
        self._fitted = Encoding.fit(column, labels, draw=self.draw)
        if self.how == "time":
            if time is None:
                raise DataError("a target encoding over time needs the moment of each row; pass time=, or how='folds'")
            return ordered(column, labels, time, delay=self.delay, draw=self.draw)[0]
        groups = np.arange(len(labels)) if groups is None else groups
        fold = group_folds(groups, folds=self.folds, seed=self.seed)
        return out_of_fold(column, labels, fold, draw=self.draw)[0]

    def transform(self, column: Sequence[str]) -> F64:
        """(n,) values for rows that were not trained on; unknown ones get the overall mean.

        Raises:
            DataError: If nothing was fitted.
        """
        if self._fitted is None:
            raise DataError("this target encoder has seen no labels yet; call fit_transform on the training rows first")
        return self._fitted(column)[0]
