"""Visits: a customer's events grouped by order, the tokens that the customer encoder reads.

Lines with an order id form one visit per order; lines without one (views, clicks) form one per customer and day.
"""

# Shapes: L lines, N visits, C customers

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F32, F64, Histories, ShopArrays

NUM_KINDS = len(schema.EVENT_TYPES)


@dataclass(frozen=True)
class Visits:
    """Visits of a batch of customers, by customer and time.

    Args:
        offsets: (C + 1,) visits of customer c are ``offsets[c]:offsets[c + 1]``.
        line_offsets: (N + 1,) lines of visit n, within the histories that the visits were made from.
        time: (N,) day of the visit.
        amount: (N,) paid, 0 for visits without a purchase.
        kinds: (N, event types) number of lines of each type.
    """

    offsets: NDArray[np.int64]
    line_offsets: NDArray[np.int64]
    time: F64
    amount: F32
    kinds: F32

    def __len__(self) -> int:
        return len(self.time)


def visits_of(histories: Histories) -> Visits:
    """Group the lines of each customer into visits."""
    lines, owner = histories.lines, histories.rows
    if not len(lines):
        zero, nothing = np.zeros(0), np.zeros(0, dtype=np.float32)
        empty = np.zeros((0, NUM_KINDS), dtype=np.float32)
        return Visits(
            np.zeros(len(histories.offsets), dtype=np.int64), np.zeros(1, dtype=np.int64), zero, nothing, empty
        )
    key = np.where(lines.order >= 0, lines.order, -1 - np.floor(lines.time).astype(np.int64))
    new = np.concatenate([[True], (key[1:] != key[:-1]) | (owner[1:] != owner[:-1])])
    starts = np.flatnonzero(new)
    kinds = np.zeros((len(starts), NUM_KINDS), dtype=np.float32)
    np.add.at(kinds, (np.cumsum(new) - 1, lines.kind), 1.0)
    per_customer = np.bincount(owner[starts], minlength=len(histories.offsets) - 1)
    amount = np.add.reduceat(np.where(lines.purchase, lines.amount, 0.0), starts)
    return Visits(
        offsets=np.concatenate([[0], np.cumsum(per_customer)]),
        line_offsets=np.append(starts, len(lines)),
        time=lines.time[starts],
        amount=amount.astype(np.float32),
        kinds=kinds,
    )


def all_visits(shop: ShopArrays) -> tuple[Histories, Visits]:
    """Histories and visits of every customer, by row."""
    histories = shop.histories(np.arange(len(shop.customers)))
    return histories, visits_of(histories)
