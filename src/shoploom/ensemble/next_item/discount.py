"""Takes from later places what popularity earns them, so that all lists together show more of the catalogue."""

# Shapes: n pooled candidates, I items

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from shoploom.data.arrays import F32, F64, Flags
from shoploom.data.keys import distinct, rank_in_group
from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.tasks.base import Ranked

DEPTH, KEPT = 10, 7
"""Most right answers stand early in a list: the first ``KEPT`` places cost most and bring no more coverage."""
STRENGTHS = np.linspace(0.0, 2.0, 41)
TOLERANCE = 0.02
"""Share of the NDCG that may be given for coverage."""


class PopularityDiscount:
    """Score - strength x log(1 + events of the item), for candidates beyond the first ``KEPT`` of a case.

    A request is answered without looking at any other. The strength is the smallest one with which the first ``DEPTH``
    places of all lists together show as many items as those of the widest member, so long as the NDCG on answers that
    the members have not seen stays within ``TOLERANCE`` of what it is without a discount; else the largest one within
    it. It is looked for in units of the mean standard deviation of a case's best ``DEPTH`` scores, so that fusions may
    differ in scale. What is taken is never negative, so the first places stay the first.

    Args:
        popularity: (I,) log(1 + events).
        strength: 0 changes nothing.

    References:
        Steck 2011, "Item popularity and recommendation accuracy", RecSys, section 3, for the trade; Abdollahpouri et
        al. 2019, "Managing popularity bias in recommender systems with personalized re-ranking", arXiv:1901.07555, for
        re-ranking after the scores are there. Both weigh popularity otherwise than here.
    """

    def __init__(self, popularity: F32 | None = None, strength: float = 0.0) -> None:
        self.popularity = np.zeros(0, dtype=np.float32) if popularity is None else popularity
        self.strength = strength

    def fit(self, pool: Pool, score: F64, relevant: Flags, lists: Iterable[Ranked], counts: F64) -> None:
        """Choose the strength.

        Args:
            pool: Candidates of questions whose answers the members have not seen.
            score: (n,) of the fusion.
            relevant: (n,) whether each candidate is the answer.
            lists: Of the members, to the same questions.
            counts: (I,) events of each item among those that the members have seen.
        """
        self.popularity, self.strength = np.log1p(counts).astype(np.float32), 0.0
        if not relevant.any():
            return
        wanted = max(_covered(one) for one in lists)
        plain = top(pool, score, DEPTH)
        spread = _spread(plain)
        key = pool.row * len(counts) + pool.item
        right = key[relevant]
        least = (1.0 - TOLERANCE) * _ndcg(plain, right, len(counts))
        taken = self._taken(pool, score)
        for strength in spread * STRENGTHS:
            found = top(pool, score - strength * taken, DEPTH)
            if _ndcg(found, right, len(counts)) < least:
                continue
            self.strength = float(strength)
            if _covered(found) >= wanted:
                return

    def move(self, counts: F64) -> None:
        """The same strength for other counts, those of all events."""
        self.popularity = np.log1p(counts).astype(np.float32)

    def __call__(self, pool: Pool, score: F64) -> F64:
        """(n,) the discounted scores."""
        if not self.strength:
            return score
        return score - self.strength * self._taken(pool, score)

    def _taken(self, pool: Pool, score: F64) -> F64:
        """(n,) log(1 + events) of the item, 0 for the first ``KEPT`` candidates of a case."""
        order = np.lexsort((pool.item, -score, pool.row))
        late = np.zeros(len(pool), dtype=bool)
        late[order] = rank_in_group(pool.row[order]) >= KEPT
        return np.where(late, self.popularity[pool.item], 0.0).astype(np.float64)


def _covered(lists: Ranked) -> int:
    """Items that some list shows among its first places."""
    shown = lists.items[:, :DEPTH]
    return len(distinct(shown[shown >= 0]))


def _spread(lists: Ranked) -> float:
    listed = lists.items >= 0
    count = np.maximum(listed.sum(axis=1), 1)
    mean = np.where(listed, lists.scores, 0.0).sum(axis=1) / count
    off = np.where(listed, lists.scores - mean[:, None], 0.0)
    return float(np.sqrt((off**2).sum(axis=1) / count).mean())


def _ndcg(lists: Ranked, right: np.ndarray, num_items: int) -> float:
    """Sum over the lists; each case has one answer, ``right`` holds case x num_items + item."""
    key = np.arange(len(lists.items))[:, None] * num_items + lists.items
    gain = 1.0 / np.log2(np.arange(lists.items.shape[1]) + 2.0)
    return float((np.isin(key, right) & (lists.items >= 0)).astype(np.float64).sum(axis=0) @ gain)
