"""What kind of trip a visit is: its hour and weekday, how large orders are at such times, and what goes with them.

Somebody who comes at noon for a sandwich is offered something else than on a Saturday's large shop. Everything is
counted from orders; nothing is learned here.
"""

# Shapes: L lines, N orders, B customers, I items, P pairs (customer, item), n candidates, m items with own times

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, Flags, Histories, Lines, ShopArrays
from shoploom.data.keys import Rows, find
from shoploom.data.orders import local_clock, order_numbers

VISIT_FEATURES = ("hour", "mean_size", "size_at_hour", "last_size", "since_large", "small_share")
OWN_FEATURES = ("size", "smallest", "last_size", "at_hour", "hour_share", "weekday_share")
ITEM_FEATURES = ("size", "small_share", "hour_lift", "weekday_lift")
NUM_DENSE = 16
HALF_LIFE_DAYS = 90.0
HOURS = 1.5
"""Standard deviation, in hours, within which times of day are alike."""
SMALL = 3
"""Lines of a small order at most."""
LEAST_SALES = 10
"""Products with fewer sales have no times of their own."""
PRIOR = 20.0
"""Sales at the shop's usual times that are added to each product's own."""
NEARBY_HOURS = {0: 1.0, 1: 0.7, -1: 0.7, 2: 0.3, -2: 0.3}


@dataclass(frozen=True)
class OrdersInTime:
    """Orders of a batch, in order of customer and time.

    Args:
        row: (N,) customer's position in the batch.
        time: (N,) day of the first line.
        lines: (N,) number of lines.
        of_line: (L,) the order of each line.
    """

    row: Rows
    time: F64
    lines: Rows
    of_line: Rows

    @classmethod
    def of(cls, lines: Lines, row: Rows, timezone: str) -> Self:
        """Lines of one order stand together, as orders do that happen one after the other."""
        numbers = order_numbers(lines, timezone)
        new = np.ones(len(row), dtype=bool)
        new[1:] = (numbers[1:] != numbers[:-1]) | (row[1:] != row[:-1])
        starts = np.flatnonzero(new)
        return cls(row[starts], lines.time[starts], np.diff(np.append(starts, len(row))), np.cumsum(new) - 1)

    @property
    def size(self) -> F64:
        """(N,) log of 1 + lines."""
        return np.log1p(self.lines.astype(np.float64))


@dataclass(frozen=True)
class ItemTrips:
    """When and in what orders each item sells.

    Args:
        size: (I,) mean log order size, NaN where it never sold.
        small: (I,) share of its sales in small orders, NaN likewise.
        rows: (m,) items with times of their own, ascending.
        hours, weekdays: (m, 24) and (m, 7) log of how much more than usual it sells then.
    """

    size: F32
    small: F32
    rows: Rows
    hours: F32
    weekdays: F32

    @classmethod
    def fit(cls, shop: ShopArrays) -> Self:
        """As of ``shop.end``, from purchases of known customers."""
        kept = shop.lines.purchase & (shop.lines.customer >= 0)
        lines, count = shop.lines.take(kept), len(shop.items)
        orders = OrdersInTime.of(lines, lines.customer.astype(np.int64), shop.timezone)
        sold = np.bincount(lines.item, minlength=count)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.bincount(lines.item, orders.size[orders.of_line], minlength=count) / sold
            small = np.bincount(lines.item, orders.lines[orders.of_line] <= SMALL, minlength=count) / sold
        rows = np.flatnonzero(sold >= LEAST_SALES)
        hour, weekday = local_clock(lines.time, shop.timezone)
        place = find(rows, lines.item)
        timed = place >= 0
        hours = _counts(place[timed], hour[timed].astype(np.int64), len(rows), 24)
        hours = np.sum([weight * np.roll(hours, step, axis=1) for step, weight in NEARBY_HOURS.items()], axis=0)
        weekdays = _counts(place[timed], weekday[timed], len(rows), 7)
        return cls(size.astype(np.float32), small.astype(np.float32), rows, _lift(hours), _lift(weekdays))

    def at(self, item: NDArray[np.integer], hour: F64, weekday: Rows) -> F32:
        """(n, ITEM_FEATURES) of items at the hour and weekday of their visits; NaN for items that came later."""
        found = np.full((len(item), len(ITEM_FEATURES)), np.nan, dtype=np.float32)
        inside = item < len(self.size)
        found[inside, 0], found[inside, 1] = self.size[item[inside]], self.small[item[inside]]
        found[:, 2:] = 0.0
        place = find(self.rows, item)
        timed = np.flatnonzero(place >= 0)
        found[timed, 2] = self.hours[place[timed], hour[timed].astype(np.int64)]
        found[timed, 3] = self.weekdays[place[timed], weekday[timed]]
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For storage."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, saved: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of ``arrays``."""
        return cls(**{one.name: saved[one.name] for one in fields(cls)})


