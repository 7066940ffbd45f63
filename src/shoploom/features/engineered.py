"""A customer in numbers: recency, frequency, spend, regularity and trend, as of ``shop.end``.

Read by the rivals of churn, spend and profile. One pass over flat arrays: a batch of one and a batch of thousands run
the same code. Only purchases strictly before ``shop.end`` (and live ones, which came after it) count.
"""

# Shapes: B customers, L their purchase lines, N orders, F features, G categories

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Histories, ShopArrays
from shoploom.data.keys import Rows, distinct, group_starts
from shoploom.data.orders import local_days, order_numbers

SPANS = (7, 14, 28, 56, 112)
NAMES = (
    *("spend", "rows", "orders", "recency", "age", "different_products"),
    *(f"spend_{span}" for span in SPANS),
    *(f"orders_{span}" for span in SPANS),
    *("spend_horizon", "orders_horizon", "spend_before_horizon", "orders_before_horizon"),
    *("gap", "gap_spread", "overdue", "rate", "order_value", "last_order_value", "largest_order", "smallest_order"),
    *("weekend_share", "discovery_share", "promoted_share"),
)


@dataclass(frozen=True)
class CustomerTable:
    """Named features: ``values`` (B, F), all finite; customers without a purchase have recency = age = 1000 days."""

    names: tuple[str, ...]
    values: F64

    def column(self, name: str) -> F64:
        """(B,) one feature."""
        return np.asarray(self.values[:, self.names.index(name)])

    def logs(self) -> F64:
        """(B, F) log(1 + x), with negative values as 0: what linear models and trees are given."""
        return np.asarray(np.log1p(np.maximum(self.values, 0.0)))


NEVER = 1000.0
"""Days since the last purchase of somebody who never bought."""


def customer_table(shop: ShopArrays, customers: NDArray[Any]) -> CustomerTable:
    """Features of some customers, -1 being somebody unknown."""
    histories = shop.histories(customers)
    kept = histories.lines.purchase
    lines, row = histories.lines.take(kept), histories.rows[kept]
    now = max(shop.end, float(histories.lines.time.max(initial=shop.end)))
    return _Counter(shop, Histories(lines, np.searchsorted(row, np.arange(len(customers) + 1))), now).table()


