"""The features of a shop, fitted once and saved with the weights: the same object in training and in serving."""

# Shapes: I items, B customers, T visits, Q moments, E queries, F number features

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, Flags, Histories, ShopArrays
from shoploom.features.candidates import Candidates, Moment, Past, Reach, offer
from shoploom.features.engineered import category_shares, most_spent
from shoploom.features.items import ItemArrays, ItemFeatures
from shoploom.features.popularity import PlanGrid, Popularity
from shoploom.features.spectral import Spectral
from shoploom.features.trips import ItemTrips
from shoploom.features.visits import NUM_KINDS, visits_of

NUM_VISIT_NUMBERS = NUM_KINDS + 7
MAX_VISITS = 128
MOST_TASTES = 300


@dataclass(frozen=True)
class VisitArrays:
    """Padded visits of B customers.

    Args:
        line_items, line_place: Item row of each line and its visit's place in the (B * T) grid.
        numbers: (B, T, F); log amount and log number of lines come first.
        time, amount: (B, T); padded with +inf and 0. Days are relative to the shop's end.
    """

    line_items: I32
    line_place: NDArray[np.int64]
    numbers: F32
    time: F64
    amount: F32


class FeaturePipeline:
    """Everything that the model reads, from ``ShopArrays``.

    Args:
        items: Category, brand and text features.
        rank_group: Category level whose purchases speak for a candidate; -1 for none.
        kinds: Promotion kinds, in the order that the weights know.
        tastes: Categories at ``rank_group`` with the most spend; a customer's spend shares are the model's wide input.
    """

    def __init__(
        self, items: ItemFeatures, *, rank_group: int, kinds: tuple[str, ...], tastes: tuple[int, ...] = ()
    ) -> None:
        self.items = items
        self.tastes = tastes
        self.rank_group = rank_group
        self.kinds = kinds

    @classmethod
    def fit(cls, shop: ShopArrays) -> FeaturePipeline:
        """Choose categories, brands and promotion kinds from a shop."""
        items = ItemFeatures.fit(shop)
        group = len(items.levels) - 1
        codes = items.category_codes(shop.catalogue)
        tastes = () if group < 0 else tuple(most_spent(shop, codes[:, group], MOST_TASTES).tolist())
        return cls(items, rank_group=group, kinds=shop.plan.kinds, tastes=tastes)

    @property
    def num_groupings(self) -> int:
        """Groupings of items that candidates are compared by."""
        return 2 if self.rank_group >= 0 else 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        state = {"rank_group": self.rank_group, "kinds": list(self.kinds), "tastes": list(self.tastes)}
        return {"items": self.items.to_dict(), **state}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> FeaturePipeline:
        """The inverse of ``to_dict``."""
        items = ItemFeatures.from_dict(state["items"])
        return cls(items, rank_group=state["rank_group"], kinds=tuple(state["kinds"]), tastes=tuple(state["tastes"]))

    def view(self, shop: ShopArrays) -> ShopView:
        """The shop's features as of its end, ready to be asked."""
        return ShopView(self, shop)


