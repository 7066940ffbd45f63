"""Price: what will a product cost that has never been sold?"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import F64, I32, Lines, ShopArrays
from shoploom.metrics.regression import covered, pinball, r2_log, weighted_median
from shoploom.metrics.statistics import Statistic, means, ratios, together
from shoploom.tasks.base import Cases, Measured, Prediction, Shape, Space, Truth, Unit
from shoploom.tasks.churn import numbers_of, true_numbers

LEAST_PRICED = 10
"""Fewer products with a price teach nothing."""


class Price:
    """The shelf price of a product from its catalogue entry alone, before its first sale.

    The truth is the median shelf price of products whose first goods line lies within the horizon. MAPE punishes a
    guess of twice the price far more than one of half: its best guess lies below the median of what is possible.
    """

    name = "price"
    title = "What should a new product cost?"
    unit: Unit = "product"
    shape: Shape = "quantiles"
    space: Space = "product"
    metric = "mape"
    lower_is_better = True
    rivals: tuple[str, ...] = ("category_back_off", "linear_price", "nearest_titles", "lightgbm_price")
    hides: frozenset[str] = frozenset({"id", "price"})  # new products have no history behind their id

    def missing(self, shop: ShopArrays) -> str | None:
        """Some prices, and something in the catalogue to tell them from, are needed."""
        priced = len(shop.shelf_prices()[0])
        if priced < LEAST_PRICED:
            return f"only {priced} products have a known price; at least {LEAST_PRICED} are needed"
        telling = (schema.TITLE, schema.DESCRIPTION, schema.CATEGORY, schema.BRAND, schema.ATTRIBUTES)
        if all(shop.catalogue[name].null_count() == len(shop.catalogue) for name in telling):
            return "the catalogue has no title, category, brand or attributes to tell a price from"
        return None

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The future is hidden by the cut already."""
        return shop

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """Products whose first goods line lies in ``future``, with their median price there."""
        known = np.zeros(len(past.items), dtype=bool)
        known[past.goods_items()] = True
        units, price = new_prices(future.take(future.priced & ~known[future.item]), past.price_range)
        return Cases(units, truth=Truth(numbers=price))

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """Every product whose shelf price is known."""
        units, price, _ = shop.shelf_prices()
        return Cases(units.astype(np.int32), truth=Truth(numbers=price))

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Products that were never sold as goods."""
        sold = np.zeros(len(shop.items), dtype=bool)
        sold[shop.goods_items()] = True
        return Cases(np.flatnonzero(~sold).astype(np.int32))

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """MAPE, its median, R squared of logs; pinball loss and coverage of quantiles. A product is a unit."""
        truth, columns = true_numbers(cases), numbers_of(cases, prediction)
        guess = np.maximum(columns["mean"], 1e-6)
        error = np.abs(guess - truth) / truth

        def others(weights: F64) -> dict[str, float]:
            return {"mdape": weighted_median(error, weights), "r2_log": r2_log(truth, guess, weights)}

        parts: list[Statistic] = [means({"mape": error}), others]
        if "p10" in columns and "p90" in columns:
            low, high = columns["p10"], columns["p90"]
            loss = (pinball(truth, low, 0.1) + pinball(truth, high, 0.9)) / 2
            parts.append(ratios({"pinball": (loss, truth)}))
            parts.append(means({"coverage_p10_p90": covered(truth, low, high)}))
        return Measured(together(*parts), len(cases))


def new_prices(lines: Lines, price_range: tuple[float, float]) -> tuple[I32, F64]:
    """Items and the median price of their lines, where it lies within the range."""
    frame = pl.DataFrame({"item": lines.item, "price": lines.price.astype(np.float64)})
    table = frame.group_by("item").agg(pl.col("price").median()).sort("item")
    table = table.filter(pl.col("price") > price_range[0], pl.col("price") < price_range[1])
    return table["item"].to_numpy().astype(np.int32), table["price"].to_numpy()
