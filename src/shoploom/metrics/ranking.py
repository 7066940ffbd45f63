"""Metrics of ranked lists with binary relevance: NDCG, recall, hit rate, recall of what is new, coverage.

Lists are matrices of item rows, best first, -1 past the end. Relevant items come as one flat array with offsets.
Every function gives one value per list, NaN where nothing is relevant, so that callers may average or resample.
"""

# Shapes: B lists, k list length, R relevant items of all lists

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


def hit_matrix(lists: Rows, offsets: Rows, relevant: Rows) -> Flags:
    """Whether the item at each rank is relevant: (B, k).

    Args:
        lists: (B, k) item rows, -1 past the end.
        offsets: (B + 1,) where each list's relevant items start.
        relevant: (R,) item rows.

    Example:
        >>> hit_matrix(np.array([[4, 7], [4, -1]]), np.array([0, 1, 2]), np.array([7, 4])).tolist()
        [[False, True], [True, False]]
    """
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    size = int(max(lists.max(initial=0), relevant.max(initial=0))) + 1
    keys = np.arange(len(lists))[:, None] * size + lists.astype(np.int64)
    return np.isin(keys, owner * size + relevant) & (lists >= 0)


def discounts(depth: int) -> Values:
    """1 / log2(rank + 1) for ranks from 1."""
    return np.asarray(1.0 / np.log2(np.arange(depth) + 2.0), dtype=np.float64)


def ndcg(hits: Flags, relevant: Rows, k: int) -> Values:
    """Normalised discounted cumulative gain of the first ``k``, every relevant item with gain 1.

    Args:
        hits: (B, >= k) from ``hit_matrix``.
        relevant: (B,) How many items are relevant.
        k: Depth.

    References:
        Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", Eq. (2), with log2(rank + 1).
    """
    gained = hits[:, :k] @ discounts(min(k, hits.shape[1]))
    ideal = np.concatenate([[0.0], np.cumsum(discounts(k))])[np.minimum(relevant, k)]
    return _share(gained, ideal)


def recall(hits: Flags, relevant: Rows, k: int) -> Values:
    """Share of all that is relevant that stands among the first ``k``, also where more than ``k`` are relevant."""
    return _share(hits[:, :k].sum(axis=1).astype(float), relevant.astype(float))


def hit_rate(hits: Flags, relevant: Rows, k: int) -> Values:
    """1 where any of the first ``k`` is relevant, else 0; its mean is PHR (personal hit ratio)."""
    return np.where(relevant > 0, hits[:, :k].any(axis=1).astype(float), np.nan)


def coverage(lists: Rows, catalogue: int) -> float:
    """Share of a catalogue of some size that anybody is shown.

    Example:
        >>> coverage(np.array([[1, 2], [2, -1]]), 8)
        0.25
    """
    return len(np.unique(lists[lists >= 0])) / max(1, catalogue)


def count_relevant(offsets: Rows, kept: Flags | None = None) -> Rows:
    """(B,) Number of relevant items of each list, only the ``kept`` ones if a mask is given."""
    if kept is None:
        return np.diff(offsets)
    sums = np.concatenate([[0], np.cumsum(kept)])
    return np.asarray(sums[offsets[1:]] - sums[offsets[:-1]])


def _share(top: Values, bottom: Values) -> Values:
    found: Values = np.full(len(top), np.nan)
    np.divide(top, bottom, out=found, where=bottom > 0)
    return found
