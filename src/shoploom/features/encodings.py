"""What is usual among products that share a value: means of a target by column, drawn towards coarser ones.

Encodings of the rows that they were made from would leak their own target; ``out_of_fold`` gives each row what the
other folds say.
"""

# Shapes: n products, K keys

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64

FOLDS = 5
DRAW = 3.0
"""A value seen so often counts as much as what is usual without it."""


@dataclass(frozen=True)
class Encoding:
    """Drawn mean and count of a target by the values of some columns.

    Args:
        values: The known values.
        means: (values,) mean, drawn towards the mean of all.
        counts: (values,) number of rows.
        overall: Mean of all rows, for unknown values.
    """

    values: tuple[str, ...]
    means: F64
    counts: F64
    overall: float

    @classmethod
    def fit(cls, column: Sequence[str], target: F64, *, draw: float = DRAW) -> Encoding:
        """Count; empty text is no value."""
        names, codes = _codes(column)
        overall = float(target.mean()) if len(target) else 0.0
        counts = np.bincount(codes[codes >= 0], minlength=len(names)).astype(float)
        sums = np.bincount(codes[codes >= 0], target[codes >= 0], minlength=len(names))
        return cls(names, (sums + draw * overall) / np.maximum(counts + draw, 1e-9), counts, overall)

    def __call__(self, column: Sequence[str]) -> tuple[F64, F64]:
        """Means and counts of a column's values: the overall mean and 0 for unknown ones."""
        place = {value: number for number, value in enumerate(self.values)}
        rows = np.array([place.get(one, -1) for one in column], dtype=np.int64)
        means, counts = np.append(self.means, self.overall), np.append(self.counts, 0.0)
        return means[rows], counts[rows]


def folds(number: int, seed: int) -> NDArray[np.int64]:
    """A fold for each row, equally large, the same for the same seed."""
    return np.random.default_rng(seed).permutation(number) % FOLDS


def out_of_fold(column: Sequence[str], target: F64, fold: NDArray[np.int64], *, draw: float = DRAW) -> tuple[F64, F64]:
    """Means and counts of each row's value among the rows of the other folds."""
    means, counts = np.zeros(len(target)), np.zeros(len(target))
    names, codes = _codes(column)
    for part in np.unique(fold):
        rest, own = fold != part, fold == part
        overall = float(target[rest].mean()) if rest.any() else float(target.mean())
        used = rest & (codes >= 0)
        number = np.bincount(codes[used], minlength=len(names)).astype(float)
        sums = np.bincount(codes[used], target[used], minlength=len(names))
        mean = np.append((sums + draw * overall) / np.maximum(number + draw, 1e-9), overall)
        means[own], counts[own] = mean[codes[own]], np.append(number, 0.0)[codes[own]]
    return means, counts


def crossed(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Pairs of values; empty where either is."""
    return [f"{one}\x1f{other}" if one and other else "" for one, other in zip(first, second, strict=True)]


def _codes(column: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(one, len(place)) if one else -1 for one in column], dtype=np.int64)
    return tuple(place), codes
