"""What customers did with single items: counts, ages and decayed counts of every (customer, item) pair.

Made from histories, so that a batch of thousands in training and one customer in serving run the same code. Knows
nothing of other customers.
"""

# Shapes: L lines, B customers of the batch, P pairs (customer, item), n queries

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, Flags, Histories
from shoploom.data.keys import Rows, find, group_starts, rank_in_group
from shoploom.data.orders import order_numbers

HALF_LIVES = (7.0, 30.0, 90.0, 180.0)
ORDER_DECAY = 0.8
"""Weight of an order relative to the next one, for decay counted in orders instead of days."""


@dataclass(frozen=True)
class Orders:
    """Each customer's orders in a row: (B,) number, mean size, days since the last one, number in 30 days."""

    count: F64
    size: F64
    since: F64
    recent: F64


@dataclass(frozen=True)
class Pairs:
    """One row per (customer of the batch, item), sorted by both; a product counts once per order.

    Args:
        num_items: Items are below this.
        row, item: (P,) position in the batch, item row.
        times: (P,) number of orders with the item.
        last, first: (P,) age in days of the latest and of the earliest.
        orders_since: (P,) orders since the latest one with the item, 0 if it was in the last order.
        decays: (P, len(HALF_LIVES)) counts halved every so many days.
        order_decay: (P,) counts that shrink by ``ORDER_DECAY`` with every later order.
        orders: Per customer.
    """

    num_items: int
    row: Rows
    item: Rows
    times: F64
    last: F64
    first: F64
    orders_since: F64
    decays: F64
    order_decay: F64
    orders: Orders

    @cached_property
    def keys(self) -> Rows:
        """(P,) ``row * num_items + item``, ascending."""
        return self.row * self.num_items + self.item

    def find(self, row: NDArray[Any], item: NDArray[Any]) -> Rows:
        """(n,) position of some (row, item) pairs, -1 where there is none."""
        return find(self.keys, row.astype(np.int64) * self.num_items + item)

    def tops(self, number: int, score: F64) -> Rows:
        """Positions of the ``number`` pairs of each customer with the highest score, in order of ``keys``."""
        order = np.lexsort((-score, self.row))
        return np.sort(order[rank_in_group(self.row[order]) < number])


def pairs_of(histories: Histories, when: F64, *, num_items: int, timezone: str, kept: Flags | None = None) -> Pairs:
    """Summarise the purchases of some customers.

    Args:
        histories: Of B customers; everything in them must be earlier than ``when``.
        when: (B,) moment from which ages are counted.
        num_items: Number of items.
        timezone: Of the shop, to tell orders apart that carry no number.
        kept: (L,) Which lines count; None means purchases.
    """
    mask = histories.lines.purchase if kept is None else kept
    lines, row = histories.lines.take(mask), histories.rows[mask]
    numbers = order_numbers(lines, timezone)
    index, orders = _orders(row, numbers, lines.time, when)
    key = row * num_items + lines.item
    order = np.argsort(key, kind="stable")
    key, numbers, index = key[order], numbers[order], index[order]
    fresh = np.ones(len(key), dtype=bool)
    fresh[1:] = (key[1:] != key[:-1]) | (numbers[1:] != numbers[:-1])
    key, index, order = key[fresh], index[fresh], order[fresh]
    starts = group_starts(key)
    owner, age = row[order], when[row[order]] - lines.time[order]
    behind = orders.count[owner] - 1 - index
    ends = np.append(starts[1:], len(key))[: len(starts)] - 1
    decays = [_sums(np.exp2(-age / days), starts) for days in HALF_LIVES]
    return Pairs(
        num_items=num_items,
        row=owner[starts],
        item=key[starts] - owner[starts] * num_items,
        times=(ends - starts + 1).astype(float),
        last=age[ends],
        first=age[starts],
        orders_since=behind[ends],
        decays=np.column_stack(decays) if len(starts) else np.zeros((0, len(HALF_LIVES))),
        order_decay=_sums(ORDER_DECAY**behind, starts),
        orders=orders,
    )


def _orders(row: Rows, numbers: Rows, time: F64, when: F64) -> tuple[F64, Orders]:
    """The place of each line's order among the customer's orders, by first line, and the orders per customer."""
    size = len(when)
    if not len(row):
        zero = np.zeros(size)
        return np.zeros(0), Orders(zero, zero, np.full(size, np.nan), zero)
    # Lines of one order nearly always stand together; the sort only mends shops that interleave them.
    change = np.concatenate([[True], (numbers[1:] != numbers[:-1]) | (row[1:] != row[:-1])])
    starts = np.flatnonzero(change)
    run = np.cumsum(change) - 1
    _, first, same = (
        np.unique(np.stack([row[starts], numbers[starts]]), axis=1, return_index=True, return_inverse=True)
        if _interleaved(row[starts], numbers[starts])
        else (None, np.arange(len(starts)), np.arange(len(starts)))
    )
    by_time = np.argsort(first, kind="stable")
    place = np.empty(len(first), dtype=np.int64)
    place[by_time] = np.arange(len(first))
    order = place[same][run]
    owner, began = row[starts[first[by_time]]], time[starts[first[by_time]]]
    count = np.bincount(owner, minlength=size).astype(float)
    before = np.cumsum(count) - count
    lines = np.bincount(row, minlength=size)
    since = np.full(size, np.nan)
    since[owner] = when[owner] - began  # the last assignment wins: the latest order
    recent = np.bincount(owner[when[owner] - began < 30], minlength=size).astype(float)
    return order - before[row], Orders(count, lines / np.maximum(count, 1), since, recent)


def _interleaved(row: Rows, numbers: Rows) -> bool:
    """Whether some order of a customer appears in two runs of lines."""
    order = np.lexsort((numbers, row))
    row, numbers = row[order], numbers[order]
    return bool(((row[1:] == row[:-1]) & (numbers[1:] == numbers[:-1])).any())


def _sums(values: F64, starts: Rows) -> F64:
    return np.add.reduceat(values, starts) if len(starts) else np.zeros(0)