@dataclass(frozen=True)
class Trips:
    """The visits of a batch beside the earlier orders of the same customers.

    Args:
        hour, weekday: (B,) of each visit on the shop's clock; Monday is 0.
        visits: (B, VISIT_FEATURES), NaN without an earlier order. Sizes are logs of 1 + lines; ``size_at_hour`` is
            that of orders at a like hour, ``since_large`` the days since an order above the customer's mean.
        own: (P, OWN_FEATURES) of each pair: the orders that held the item, and how much of its count, halved every
            ``HALF_LIFE_DAYS``, falls on a like hour and on the weekday.
    """

    hour: F64
    weekday: Rows
    visits: F32
    own: F32

    @classmethod
    def of(
        cls,
        histories: Histories,
        keys: Rows,
        when: F64,
        *,
        num_items: int,
        timezone: str,
        kept: Flags | None = None,
    ) -> Self:
        """Compare visits with what came before.

        Args:
            histories: Of B customers; everything in them must be earlier than ``when``.
            keys: (P,) ascending ``row * num_items + item`` of the pairs that are wanted.
            when: (B,) moments of the visits.
            num_items: Number of items.
            timezone: Of the shop.
            kept: (L,) Which lines count; None means purchases.
        """
        mask = histories.lines.purchase if kept is None else kept
        lines, row = histories.lines.take(mask), histories.rows[mask]
        orders = OrdersInTime.of(lines, row, timezone)
        hour, weekday = local_clock(when, timezone)
        then, day = local_clock(orders.time, timezone)
        apart = np.abs(then - hour[orders.row])
        alike = np.exp(-0.5 * (np.minimum(apart, 24.0 - apart) / HOURS) ** 2)
        fresh = np.exp2((orders.time - when[orders.row]) / HALF_LIFE_DAYS)
        visits = _visits(orders, hour, when, fresh, alike)
        place = find(keys, row * num_items + lines.item)
        known = place >= 0
        same_day = fresh * (day == weekday[orders.row])
        own = _own(place[known], orders.of_line[known], orders.size, (fresh, fresh * alike, same_day), len(keys))
        return cls(hour, weekday, visits, own)


def dense(trips: Trips, items: ItemTrips, row: Rows, item: Rows, place: Rows) -> F32:
    """(n, NUM_DENSE) what a network reads of candidates: bounded, relative to the visit, 0 where nothing is known.

    Args:
        trips: Of the batch.
        items: Of the moment.
        row: (n,) each candidate's visit.
        item: (n,) its item.
        place: (n,) its pair in ``trips.own``, -1 for none.
    """
    visit = trips.visits[row]
    about = items.at(item, trips.hour[row], trips.weekday[row])
    own = np.full((len(row), len(OWN_FEATURES)), np.nan, dtype=np.float32)
    known = place >= 0
    own[known] = trips.own[place[known]]
    expected = visit[:, VISIT_FEATURES.index("size_at_hour")]
    angle = 2 * np.pi / 24 * visit[:, 0]
    columns = [np.sin(angle), np.cos(angle), expected, visit[:, 3] - expected, np.log1p(visit[:, 4]), visit[:, 5]]
    columns += [*(own[:, :3] - expected[:, None]).T, np.log1p(own[:, 3]), own[:, 4], own[:, 5]]
    columns += [about[:, 0] - expected, about[:, 1], about[:, 2], about[:, 3]]
    return np.asarray(np.nan_to_num(np.column_stack(columns)), dtype=np.float32)


def _visits(orders: OrdersInTime, hour: F64, when: F64, fresh: F64, alike: F64) -> F32:
    count, size = len(hour), orders.size
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.bincount(orders.row, fresh, minlength=count)
        mean = np.bincount(orders.row, fresh * size, minlength=count) / weight
        near = np.bincount(orders.row, fresh * alike * size, minlength=count) + 0.5 * mean
        near /= np.bincount(orders.row, fresh * alike, minlength=count) + 0.5
        small = np.bincount(orders.row, fresh * (orders.lines <= SMALL), minlength=count) / weight
    last, since = np.full(count, np.nan), np.full(count, np.nan)
    last[orders.row] = size  # the last assignment wins: the latest order
    large = np.flatnonzero(size >= mean[orders.row] - 1e-9)
    since[orders.row[large]] = when[orders.row[large]] - orders.time[large]
    return np.column_stack([hour, mean, near, last, since, small]).astype(np.float32)


def _own(pair: Rows, order: Rows, size: F64, weights: tuple[F64, F64, F64], count: int) -> F32:
    found = np.full((count, len(OWN_FEATURES)), np.nan, dtype=np.float32)
    fresh, at_hour, on_day = (np.bincount(pair, weight[order], minlength=count) for weight in weights)
    smallest, last = np.full(count, np.inf), np.full(count, np.nan)
    np.minimum.at(smallest, pair, size[order])
    last[pair] = size[order]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(pair, weights[0][order] * size[order], minlength=count) / fresh
        columns = [mean, smallest, last, at_hour, at_hour / fresh, on_day / fresh]
    some = fresh > 0
    found[some] = np.column_stack(columns)[some]
    return found


def _counts(place: Rows, column: Rows, rows: int, width: int) -> F64:
    return np.bincount(place * width + column, minlength=rows * width).reshape(rows, width).astype(np.float64)


def _lift(counts: F64) -> F32:
    """Log of each row's shares over the shares of all rows together, drawn towards 0 by ``PRIOR``."""
    usual = (counts.sum(axis=0) + 1e-9) / (counts.sum() + 1e-9 * counts.shape[1])
    share = (counts + PRIOR * usual) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    return np.asarray(np.log(share / usual), dtype=np.float32)
