"""What a fusion may condition its trust on: how well a customer is known, and what an item is to the customer."""

# Shapes: B cases, n pooled candidates

from __future__ import annotations

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.data.keys import find, group_starts
from shoploom.data.orders import order_numbers
from shoploom.ensemble.fusions.pool import Pool
from shoploom.tasks.base import Cases

NAMES = ("orders", "days_since_order", "lines_per_order", "owned", "times_owned", "days_since_owned")
"""Nothing by which a single item could be told: a fusion would learn by heart what sold in the weeks of the labels."""
SEGMENTS = ("stranger", "new", "occasional", "loyal")
FEW, MANY = 3, 12
"""Up to so many orders a customer is new; from so many on loyal."""
NEVER = 400.0


def in_context(shop: ShopArrays, cases: Cases, pool: Pool) -> Pool:
    """The pool with ``NAMES`` for every candidate and a segment for every case."""
    histories = shop.histories(cases.units)
    bought = histories.lines.purchase
    lines, row = histories.lines.take(bought), histories.rows[bought]
    when = np.full(len(cases), shop.end) if cases.when is None else np.maximum(cases.when, shop.end)
    age = np.maximum(when[row] - lines.time, 0.0)
    numbers = order_numbers(lines, shop.timezone)
    by_order = np.lexsort((numbers, row))
    owner, number = row[by_order], numbers[by_order]
    fresh = np.ones(len(owner), dtype=bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (number[1:] != number[:-1])
    orders = np.bincount(owner[fresh], minlength=len(cases)).astype(float)
    since = np.full(len(cases), NEVER)
    np.minimum.at(since, row, age)
    size = np.bincount(row, minlength=len(cases)) / np.maximum(orders, 1.0)
    about_case = np.column_stack([np.log1p(orders), np.log1p(since), np.log1p(size)])
    key = row * len(shop.items) + lines.item
    order = np.argsort(key, kind="stable")
    starts = group_starts(key[order])
    place = find(key[order][starts], pool.row * len(shop.items) + pool.item)
    times, last = np.zeros(len(pool)), np.full(len(pool), NEVER)
    owned = place >= 0
    if len(starts):
        times[owned] = np.diff(np.append(starts, len(key)))[place[owned]]
        last[owned] = np.minimum.reduceat(age[order], starts)[place[owned]]
    about_pair = np.column_stack([owned, np.log1p(times), np.log1p(last)])
    values = np.concatenate([about_case[pool.row], about_pair], axis=1).astype(np.float32)
    segment = np.select([orders == 0, orders <= FEW, orders < MANY], [0, 1, 2], 3).astype(np.int64)
    return pool.with_context(NAMES, values, SEGMENTS, segment)
