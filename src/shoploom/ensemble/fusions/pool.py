"""What several members say of the same candidates: their lists laid over each other."""

# Shapes: B cases, M members, n candidates of all cases, k list length, S context columns

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shoploom.data.arrays import F32, F64, I32, Flags
from shoploom.data.keys import Rows, distinct, find
from shoploom.tasks.base import Ranked, Truth

RANK_OFFSET = 10.0
"""Credit of rank r (from 1) is RANK_OFFSET / (RANK_OFFSET + r)."""
CLIP = 4.0


@dataclass(frozen=True)
class Pool:
    """Every item that some member lists for a case, and what each member says of it.

    Args:
        members: M names.
        cases: B.
        row, item: (n,) case and item, sorted by both.
        score: (n, M) in standard deviations of the member's own list of the case, clipped; 0 where it does not list
            the item or gives it no score.
        rank: (n, M) from 1, 0 where the member does not list the item or gives it no score.
        context: (n, S) about the case and the item, for fusions that condition on it.
        names: S names of the context's columns.
        segment: (B,) number of each case's segment.
        segments: Names of the segments.
    """

    members: tuple[str, ...]
    cases: int
    row: Rows
    item: Rows
    score: F32
    rank: I32
    context: F32
    names: tuple[str, ...] = ()
    segment: Rows | None = None
    segments: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, lists: Mapping[str, Ranked]) -> Pool:
        """Lay lists over each other; places with a score of 0 earn nothing.

        Raises:
            ValueError: If there is no list, or the members answered different numbers of cases.

        Example:
            >>> one = Ranked(np.array([[7, 3]], dtype=np.int32), np.array([[2.0, 0.0]]))
            >>> two = Ranked(np.array([[3, -1]], dtype=np.int32), np.array([[0.5, 0.0]]))
            >>> pool = Pool.of({"one": one, "two": two})
            >>> pool.item.tolist(), pool.rank.tolist()
            ([3, 7], [[0, 1], [1, 0]])
        """
        sizes = {len(one.items) for one in lists.values()}
        if len(sizes) != 1:
            raise ValueError(f"members answered {sorted(sizes)} cases; all must answer the same ones")
        cases = sizes.pop()
        width = 1 + max(int(one.items.max(initial=0)) for one in lists.values())
        listed = {name: (one.items >= 0) & (one.scores != 0) & np.isfinite(one.scores) for name, one in lists.items()}
        keys = {name: _keys(one.items, width)[listed[name]] for name, one in lists.items()}
        every = distinct(np.concatenate(list(keys.values())))
        score = np.zeros((len(every), len(lists)), dtype=np.float32)
        rank = np.zeros((len(every), len(lists)), dtype=np.int32)
        for column, (name, one) in enumerate(lists.items()):
            place = find(every, keys[name])
            score[place, column] = _standardised(one.scores, listed[name])[listed[name]]
            ranks = np.broadcast_to(np.arange(1, one.items.shape[1] + 1, dtype=np.int32), one.items.shape)
            rank[place, column] = ranks[listed[name]]
        context = np.zeros((len(every), 0), dtype=np.float32)
        return cls(tuple(lists), cases, every // width, every % width, score, rank, context)

    def with_context(
        self, names: Sequence[str], values: F32, segments: Sequence[str] = (), segment: Rows | None = None
    ) -> Pool:
        """The same pool with what is known beside the members' opinions."""
        return replace(self, names=tuple(names), context=values, segments=tuple(segments), segment=segment)

    def of_members(self, names: Sequence[str]) -> Pool:
        """Only what some of the members say; candidates that none of them lists are left out."""
        columns = [self.members.index(name) for name in names]
        kept = (self.rank[:, columns] > 0).any(axis=1)
        return replace(
            self,
            members=tuple(names),
            row=self.row[kept],
            item=self.item[kept],
            score=self.score[kept][:, columns],
            rank=self.rank[kept][:, columns],
            context=self.context[kept],
        )

    def rows(self, kept: Flags) -> Pool:
        """Some of the candidates."""
        return replace(
            self,
            row=self.row[kept],
            item=self.item[kept],
            score=self.score[kept],
            rank=self.rank[kept],
            context=self.context[kept],
        )

    def take(self, cases: Rows) -> Pool:
        """The candidates of some cases, ascending; they are numbered anew."""
        place = find(cases, self.row)
        kept = place >= 0
        return replace(
            self,
            cases=len(cases),
            row=place[kept],
            item=self.item[kept],
            score=self.score[kept],
            rank=self.rank[kept],
            context=self.context[kept],
            segment=None if self.segment is None else self.segment[cases],
        )

    def hits(self, truth: Truth) -> Flags:
        """(n,) whether each candidate is relevant."""
        assert truth.offsets is not None
        assert truth.items is not None
        width = 1 + int(max(self.item.max(initial=0), truth.items.max(initial=0)))
        owner = np.repeat(np.arange(len(truth.offsets) - 1), np.diff(truth.offsets))
        return np.asarray(find(distinct(owner * width + truth.items), self.row * width + self.item) >= 0)

    def credit(self) -> F32:
        """(n, M) reciprocal-rank credit in (0, 1), 0 where a member says nothing.

        References:
            Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion", SIGIR, scaled so that the offset is 1.
        """
        return np.asarray(np.where(self.rank > 0, RANK_OFFSET / (RANK_OFFSET + self.rank), 0.0), dtype=np.float32)


def top(pool: Pool, score: F64, k: int) -> Ranked:
    """The k candidates of each case with the highest score; equal ones by item."""
    order = np.lexsort((pool.item, -score, pool.row))
    row = pool.row[order]
    starts = np.searchsorted(row, np.arange(pool.cases))
    rank = np.arange(len(row)) - starts[row] if len(row) else row
    order, rank = order[rank < k], rank[rank < k]
    items = np.full((pool.cases, k), -1, dtype=np.int32)
    scores = np.zeros((pool.cases, k))
    items[pool.row[order], rank] = pool.item[order]
    scores[pool.row[order], rank] = score[order]
    return Ranked(items, scores)


def normalised(values: F64) -> F64:
    """Rows of non-negative values divided by their sums; rows of zeros stay."""
    return np.asarray(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12))


def useful(pool: Pool, relevant: Flags, seed: int, *, most: int) -> tuple[Pool, Flags]:
    """Cases with something right among their candidates, the others teach nothing; of many wrong candidates some.

    Args:
        pool: Candidates.
        relevant: (n,) whether each was right.
        seed: Of the choice.
        most: Candidates, about, that are kept.
    """
    cases = distinct(pool.row[relevant])
    some, right = pool.take(cases), relevant[find(cases, pool.row) >= 0]
    if len(some) <= most:
        return some, right
    share = max(0.02, (most - right.sum()) / max(1, len(some) - right.sum()))
    kept = right | (np.random.default_rng([seed, 5]).random(len(some)) < share)
    return some.rows(kept), right[kept]


def _standardised(scores: F64, listed: Flags) -> F64:
    """(B, k) each row in units of its own spread."""
    count = np.maximum(listed.sum(axis=1, keepdims=True), 1)
    value = np.where(listed, scores, 0.0)
    off = np.where(listed, value - value.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((off**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(np.clip(off / np.maximum(spread, 1e-9), -CLIP, CLIP))


def _keys(items: I32, width: int) -> Rows:
    return np.asarray(np.arange(len(items))[:, None] * width + items.astype(np.int64))
