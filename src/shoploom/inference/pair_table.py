"""The strongest neighbours of every product, counted once from the bulk data, and what live events add to them.

Bounded in memory: so many neighbours per product, so many live ones beside them. Knows nothing of what a pair means.
"""

# Shapes: I items, P pairs kept, n neighbours of one item

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.data.keys import Rows, rank_in_group

NEIGHBOURS = 200
MOST_PAIRS = 20_000_000
"""Of a whole table; a shop with more than 100,000 products keeps fewer neighbours of each."""
FEWEST_NEIGHBOURS = 20
MOST_LIVE_PAIRS = 1_000_000
"""About 100 MB."""


@dataclass(frozen=True)
class Block:
    """Pairs that may be kept: of ``one`` with ``other``, seen ``weight`` times, kept by the highest ``score``."""

    one: Rows
    other: Rows
    weight: F64
    score: F64


class PairTable:
    """Weights of ordered pairs (one, other). Readers need no lock; writers take turns.

    Args:
        pairs: (I, I) csr of weights, at most ``NEIGHBOURS`` in a row.
        counts: (I,) how often each item was seen at all.
        units: Number of orders, customers or sessions that were looked at.
    """

    def __init__(self, pairs: sp.csr_matrix, counts: F64, units: float) -> None:
        self._offsets: NDArray[np.integer] = pairs.indptr
        self._others = pairs.indices.astype(np.int32)
        self._weights = pairs.data.astype(np.float32)
        self._counts = counts
        self._most_live = 2 * NEIGHBOURS
        self._live: dict[int, dict[int, float]] = {}
        self._num_live = 0
        self._live_counts: dict[int, float] = {}
        self.units = float(units)

    @classmethod
    def of(cls, blocks: Iterable[Block], counts: F64, units: float) -> PairTable:
        """Keep the best neighbours of each item from blocks that hold all pairs of their items."""
        size = len(counts)
        most = int(np.clip(MOST_PAIRS // max(1, size), FEWEST_NEIGHBOURS, NEIGHBOURS))
        kept = [_best(block, most) for block in blocks]
        one = np.concatenate([block.one for block in kept] or [np.zeros(0, dtype=np.int64)])
        other = np.concatenate([block.other for block in kept] or [one])
        weight = np.concatenate([block.weight for block in kept] or [np.zeros(0)])
        return cls(sp.csr_matrix((weight.astype(np.float32), (one, other)), shape=(size, size)), counts, units)

    def __len__(self) -> int:
        return len(self._others)

    def sibling(self) -> PairTable:
        """The same bulk pairs in the same memory, with live ones of its own."""
        fresh = PairTable(sp.csr_matrix((len(self._counts), len(self._counts))), self._counts, self.units)
        fresh._offsets, fresh._others, fresh._weights = self._offsets, self._others, self._weights
        return fresh

    def beside(self, item: int) -> tuple[Rows, F64]:
        """(n,) neighbours of an item and their weights, in no order; live pairs are added to bulk ones."""
        start, end = self._offsets[item : item + 2] if item < len(self._counts) else (0, 0)
        others, weights = self._others[start:end].astype(np.int64), self._weights[start:end].astype(np.float64)
        live = self._live.get(item)
        if not live:
            return others, weights
        pairs = list(live.items())
        more = np.array([one for one, _ in pairs], dtype=np.int64)
        found, place = np.unique(np.concatenate([others, more]), return_inverse=True)
        both = np.concatenate([weights, [weight for _, weight in pairs]])
        return found, np.bincount(place, both).astype(np.float64)

    def counts(self, items: Rows) -> F64:
        """(n,) how often items were seen, in live events, too."""
        known = items < len(self._counts)
        found = np.zeros(len(items))
        found[known] = self._counts[items[known]]
        if self._live_counts:
            found = found + np.array([self._live_counts.get(int(one), 0.0) for one in items])
        return found

    def see(self, item: int, times: float = 1.0) -> None:
        """Count a live occurrence of an item."""
        self._live_counts[item] = self._live_counts.get(item, 0.0) + times

    def add(self, one: int, other: int, weight: float) -> None:
        """Count a live pair; where there are many, the strongest of an item and of all stay."""
        row = self._live.setdefault(one, {})
        self._num_live += other not in row
        row[other] = row.get(other, 0.0) + weight
        if len(row) > self._most_live:
            self._live[one] = dict(sorted(row.items(), key=lambda pair: -pair[1])[:NEIGHBOURS])
            self._num_live -= len(row) - NEIGHBOURS
        if self._num_live > MOST_LIVE_PAIRS:
            self._halve()

    def _halve(self) -> None:
        weights = np.array([weight for row in self._live.values() for weight in row.values()])
        least = float(np.partition(weights, len(weights) // 2)[len(weights) // 2])
        kept = {one: {other: has for other, has in row.items() if has > least} for one, row in self._live.items()}
        self._live = {one: row for one, row in kept.items() if row}
        self._num_live = sum(map(len, self._live.values()))


@dataclass(frozen=True)
class Summed:
    """Neighbours of several items: rows, scores, and for each the item that spoke loudest for it."""

    items: Rows
    scores: F64
    because: Rows


def summed(parts: Iterable[tuple[int, Rows, F64]]) -> Summed:
    """Add up what several items say about their neighbours.

    Args:
        parts: Item, its neighbours, and what it gives to each.
    """
    given = list(parts)
    others = np.concatenate([rows for _, rows, _ in given] or [np.zeros(0, dtype=np.int64)])
    values = np.concatenate([value for _, _, value in given] or [np.zeros(0)])
    source = np.repeat(np.array([one for one, _, _ in given], dtype=np.int64), [len(rows) for _, rows, _ in given])
    items, place = np.unique(others, return_inverse=True)
    because = np.zeros(len(items), dtype=np.int64)
    order = np.argsort(values, kind="stable")
    because[place[order]] = source[order]  # the last assignment wins: the largest value
    return Summed(items, np.bincount(place, values, minlength=len(items)).astype(np.float64), because)


def ranges(costs: F64, most: float) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of rows that cost about ``most`` each, at least one row.

    Example:
        >>> list(ranges(np.array([1.0, 1.0, 5.0, 1.0]), 2.0))
        [(0, 2), (2, 3), (3, 4)]
    """
    total, start = 0.0, 0
    for row, cost in enumerate(costs.tolist()):
        if row > start and total + cost > most:
            yield start, row
            total, start = 0.0, row
        total += cost
    if len(costs) > start:
        yield start, len(costs)


def _best(block: Block, most: int) -> Block:
    order = np.lexsort((-block.score, block.one))
    order = order[rank_in_group(block.one[order]) < most]
    return Block(block.one[order], block.other[order], block.weight[order], block.score[order])
