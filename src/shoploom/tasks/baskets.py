"""What the two basket tasks share: the customers who come back, their first order, and ranked-list checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Flags, Lines, ShopArrays
from shoploom.data.keys import distinct
from shoploom.data.orders import order_numbers
from shoploom.tasks.base import Cases, Prediction, Ranked, Truth


@dataclass(frozen=True)
class FirstOrders:
    """Known customers who come back: ``customers`` (B,) by row, ``when`` (B,) the day, ``lines`` of that order."""

    customers: I32
    when: F64
    lines: Lines


def known_customers(shop: ShopArrays) -> Flags:
    """(C,) Customers with a purchase so far."""
    buyers = shop.lines.customer[shop.lines.purchase & (shop.lines.customer >= 0)]
    return np.bincount(buyers, minlength=len(shop.customers)) > 0


def first_orders(past: ShopArrays, future: Lines) -> FirstOrders:
    """The first order in ``future`` of each customer with a purchase before it; all its purchased lines."""
    known = known_customers(past)
    rows = np.flatnonzero(future.purchase & (future.customer >= 0) & (future.customer < len(known)))
    rows = rows[known[future.customer[rows]]]
    rows = rows[np.lexsort((future.time[rows], future.customer[rows]))]
    lines = future.take(rows)
    customers, first, place = np.unique(lines.customer, return_index=True, return_inverse=True)
    orders = order_numbers(lines, past.timezone)
    chosen = lines.take(orders == orders[first][place])
    return FirstOrders(customers.astype(np.int32), lines.time[first], chosen)


def pair_keys(shop: ShopArrays, lines: Lines, kept: Flags) -> NDArray[np.int64]:
    """Sorted distinct ``customer * num_items + item`` of some lines of known customers."""
    mask = kept & (lines.customer >= 0)
    return distinct(lines.customer[mask].astype(np.int64) * len(shop.items) + lines.item[mask])


def relevant_items(shop: ShopArrays, customers: I32, keys: NDArray[np.int64], novel: Flags | None = None) -> Truth:
    """The truth of ranked lists from distinct pair keys whose customers all occur in ``customers`` (sorted)."""
    place = np.searchsorted(customers, keys // max(1, len(shop.items)))
    sizes = np.bincount(place, minlength=len(customers))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Truth(offsets=offsets, items=(keys % max(1, len(shop.items))).astype(np.int32), novel=novel)


def ranked_truth(cases: Cases, prediction: Prediction) -> tuple[I32, NDArray[np.int64], I32]:
    """Lists, offsets and relevant items, after a check that they belong together."""
    if not isinstance(prediction, Ranked):
        raise TypeError(f"a ranking task is measured on Ranked, not on {type(prediction).__name__}")
    truth = cases.truth
    if truth is None or truth.offsets is None or truth.items is None:
        raise ValueError("the cases have no relevant items; measure needs cases made with the future's lines")
    if len(prediction.items) != len(cases):
        raise ValueError(f"{len(prediction.items)} lists for {len(cases)} cases; predict one list per case")
    return prediction.items, truth.offsets, truth.items
