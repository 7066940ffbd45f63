"""Orders of a batch of customers as sets of products, one after the other: what windows, transitions and sessions read.

Made from histories, so that thousands of customers in training and one in serving run the same code.
"""

# Shapes: L lines, B customers of the batch, N orders, n products of all orders

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, Flags, Histories
from shoploom.data.keys import Rows, group_starts, rank_in_group
from shoploom.data.orders import order_numbers


@dataclass(frozen=True)
class Baskets:
    """Orders by customer and time; a product counts once per order.

    Args:
        row: (N,) position of the order's customer in the batch, ascending.
        time: (N,) day of the order's first line.
        behind: (N,) how many later orders the customer has, 0 for the last one.
        offsets: (N + 1,) order o holds ``item[offsets[o]:offsets[o + 1]]``.
        item: (n,) item rows, ascending within an order.
        customers: B.
    """

    row: Rows
    time: F64
    behind: Rows
    offsets: Rows
    item: Rows
    customers: int

    def __len__(self) -> int:
        return len(self.row)

    @property
    def order(self) -> Rows:
        """(n,) the order of each product."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, orders: Flags | Rows) -> Baskets:
        """Some of the orders, in the same sequence; ``behind`` stays as it was."""
        chosen = np.flatnonzero(orders) if orders.dtype == np.bool_ else orders
        sizes = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], sizes)
        kept = (self.row[chosen], self.time[chosen], self.behind[chosen])
        return Baskets(*kept, offsets, self.item[flat], self.customers)

    def of_customers(self, block: slice) -> Baskets:
        """The orders of consecutive customers, who are numbered from 0."""
        low, high = np.searchsorted(self.row, (block.start, block.stop))
        part = self.take(np.arange(low, high))
        return replace(part, row=part.row - block.start, customers=block.stop - block.start)

    def merged(self, days: float, end: float) -> Baskets:
        """Orders of one customer in the same period as one; periods of ``days`` are counted back from ``end``."""
        period = np.floor((end - self.time) / days).astype(np.int64)
        fresh = np.ones(len(self), dtype=bool)
        fresh[1:] = (self.row[1:] != self.row[:-1]) | (period[1:] != period[:-1])
        group = np.cumsum(fresh) - 1
        return _grouped(group[self.order], self.item, self.row[fresh], self.time[fresh], self.customers)

    def matrix(self, columns: Rows, width: int, weight: F64 | F32) -> sp.csr_matrix:
        """(N, width) float32: each order's ``weight`` in the columns of its products.

        Args:
            columns: (n,) column of each product, -1 to leave it out.
            width: Number of columns.
            weight: (N,) one number per order.
        """
        kept = columns >= 0
        sizes = np.bincount(self.order[kept], minlength=len(self))
        values = np.repeat(np.asarray(weight, dtype=np.float32), sizes)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return sp.csr_matrix((values, columns[kept].astype(np.int32), offsets), shape=(len(self), width))

    def owners(self) -> sp.csr_matrix:
        """(B, N) ones: times an order matrix, this adds up the orders of each customer."""
        offsets = np.searchsorted(self.row, np.arange(self.customers + 1))
        ones = np.ones(len(self), dtype=np.float32)
        return sp.csr_matrix((ones, np.arange(len(self), dtype=np.int32), offsets), shape=(self.customers, len(self)))


def baskets_of(histories: Histories, *, timezone: str, kept: Flags | None = None) -> Baskets:
    """The orders of some customers.

    Args:
        histories: Of B customers.
        timezone: Of the shop, to tell orders apart that carry no number.
        kept: (L,) Which lines count; None means purchases.
    """
    customers = len(histories.offsets) - 1
    mask = histories.lines.purchase if kept is None else kept
    lines, row = histories.lines.take(mask), histories.rows[mask]
    if not len(row):
        none = np.zeros(0, dtype=np.int64)
        return Baskets(none, np.zeros(0), none, np.zeros(1, dtype=np.int64), none, customers)
    place, owner, began = _places(row, order_numbers(lines, timezone), lines.time)
    return _grouped(place, lines.item, owner, began, customers)


def _grouped(place: Rows, item: NDArray[np.integer], owner: Rows, began: F64, customers: int) -> Baskets:
    """Baskets from the order of each line, and from the customer and the moment of each order."""
    width = int(item.max(initial=0)) + 1
    key = np.sort(place * width + item)
    key = key[group_starts(key)]
    sizes = np.bincount(key // width, minlength=len(owner))
    behind = np.bincount(owner, minlength=customers)[owner] - 1 - rank_in_group(owner)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Baskets(owner, began, behind, offsets, key % width, customers)


def _places(row: Rows, numbers: NDArray[np.int64], time: F64) -> tuple[Rows, Rows, F64]:
    """(L,) the order of each line, by customer and first line; (N,) owner and first moment of each order."""
    by_order = np.lexsort((numbers, row))  # stable: the first line of an order is its earliest
    fresh = np.ones(len(row), dtype=bool)
    fresh[1:] = (row[by_order][1:] != row[by_order][:-1]) | (numbers[by_order][1:] != numbers[by_order][:-1])
    first = by_order[fresh]
    by_time = np.argsort(first, kind="stable")  # lines are sorted by customer and time
    rank = np.empty(len(first), dtype=np.int64)
    rank[by_time] = np.arange(len(first))
    place = np.empty(len(row), dtype=np.int64)
    place[by_order] = rank[np.cumsum(fresh) - 1]
    return place, row[first[by_time]], time[first[by_time]]
