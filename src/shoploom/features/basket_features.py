"""Features of (customer, candidate product) pairs for a ranker: habits, recency, groups, neighbours, promotions.

``ShelfState`` is what is known of all products at a moment, learned once; ``candidates`` and ``matrix`` then work on
the histories of any batch, thousands in training and one in serving, with the same code.
"""

# Shapes: B cases, I items, n candidates of all cases, F features

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F32, F64, I32, ShopArrays
from shoploom.data.keys import MOST_CODES, Rows, distinct, find, group_starts, rank_in_group
from shoploom.features.neighbours import Block, Neighbours
from shoploom.features.pairs import HALF_LIVES, Pairs, pairs_of
from shoploom.features.popularity import PlanGrid
from shoploom.features.shortlist import Rules, popular_rows
from shoploom.features.trips import OWN_FEATURES as OWN_TRIP_FEATURES
from shoploom.features.trips import ItemTrips, Trips

ITEM_FEATURES = ("sold", "sold_90", "sold_30", "sold_7", "buyers", "repeat", "item_gap", "trend", "price", "age")
OWN_FEATURES = ("times", "last", "first", "orders_since", *(f"decay_{days:g}" for days in HALF_LIVES), "order_decay")
OWN_FEATURES += ("gap", "due", "item_due", "rate", "rate_90", "rate_orders")
HOME_FEATURES = ("orders", "order_size", "since", "orders_30", "wait")
GROUP_FEATURES = ("times", "last", "decay_90", "share")
NEAR_POOL = 4000
"""Neighbours propose only products that sell: a dense block of all products would cost seconds."""


@dataclass(frozen=True)
class Candidates:
    """Distinct pairs (case, item), sorted by case: ``near`` is what the neighbours say, 0 where nothing."""

    row: Rows
    item: Rows
    near: F32


@dataclass(frozen=True)
class ShelfState:
    """What is known of all products at a moment.

    Args:
        stats: (I, ITEM_FEATURES) numbers per product, NaN unknown.
        groups: (I, levels) code of the product's category, fine to coarse, 0 unknown.
        popular: Items by sales in 30 days, then in all.
        near: Reference customers.
        trips: When and in what orders products sell; None where the moment of a visit says nothing.
    """

    stats: F32
    groups: I32
    popular: I32
    near: Neighbours
    trips: ItemTrips | None = None

    @classmethod
    def fit(cls, shop: ShopArrays, *, goods_only: bool, timed: bool = False, seed: int = 0) -> ShelfState:
        """As of ``shop.end``, from purchases of known customers."""
        customers = np.arange(len(shop.customers))
        histories = shop.histories(customers)
        lines = histories.lines
        kept = lines.purchase & lines.goods if goods_only else lines.purchase
        moment = np.full(len(customers), shop.end)
        pairs = pairs_of(histories, moment, num_items=len(shop.items), timezone=shop.timezone, kept=kept)
        stats = _item_stats(shop, pairs)
        sold, month = np.nan_to_num(stats[:, 0]), np.nan_to_num(stats[:, 2])
        ranked = np.lexsort((-sold, -month))
        popular = ranked[sold[ranked] > 0].astype(np.int32)
        trips = ItemTrips.fit(shop) if timed else None
        return cls(stats, category_codes(shop.catalogue), popular, Neighbours.fit(pairs, customers, seed=seed), trips)


@dataclass(frozen=True)
class Question:
    """A batch to be scored: histories summarised in ``pairs`` with ages counted from the visits ``when``."""

    pairs: Pairs
    customers: NDArray[np.integer[Any]]
    when: F64
    as_of: float
    rules: Rules
    trips: Trips | None = None


@dataclass(frozen=True)
class Reach:
    """How many candidates of each kind a case gets."""

    own: int
    popular: int
    near: int


