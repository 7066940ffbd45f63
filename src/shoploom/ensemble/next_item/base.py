"""What every member does that says which item comes next in a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32
from shoploom.data.sequences import Sequences
from shoploom.tasks.base import Ranked


class NextItem(Protocol):
    """Scores all items as the next one. Instances are made without arguments."""

    name: ClassVar[str]

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Learn from whole sequences; a fitted member may go on from what it knows."""
        ...

    def score(self, prefixes: Sequences) -> F32:
        """(B, I) how likely each item is to come next, 0 where the member has nothing to say."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that ``score`` needs; never a pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A member that scores exactly as the saved one."""
        ...


@runtime_checkable
class WithVariants(Protocol):
    """A member that may be built in several ways, of which held-out answers choose."""

    def variants(self, train: Sequences) -> Sequence[NextItem]:
        """Unfitted members of the same name that could serve in its place, as far as trying them is worth the time."""
        ...


def weighted_rows(sequences: Sequences, weights: F32) -> sp.csr_matrix:
    """(B, I) sum of the events' weights by sequence and item."""
    shape = (len(sequences), sequences.num_items)
    matrix = sp.csr_matrix((weights, sequences.items, sequences.offsets), shape=shape, copy=True)
    matrix.sum_duplicates()
    return matrix


def best_items(scores: F32, k: int, *, without: Sequences | None = None) -> Ranked:
    """The k items of each row with the highest positive score.

    Args:
        scores: (B, I).
        k: Length of the lists.
        without: Sequences whose items are left out, one per row.
    """
    if without is not None:
        scores = scores.copy()
        scores[without.owners, without.items] = 0.0
    k = min(k, scores.shape[1])
    found = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, found, axis=1)
    order = np.lexsort((found, -values), axis=1)
    found, values = np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
    return Ranked(np.where(values > 0, found, -1).astype(np.int32), np.maximum(values, 0.0).astype(np.float64))