class _Counter:
    """Sums of one batch of purchase lines; rows are positions in the batch, lines are sorted by row and time."""

    def __init__(self, shop: ShopArrays, histories: Histories, now: float) -> None:
        self.shop = shop
        self.lines = histories.lines
        self.size = len(histories.offsets) - 1
        self.row = histories.rows
        self.age = now - self.lines.time
        self.amount = self.lines.amount.astype(np.float64)
        runs = _Runs.of(self.row, order_numbers(self.lines, shop.timezone), self.amount, self.lines.time)
        self.order_row, self.order_value, self.order_age = runs.row, runs.value, now - runs.time
        self.order_weekend = (local_days(runs.time, shop.timezone) + 3) % 7 >= 5  # 1970-01-01 was a Thursday
        items = distinct(self.row * len(shop.items) + self.lines.item)
        self.different = self.count(items // max(1, len(shop.items)))

    def table(self) -> CustomerTable:
        """All features."""
        horizon = float(self.shop.clock.horizon_days)
        spend, orders = self.sums(self.amount), self.count(self.order_row)
        recency, age = self.extreme(np.minimum, NEVER), self.extreme(np.maximum, 0.0)
        age = np.where(orders > 0, age, NEVER)
        columns = [spend, self.count(self.row), orders, recency, age, self.different]
        columns += [self.spend_within(0, span) for span in SPANS] + [self.orders_within(0, span) for span in SPANS]
        columns += [self.spend_within(0, horizon), self.orders_within(0, horizon)]
        columns += [self.spend_within(horizon, 2 * horizon), self.orders_within(horizon, 2 * horizon)]
        gap = (age - recency) / np.maximum(orders - 1, 1)
        columns += [gap, self.gap_spread(gap), recency / np.maximum(gap, 1), spend / np.maximum(age, 28)]
        columns += [spend / np.maximum(orders, 1), *self.order_values()]
        columns += [self.count(self.order_row[self.order_weekend]) / np.maximum(orders, 1)]
        columns += [self.different / np.maximum(self.count(self.row), 1), self.promoted_share()]
        return CustomerTable(NAMES, np.column_stack(columns))

    def sums(self, values: F64) -> F64:
        return np.bincount(self.row, values, self.size).astype(np.float64)

    def count(self, rows: NDArray[np.int64]) -> F64:
        return np.bincount(rows, minlength=self.size).astype(np.float64)

    def share(self, mask: NDArray[np.bool_]) -> F64:
        return self.count(self.row[mask]) / np.maximum(self.count(self.row), 1)

    def spend_within(self, low: float, high: float) -> F64:
        """Spend of lines with an age in (low, high], from 0 on for a ``low`` of 0."""
        inside = (self.age <= high) & (self.age > low if low else self.age >= 0)
        return np.bincount(self.row[inside], self.amount[inside], self.size).astype(np.float64)

    def orders_within(self, low: float, high: float) -> F64:
        return self.count(self.order_row[(self.order_age <= high) & (self.order_age > low if low else True)])

    def extreme(self, function: np.ufunc, empty: float) -> F64:
        found = np.full(self.size, empty)
        starts = group_starts(self.row)
        found[self.row[starts]] = _reduce(function, self.age, starts)
        return found

    def gap_spread(self, gap: F64) -> F64:
        """Mean distance of the days between orders from their mean."""
        same = self.order_row[1:] == self.order_row[:-1]
        step, rows = (self.order_age[:-1] - self.order_age[1:])[same], self.order_row[1:][same]
        total = np.bincount(rows, np.abs(step - gap[rows]), self.size)
        return np.asarray(total / np.maximum(np.bincount(rows, minlength=self.size), 1), dtype=np.float64)

    def order_values(self) -> tuple[F64, F64, F64]:
        """Value of the last order, of the largest and of the smallest one."""
        starts = group_starts(self.order_row)
        rows, ends = self.order_row[starts], np.append(starts[1:], len(self.order_row)) - 1
        last, large, small = np.zeros(self.size), np.zeros(self.size), np.zeros(self.size)
        last[rows] = self.order_value[ends] if len(starts) else 0.0
        large[rows] = _reduce(np.maximum, self.order_value, starts)
        small[rows] = _reduce(np.minimum, self.order_value, starts)
        return last, large, small

    def promoted_share(self) -> F64:
        """Share of lines below the shelf price."""
        paid = self.amount / np.maximum(self.lines.quantity.astype(np.float64), 1e-9)
        with np.errstate(invalid="ignore"):
            return self.share((self.lines.quantity > 0) & (paid < 0.99 * self.lines.price.astype(np.float64)))


def category_shares(shop: ShopArrays, customers: NDArray[Any], codes: I32, columns: NDArray[np.integer[Any]]) -> F64:
    """(B, len(columns)) square roots of the shares of a customer's spend by category.

    Args:
        shop: The shop.
        customers: (B,) rows, -1 unknown.
        codes: (I or fewer) category code per item, 0 unknown; later items count as unknown.
        columns: Codes of the wanted categories.
    """
    histories = shop.histories(customers)
    kept = histories.lines.purchase
    lines, row = histories.lines.take(kept), histories.rows[kept]
    place = np.full(int(max(codes.max(initial=0), columns.max(initial=0))) + 1, -1, dtype=np.int64)
    place[columns] = np.arange(len(columns))
    inside = lines.item < len(codes)
    column = np.where(inside, place[codes[np.where(inside, lines.item, 0)]], -1)
    amount = np.maximum(lines.amount.astype(np.float64), 0.0)
    total = np.bincount(row, amount, len(customers))
    fine = column >= 0
    flat = np.bincount(row[fine] * len(columns) + column[fine], amount[fine], len(customers) * len(columns))
    shares = flat.reshape(len(customers), len(columns)) / np.maximum(total, 1e-9)[:, None]
    return np.asarray(np.sqrt(np.clip(shares, 0, 1)))


def most_spent(shop: ShopArrays, codes: I32, most: int) -> Rows:
    """The known categories on which customers spend most, ascending: at most ``most`` codes.

    Args:
        shop: The shop.
        codes: (I,) category code per item, 0 unknown.
        most: How many.
    """
    lines = shop.lines
    kept = lines.purchase & (lines.customer >= 0)
    amount = np.maximum(lines.amount[kept], 0).astype(float)
    spend = np.bincount(codes[lines.item[kept]], amount, int(codes.max(initial=0)) + 1)
    spend[0] = 0.0
    best = np.argsort(-spend, kind="stable")[:most]
    return np.sort(best[spend[best] > 0]).astype(np.int64)


@dataclass(frozen=True)
class _Runs:
    """Orders by customer and time: customer's row, value, and the time of the first line."""

    row: Rows
    value: F64
    time: F64

    @classmethod
    def of(cls, row: Rows, numbers: Rows, amount: F64, time: F64) -> _Runs:
        """Lines of one order nearly always stand together; those that do not are brought together here."""
        changed = (row[1:] != row[:-1]) | (numbers[1:] != numbers[:-1])
        starts = np.flatnonzero(np.concatenate([[True], changed])) if len(row) else np.zeros(0, dtype=np.int64)
        row, numbers, value, time = row[starts], numbers[starts], _reduce(np.add, amount, starts), time[starts]
        order = np.lexsort((np.arange(len(row)), numbers, row))
        first = np.flatnonzero(
            np.concatenate([[True], (np.diff(row[order]) != 0) | (np.diff(numbers[order]) != 0)])[: len(row)]
        )
        row, time, value = row[order][first], time[order][first], _reduce(np.add, value[order], first)
        by_time = np.lexsort((time, row))
        return cls(row[by_time], value[by_time], time[by_time])


def _reduce(function: np.ufunc, values: F64, starts: NDArray[np.int64]) -> F64:
    return np.asarray(function.reduceat(values, starts), dtype=np.float64) if len(starts) else np.zeros(0)