def candidates(question: Question, state: ShelfState, reach: Reach) -> Candidates:
    """Own, popular and neighbours' products of each case, without repeats, as far as the rules permit."""
    pairs, cases, count = question.pairs, len(question.customers), question.pairs.num_items
    own = pairs.tops(reach.own, pairs.decays[:, 2]) if reach.own else np.zeros(0, dtype=np.int64)
    fine = own[question.rules.permits(pairs.row[own], pairs.item[own])]
    row, item = popular_rows(question.rules, state.popular, cases, reach.popular)
    keys = [pairs.keys[fine], row * count + item]
    found: list[tuple[Rows, F32]] = []
    base = distinct(np.concatenate(keys))
    for block in state.near.blocks(pairs, question.customers):
        rows = len(block.scores)
        mine = base[np.searchsorted(base, block.start * count) : np.searchsorted(base, (block.start + rows) * count)]
        if reach.near:
            more = _near_keys(question.rules, block, state.popular[:NEAR_POOL], reach.near)
            mine = distinct(np.concatenate([mine, more]))
        place = mine - block.start * count
        column = place % count
        inside = column < block.scores.shape[1]
        value = block.scores[place // count, np.where(inside, column, 0)] * inside
        found.append((mine, value.astype(np.float32)))
    merged = np.concatenate([one for one, _ in found]) if found else np.zeros(0, dtype=np.int64)
    near = np.concatenate([one for _, one in found]) if found else np.zeros(0, dtype=np.float32)
    return Candidates(merged // max(count, 1), merged % max(count, 1), near)


def matrix(question: Question, state: ShelfState, chosen: Candidates, plan: PlanGrid, *, weeks: int) -> F32:
    """(n, F) features; NaN where a customer has nothing to say.

    Args:
        question: The batch.
        state: Products.
        chosen: Candidates of the batch.
        plan: Promotions; the shares of the visit's block are features.
        weeks: Number of blocks from ``as_of`` on whose mean and largest shares are features, too.
    """
    pairs, row, item = question.pairs, chosen.row, chosen.item
    inside = item < len(state.stats)
    about = state.stats[np.where(inside, item, 0)].copy()
    about[~inside] = np.nan
    place = pairs.find(row, item)
    columns = [about, _own(pairs, row, place, about[:, ITEM_FEATURES.index("item_gap")])]
    columns += [_homes(question, row), chosen.near[:, None]]
    decay = np.where(place >= 0, pairs.decays[place, 2], 0.0) if len(pairs.row) else np.zeros(len(row))
    for codes in state.groups.T:
        columns.append(_group(pairs, codes, row, item, decay))
    if plan.kinds:
        columns.append(plan.at(item, question.when[row]))
        middles = question.as_of + plan.length * (np.arange(weeks) + 0.5)
        later = [plan.at(item, np.full(len(item), day)) for day in middles]
        columns += [np.mean(later, axis=0), np.max(later, axis=0)] if later else []
    if state.trips is not None and question.trips is not None:
        columns.append(_trips(question.trips, state.trips, row, item, place))
    return np.concatenate([np.asarray(one, dtype=np.float32) for one in columns], axis=1)


def category_codes(catalogue: pl.DataFrame, *, levels: int = 2) -> I32:
    """(I, levels) code of the whole category path, then of the path without its last step; 0 unknown."""
    path = catalogue[schema.CATEGORY]
    columns = []
    for cut in range(levels):
        frame = pl.DataFrame({"path": path})
        length = pl.col("path").list.len()
        text = pl.when(length > cut).then(pl.col("path").list.head((length - cut).clip(0)).list.join("\x1f"))
        columns.append(frame.select(text.rank("dense").fill_null(0).cast(pl.Int32)).to_series().to_numpy())
    return np.column_stack(columns).astype(np.int32)


def _item_stats(shop: ShopArrays, pairs: Pairs) -> F32:
    """(I, ITEM_FEATURES) from the customers' pairs and the recent lines."""
    count = len(shop.items)
    sold = np.bincount(pairs.item, pairs.times, count)
    buyers = np.bincount(pairs.item, minlength=count)
    again = pairs.times > 1
    spans = np.bincount(pairs.item[again], pairs.first[again] - pairs.last[again], count)
    steps = np.bincount(pairs.item[again], pairs.times[again] - 1, count)
    lines = shop.lines
    kept = lines.purchase & (lines.customer >= 0)
    age, item = shop.end - lines.time[kept], lines.item[kept]
    recent = [np.bincount(item[age < days], minlength=count).astype(float) for days in (90.0, 30.0, 7.0)]
    first = np.full(count, np.nan)
    np.fmax.at(first, item, age)
    price = np.full(count, np.nan)
    rows, median, _ = shop.shelf_prices()
    price[rows] = np.log(median)
    with np.errstate(divide="ignore", invalid="ignore"):
        repeat, gap = sold / buyers, spans / steps
        trend = (recent[2] / 7.0) / (recent[0] / 90.0)
    return np.column_stack([sold, *recent, buyers, repeat, gap, trend, price, first]).astype(np.float32)


def _own(pairs: Pairs, row: Rows, place: Rows, item_gap: F32) -> F32:
    """(n, OWN_FEATURES) of each candidate that the customer has bought, NaN elsewhere."""
    found = np.full((len(row), len(OWN_FEATURES)), np.nan, dtype=np.float32)
    known = np.flatnonzero(place >= 0)
    if not len(known):
        return found
    at = place[known]
    times, last, first = pairs.times[at], pairs.last[at], pairs.first[at]
    orders = np.maximum(pairs.orders.count[row[known]], 1)
    gap = (first - last) / np.maximum(times - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        due = np.where(times > 1, last / np.maximum(gap, 1), np.nan)
        item_due = last / np.maximum(item_gap[known], 1)
    columns = [times, last, first, pairs.orders_since[at], *pairs.decays[at].T, pairs.order_decay[at]]
    columns += [np.where(times > 1, gap, np.nan), due, item_due, times / orders, pairs.decays[at, 2] / orders]
    # of the orders since the first one with the product, how many held it
    columns.append(times / np.maximum(pairs.orders_since[at] + times, 1))
    found[known] = np.column_stack(columns)
    return found


def _homes(question: Question, row: Rows) -> F32:
    orders = question.pairs.orders
    wait = question.when - question.as_of
    table = np.column_stack([orders.count, orders.size, orders.since, orders.recent, wait]).astype(np.float32)
    return np.asarray(table[row])


def _trips(trips: Trips, about: ItemTrips, row: Rows, item: Rows, place: Rows) -> F32:
    """(n, F) the visit, the candidate's own orders, NaN where there are none, and when and how the product sells."""
    own = np.full((len(row), len(OWN_TRIP_FEATURES)), np.nan, dtype=np.float32)
    known = place >= 0
    own[known] = trips.own[place[known]]
    return np.concatenate([trips.visits[row], own, about.at(item, trips.hour[row], trips.weekday[row])], axis=1)


def _group(pairs: Pairs, codes: I32, row: Rows, item: Rows, own_decay: F64) -> F32:
    """(n, GROUP_FEATURES) of the candidate's category in the customer's history."""
    found = np.full((len(row), len(GROUP_FEATURES)), np.nan, dtype=np.float32)
    if not len(pairs.row) or not len(codes):
        return found
    code = codes[np.minimum(pairs.item, len(codes) - 1)] * (pairs.item < len(codes))
    key = pairs.row * MOST_CODES + code
    order = np.argsort(key, kind="stable")
    starts = group_starts(key[order])
    table = np.column_stack(
        [
            np.add.reduceat(pairs.times[order], starts),
            np.minimum.reduceat(pairs.last[order], starts),
            np.add.reduceat(pairs.decays[order, 2], starts),
        ]
    )
    wanted = codes[np.minimum(item, len(codes) - 1)] * (item < len(codes))
    place = find(key[order][starts], row * MOST_CODES + wanted)
    known = np.flatnonzero((place >= 0) & (wanted > 0))
    found[known, :3] = table[place[known]]
    found[known, 3] = own_decay[known] / np.maximum(table[place[known], 2], 1e-6)
    return found


def _near_keys(rules: Rules, block: Block, pool: I32, number: int) -> Rows:
    """Keys, relative to the whole batch, of each case's best permitted products of a pool by the neighbours."""
    count = len(rules.allowed)
    items = pool[(pool < block.scores.shape[1]) & rules.allowed[pool]].astype(np.int64)
    scores = block.scores[:, items]
    kept = min(3 * number, len(items))  # some of them are the customer's own
    if not kept:
        return np.zeros(0, dtype=np.int64)
    chosen = np.argpartition(scores, len(items) - kept, axis=1)[:, len(items) - kept :]
    row, column = np.repeat(np.arange(len(scores)), kept), chosen.ravel()
    fine = rules.permits(row + block.start, items[column]) & (scores[row, column] > 0)
    row, column = row[fine], column[fine]
    order = np.lexsort((column, -scores[row, column], row))
    order = order[rank_in_group(row[order]) < number]
    return distinct((row[order] + block.start) * count + items[column[order]])
