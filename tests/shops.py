"""A small synthetic shop with a known structure, the same in every run: what tests of models are fitted on.

Customers belong to one of four tastes, and each taste prefers one category; everybody has three favourites that come
back often; a promoted product sells more; some customers leave for good; the attribute ``segment`` follows the taste;
every tenth product comes out three weeks before the end.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from shoploom.config import CleaningConfig, ClockConfig
from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.tables import GOODS_FLAG, PRICED_FLAG, PURCHASE_FLAG, SHELF, ShopTables

END = datetime(2024, 7, 1)
CLOCK = ClockConfig(horizon_days=28, block_days=7, active_days=60, demand_products=20, demand_days=91)
CATEGORIES = ("Bakery", "Dairy", "Garden", "Toys")
NEW, NEW_DAY = 9, -21.0
COLOURS = ("red", "green", "blue", "white", "black")


def make_shop(**options: Any) -> ShopArrays:
    """``make_tables`` as arrays."""
    return ShopArrays.build(make_tables(**options))


def make_tables(
    *,
    customers: int = 80,
    products: int = 40,
    days: int = 200,
    seed: int = 0,
    clock: ClockConfig = CLOCK,
    promotions: bool = True,
    categories: bool = True,
    attributes: bool = True,
    orders: bool = True,
    anonymous: bool = True,
) -> ShopTables:
    """Cleaned and flagged tables of a shop that ends on 2024-07-01.

    Args:
        customers: Number of customers.
        products: Number of products; product ``p003`` is of category 3 % 4.
        days: Length of the history.
        seed: Of everything random.
        clock: Horizon of the tasks.
        promotions: Whether there is a plan, to four weeks after the end.
        categories: Whether products have a category and a brand.
        attributes: Whether three in four customers have attributes.
        orders: Whether lines carry an order id.
        anonymous: Whether one order in ten names no customer.
    """
    draws = np.random.default_rng(seed)
    plan = _plan(draws, products, days)
    events = _events(draws, customers, products, days, plan if promotions else {})
    if not orders:
        events = events.with_columns(pl.lit(None, dtype=pl.Utf8).alias(schema.ORDER))
    if not anonymous:
        events = events.filter(pl.col(schema.CUSTOMER).is_not_null())
    return ShopTables(
        events=events,
        products=_products(products, categories),
        customers=_customers(draws, customers) if attributes else schema.empty("customers"),
        promotions=_promotions(plan) if promotions else schema.empty("promotions"),
        cleaning=CleaningConfig(goods_quantity=(1.0, 100.0), price_range=(0.05, 1000.0)),
        clock=clock,
        currency="EUR",
        timezone="Europe/London",
        end=END,
    )


def product_price(row: int) -> float:
    """The shelf price of product ``row``: dear categories come last."""
    return round(1.0 + 2.0 * (row % 4) + 0.25 * (row % 7), 2)


def _products(count: int, categories: bool) -> pl.DataFrame:
    rows = range(count)
    frame = pl.DataFrame(
        {
            schema.PRODUCT: [f"p{row:03d}" for row in rows],
            schema.TITLE: [f"{COLOURS[row % 5]} {CATEGORIES[row % 4].lower()} item {row}" for row in rows],
            schema.CATEGORY: [["Goods", CATEGORIES[row % 4]] for row in rows],
            schema.BRAND: [f"brand {row % 3}" for row in rows],
            schema.ATTRIBUTES: [json.dumps({"colour": COLOURS[row % 5]}) for row in rows],
        }
    )
    if not categories:
        frame = frame.drop(schema.CATEGORY, schema.BRAND)
    return schema.conform("products", frame)


def _customers(draws: np.random.Generator, count: int) -> pl.DataFrame:
    labelled = np.flatnonzero(draws.random(count) < 0.75)
    texts = []
    for row in labelled:
        taste = row % 4 if draws.random() < 0.9 else draws.integers(4)
        texts.append(json.dumps({"segment": f"taste {taste}", "pet": "yes" if draws.random() < 0.4 else "no"}))
    frame = pl.DataFrame({schema.CUSTOMER: [f"c{row:03d}" for row in labelled], schema.ATTRIBUTES: texts})
    return schema.conform("customers", frame)


def _plan(draws: np.random.Generator, products: int, days: int) -> dict[int, list[int]]:
    """Promoted products by week before (negative) and after the end."""
    number = min(2, products)
    return {week: draws.choice(products, number, replace=False).tolist() for week in range(-(days // 7) - 1, 4)}


def _promotions(plan: dict[int, list[int]]) -> pl.DataFrame:
    rows = [
        (f"p{row:03d}", END + timedelta(days=7 * week), END + timedelta(days=7 * week + 7))
        for week, promoted in plan.items()
        for row in promoted
    ]
    frame = pl.DataFrame(rows, schema=[schema.PRODUCT, schema.START, schema.END], orient="row")
    return schema.conform("promotions", frame.with_columns(pl.lit("mailer").alias(schema.KIND), share=pl.lit(0.5)))


def _events(
    draws: np.random.Generator, customers: int, products: int, days: int, plan: dict[int, list[int]]
) -> pl.DataFrame:
    rows = []
    for customer in range(customers):
        taste = np.flatnonzero(np.arange(products) % 4 == customer % 4)
        favourites = draws.choice(products, min(3, products), replace=False)
        gap = 4.0 + 3.0 * (customer % 6)
        last = days if draws.random() < 0.75 else draws.uniform(days / 3, days)
        day = draws.exponential(gap)
        while day < last:
            rows += _order(draws, customer, day - days, taste, favourites, products, plan)
            day += draws.exponential(gap)
    names = [schema.TIME, schema.CUSTOMER, schema.ORDER, schema.PRODUCT, schema.QUANTITY, SHELF]
    kinds = [schema.STAMP, pl.Utf8, pl.Utf8, pl.Utf8, pl.Float64, pl.Float64]
    frame = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row").with_columns(
        pl.lit(schema.PURCHASE).alias(schema.TYPE),
        pl.col(SHELF).alias(schema.PRICE),
        (pl.col(SHELF) * pl.col(schema.QUANTITY)).alias(schema.AMOUNT),
    )
    flags = frame.select(
        pl.col(schema.CUSTOMER).is_not_null().alias(PURCHASE_FLAG),
        pl.lit(True).alias(GOODS_FLAG),
        pl.lit(True).alias(PRICED_FLAG),
        pl.col(SHELF),
    )
    events = schema.conform("events", frame).hstack(flags)
    events = events.with_columns(pl.format("e{}", pl.int_range(pl.len())).alias(schema.EVENT_ID))
    return events.sort(schema.TIME, maintain_order=True)


def _order(
    draws: np.random.Generator,
    customer: int,
    day: float,
    taste: np.ndarray[Any, Any],
    favourites: np.ndarray[Any, Any],
    products: int,
    plan: dict[int, list[int]],
) -> list[tuple[Any, ...]]:
    """The lines of one order: each favourite with 60 %, promoted products with 30 %, and some of the taste."""
    moment = END + timedelta(seconds=round(day * 86400))
    chosen = [int(one) for one in favourites if draws.random() < 0.6]
    chosen += [one for one in plan.get(int(np.floor(day / 7)), []) if draws.random() < 0.3]
    pool = taste if len(taste) and draws.random() < 0.8 else np.arange(products)
    chosen += draws.choice(pool, min(2, len(pool)), replace=False).tolist()
    chosen = [row for row in chosen if row % 10 != NEW or day >= NEW_DAY]
    name = None if draws.random() < 0.1 else f"c{customer:03d}"
    order = f"o{customer}-{moment:%Y%m%d%H%M%S}"
    return [
        (moment, name, order, f"p{row:03d}", float(draws.integers(1, 4)), product_price(row))
        for row in dict.fromkeys(chosen)
    ]
