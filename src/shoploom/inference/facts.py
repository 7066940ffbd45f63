"""Plain facts about a shop's items and customers, counted once from its lines: popularity, prices, who bought what.

No model is asked here. Everything refers to the bulk data; live events are added by the engine.
"""

# Shapes: L event lines, C customers, I items, n list length

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F64, I32, Flags, ShopArrays
from shoploom.data.keys import distinct

RECENT_DAYS = 28.0


class Facts:
    """Counts over one shop as of its ``end``; each is made when first asked for.

    Args:
        shop: Its lines are never changed; items and customers that come later have no facts.
    """

    def __init__(self, shop: ShopArrays) -> None:
        self.lines = shop.lines
        self.offsets = shop.offsets
        self._end = shop.end
        self._shop = shop
        self.num_items = len(shop.items)
        self.num_customers = len(shop.offsets) - 1

    @cached_property
    def merchandise(self) -> Flags:
        """(I,) False for items that are only ever sold as something else than goods: fuel, fees, vouchers."""
        sold, goods = np.zeros(self.num_items, dtype=bool), np.zeros(self.num_items, dtype=bool)
        bought = self.lines.kind == schema.EVENT_TYPES.index(schema.PURCHASE)
        sold[self.lines.item[bought]] = True
        goods[self.lines.item[self.lines.goods]] = True
        return goods | ~sold

    def buyers(self, days: float = RECENT_DAYS) -> F64:
        """(I,) number of orders (or lines, without order numbers) with the item in the last days."""
        key = round(days, 3)
        if key not in self._buyers:
            recent = self.lines.goods & (self.lines.time >= self._end - days)
            order = np.where(self.lines.order[recent] >= 0, self.lines.order[recent], -1 - np.flatnonzero(recent))
            span = int(self.lines.order.max(initial=0)) + len(self.lines) + 2
            pairs = distinct(self.lines.item[recent].astype(np.int64) * span + order + len(self.lines) + 1)
            self._buyers[key] = np.bincount(pairs // span, minlength=self.num_items).astype(np.float64)
        return self._buyers[key]

    @cached_property
    def _buyers(self) -> dict[float, F64]:
        return {}

    @cached_property
    def first_sold(self) -> F64:
        """(I,) day of the first sale, NaN without one."""
        first = np.full(self.num_items, np.inf)
        np.minimum.at(first, self.lines.item[self.lines.goods], self.lines.time[self.lines.goods])
        return np.where(np.isinf(first), np.nan, first)

    @cached_property
    def created(self) -> F64:
        """(I,) day on which the catalogue says the item came, else of its first sale; NaN if neither is known."""
        times = self._shop.catalogue[schema.CREATED][: self.num_items]
        given = (times.dt.epoch("us").cast(pl.Float64) / 86_400e6).fill_null(float("nan")).to_numpy()
        return np.where(np.isnan(given), self.first_sold, given)

    @cached_property
    def shelf_price(self) -> F64:
        """(I,) median shelf price over the priced sales, NaN without one."""
        rows, prices, _ = self._shop.shelf_prices()
        result = np.full(self.num_items, np.nan)
        result[rows] = prices
        return result

    @cached_property
    def by_item(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Line positions grouped by item: positions and (I + 1,) offsets."""
        place = np.argsort(self.lines.item, kind="stable")
        sizes = np.bincount(self.lines.item, minlength=self.num_items)
        return place, np.concatenate([[0], np.cumsum(sizes)])

    def lines_of_item(self, item: int) -> NDArray[np.int64]:
        """Positions of an item's lines."""
        place, offsets = self.by_item
        return place[offsets[item] : offsets[item + 1]] if item < self.num_items else place[:0]

    @cached_property
    def num_customers_of(self) -> F64:
        """(I,) number of known customers who bought each item."""
        bought = self.lines.purchase & (self.lines.customer >= 0)
        pairs = distinct(self.lines.item[bought].astype(np.int64) * self.num_customers + self.lines.customer[bought])
        return np.bincount(pairs // max(1, self.num_customers), minlength=self.num_items).astype(np.float64)

    @cached_property
    def recent_orders(self) -> float:
        """Number of orders in the last ``RECENT_DAYS``."""
        recent = self.lines.goods & (self.lines.time >= self._end - RECENT_DAYS)
        return float(len(distinct(self.lines.order[recent])))

    def customers_of(self, item: int) -> I32:
        """Known customers who bought an item."""
        rows = self.lines_of_item(item)
        found = distinct(self.lines.customer[rows[self.lines.purchase[rows]]])
        return found[found >= 0].astype(np.int32)

    @cached_property
    def customer_table(self) -> dict[str, F64]:
        """Per known customer (C,): ``orders``, ``spend``, ``first`` and ``last`` purchase day (NaN without)."""
        bought = self.lines.purchase & (self.lines.customer >= 0)
        customer, time = self.lines.customer[bought], self.lines.time[bought]
        order = np.where(self.lines.order[bought] >= 0, self.lines.order[bought].astype(np.int64), -1)
        count, span = self.num_customers, int(order.max(initial=0)) + 2
        visits = distinct(customer.astype(np.int64) * span + order + 1) // span
        first, last = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(first, customer, time)
        np.maximum.at(last, customer, time)
        return {
            "orders": np.bincount(visits, minlength=count).astype(np.float64),
            "spend": np.bincount(customer, self.lines.amount[bought], minlength=count),
            "first": np.where(np.isinf(first), np.nan, first),
            "last": np.where(np.isinf(last), np.nan, last),
        }

    def warm(self) -> None:
        """Count everything now, so that no visitor waits for it."""
        for name in ("merchandise", "created", "shelf_price", "by_item", "num_customers_of", "recent_orders"):
            getattr(self, name)
        _ = self.customer_table, self.sold_in_year, self.buyers()

    @cached_property
    def sold_in_year(self) -> Flags:
        """(I,) whether the item was sold as goods in the year before ``end``."""
        return self.buyers(365.0) > 0