class ShopView:
    """Features of one shop; expensive parts are made once.

    Args:
        pipeline: The fitted features.
        shop: As known at some moment; queries may look from any earlier one.
    """

    def __init__(self, pipeline: FeaturePipeline, shop: ShopArrays) -> None:
        self.pipeline = pipeline
        self.shop = _with_kinds(shop, pipeline.kinds)
        self.item_arrays: ItemArrays = pipeline.items.transform(shop)
        self.plan = PlanGrid(self.shop)
        self._moments: dict[float, Moment] = {}

    def serves(self, shop: ShopArrays) -> bool:
        """Whether this view can answer for a shop: the same sealed lines; its end or catalogue may have moved on."""
        same = shop.lines.time is self.shop.lines.time
        return same and len(shop.items) >= self.num_items

    @property
    def num_items(self) -> int:
        """Products with features."""
        return len(self.item_arrays.brand)

    def grown(self, shop: ShopArrays) -> ShopView:
        """A view with the products that were added since; only their features are made."""
        view = copy(self)
        view.shop = _with_kinds(shop, self.pipeline.kinds)
        new = self.pipeline.items.rows(shop.catalogue[self.num_items :])
        view.item_arrays = self.item_arrays.joined(new)
        return view

    def reread(self, shop: ShopArrays, row: int, shelf_price: float) -> ShopView:
        """A view with one product read anew from a changed catalogue; its usual price counts, NaN where unknown."""
        view = copy(self)
        price = None if np.isnan(shelf_price) else np.array([shelf_price])
        one = self.pipeline.items.rows(shop.catalogue[row : row + 1], price)
        view.item_arrays = self.item_arrays.replaced(row, one)
        return view

    def forget_moments(self) -> None:
        """Give back the memory of all moments that were asked about; they are made again where needed."""
        self._moments.clear()

    def moment(self, day: float) -> Moment:
        """Popularity and factors as of a day, remembered; days after the sealed lines share what is known then."""
        day = min(day, self.shop.end)
        if day not in self._moments:
            known = self.shop if day >= self.shop.end else self.shop.before(day)
            self._moments[day] = Moment(Popularity.of(known), Spectral.of(known), ItemTrips.fit(known))
        return self._moments[day]

    def groups(self) -> tuple[I32, ...]:
        """Codes by which candidates are compared with the past: finest category and brand."""
        brand = self.item_arrays.brand
        if self.pipeline.rank_group < 0:
            return (brand,)
        return (self.item_arrays.levels[:, self.pipeline.rank_group], brand)

    def visits(
        self, customers: NDArray[np.integer], *, most: int = MAX_VISITS, shop: ShopArrays | None = None
    ) -> VisitArrays:
        """The last visits of some customers up to now; ``shop`` says what they did, if not the view's own."""
        histories = (shop or self.shop).histories(customers)
        visits = visits_of(histories)
        counts = np.diff(visits.offsets)
        length = max(1, min(most, int(counts.max(initial=0))))
        owner = np.repeat(np.arange(len(counts)), counts)
        column = (
            np.arange(len(visits))
            - np.repeat(visits.offsets[1:], counts)
            + np.repeat(np.minimum(counts, length), counts)
        )
        kept = column >= 0
        place = np.where(kept, owner * length + column, -1)
        gap = np.diff(visits.time, prepend=visits.time[:1])
        gap[visits.offsets[:-1][counts > 0]] = 0.0
        sizes = np.diff(visits.line_offsets)
        numbers = _visit_numbers(visits.time, visits.amount, sizes, visits.kinds, gap)
        grid = len(counts) * length
        out = np.zeros((grid, numbers.shape[1]), dtype=np.float32)
        time, amount = np.full(grid, np.inf), np.zeros(grid, dtype=np.float32)
        out[place[kept]], time[place[kept]] = numbers[kept], visits.time[kept] - self.shop.end
        amount[place[kept]] = visits.amount[kept]
        line_place = np.repeat(place, sizes)
        shown = line_place >= 0
        shape = (len(counts), length)
        return VisitArrays(
            histories.lines.item[shown],
            line_place[shown],
            out.reshape(*shape, numbers.shape[1]),
            time.reshape(shape),
            amount.reshape(shape),
        )

    def tastes(self, shop: ShopArrays, customers: NDArray[np.integer]) -> F64:
        """(B, len(pipeline.tastes)) square roots of the shares of each customer's spend by category, all time."""
        columns = np.array(self.pipeline.tastes, dtype=np.int64)
        if not len(columns):
            return np.zeros((len(customers), 0))
        return category_shares(shop, customers, self.item_arrays.levels[:, self.pipeline.rank_group], columns)

    def past(self, customers: NDArray[np.integer], as_of: F64, *, shop: ShopArrays | None = None) -> Past:
        """Histories of E queries, each of its customer before its own ``as_of``; ``shop`` as in ``visits``."""
        # what is popular is counted up to the end of the data: a live event may come every second
        moments, moment = np.unique(np.minimum(as_of, self.shop.end), return_inverse=True)
        histories = _until((shop or self.shop).histories(customers), as_of)
        return Past(
            histories, as_of, [self.moment(float(day)) for day in moments], moment, self.groups(), self.shop.timezone
        )

    def candidates(
        self, past: Past, when: F64, *, reach: Reach, exclude_own: bool, allowed: Flags | None = None
    ) -> Candidates:
        """Candidates of E queries for their visits."""
        when = np.maximum(when, past.as_of)
        return offer(past, when, self.plan, reach, allowed=allowed, exclude_own=exclude_own)


def _until(histories: Histories, as_of: F64) -> Histories:
    rows = histories.rows
    kept = histories.lines.time < as_of[rows]
    counts = np.bincount(rows[kept], minlength=len(as_of))
    return Histories(histories.lines.take(kept), np.concatenate([[0], np.cumsum(counts)]))


def _visit_numbers(time: F64, amount: F32, sizes: NDArray[np.int64], kinds: F32, gap: F64) -> F32:
    """(N, F) log amount, log lines, event types, log gap, and the time of day and of week as circles."""
    day, week = 2 * np.pi * (time % 1.0), 2 * np.pi * ((time % 7.0) / 7.0)
    columns = [np.log1p(np.maximum(amount, 0)) / 3, np.log1p(sizes), *np.log1p(kinds).T, np.log1p(gap)]
    return np.column_stack([*columns, np.sin(day), np.cos(day), np.sin(week), np.cos(week)]).astype(np.float32)


def _with_kinds(shop: ShopArrays, kinds: tuple[str, ...]) -> ShopArrays:
    """The plan in the order of kinds that the weights know; kinds that are new to them are left out."""
    if shop.plan.kinds == kinds:
        return shop
    place = np.array([kinds.index(name) if name in kinds else -1 for name in shop.plan.kinds], dtype=np.int32)
    kind = place[shop.plan.kind] if len(place) else shop.plan.kind
    kept = kind >= 0
    plan = shop.plan
    return replace(
        shop,
        plan=replace(
            plan,
            item=plan.item[kept],
            start=plan.start[kept],
            end=plan.end[kept],
            kind=kind[kept],
            share=plan.share[kept],
            kinds=kinds,
        ),
    )
