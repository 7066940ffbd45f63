"""The world: a catalogue, customers, and what they want. Fitted to a real shop's purchases, or made up."""

# Shapes: C customers, I items, S shelves, D rank, n purchases

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import ShopArrays, moment_of
from shoploom.errors import DataError, UsageError
from shoploom.simulation.preferences import F32, F64, Needs, Rows, fit_affinity
from shoploom.simulation.shelves import Path, Shelves, make_shelves

LEAST_PRICE = 0.05
SAMPLE = 20_000
BEGINNING = datetime(2024, 1, 1)
"""Where a made-up shop's data end."""


@dataclass(frozen=True)
class World:
    """What is true about a shop's customers and products; how they visit is said by ``Settings``.

    Make one with ``of_shop`` or ``synthetic``. A preference is affinity x customer, appeal x product, or quality:

    Args:
        customers: (C,) ids.
        items: (I,) ids.
        products: The catalogue in canonical columns, row i for item i.
        price: (I,) regular prices.
        shelves: What is shown together.
        needs: Which shelf a customer looks at.
        activity: (C,) share of visits, with the sum 1.
        customer_factors: (C, D); its inner product with ``item_factors`` is the affinity, with standard deviation 1
            over what customers look at and mean 0 over a shelf.
        item_factors: (I, D).
        appeal: (I,) log popularity within the shelf, standard deviation 1: moves clicks.
        cart_quality: (I,) standard normal: moves carts after a click.
        purchase_quality: (I,) standard normal: moves purchases after a cart, and refunds the other way.
        resolve: (C,) standard normal: moves a customer's carts and purchases.
        elasticity: (S,) standard normal within 2: how far a shelf's elasticity is from the mean.
        end: UTC, where the data that it was fitted to end.
        timezone: IANA name of the shop's clock.
        seed: Of what is drawn: qualities, resolve and elasticity.
    """

    customers: pl.Series
    items: pl.Series
    products: pl.DataFrame
    price: F64
    shelves: Shelves
    needs: Needs
    activity: F64
    customer_factors: F32
    item_factors: F32
    appeal: F32
    cart_quality: F32
    purchase_quality: F32
    resolve: F32
    elasticity: F64
    end: datetime
    timezone: str
    seed: int

    @classmethod
    def of_shop(cls, shop: ShopArrays, *, products: int | None = None, rank: int = 16, seed: int = 0) -> World:
        """Fitted to a shop's purchases of goods by known customers.

        Args:
            shop: Real or not.
            products: Only so many best sellers; all goods where None.
            rank: Of the affinity.
            seed: Of what data cannot say: qualities, resolve and elasticity.

        Raises:
            DataError: If there are no such purchases.
            UsageError: If ``products`` or ``rank`` is below 1.
        """
        _at_least_one(products=products, rank=rank)
        kept = shop.lines.goods & (shop.lines.customer >= 0)
        customer, item = shop.lines.customer[kept], shop.lines.item[kept]
        if not len(item):
            raise DataError(
                "the shop has no purchases by known customers to fit preferences to; import some, or simulate a "
                "made-up shop with --synthetic"
            )
        sold = np.bincount(item, minlength=len(shop.items))
        rows = np.flatnonzero(sold)
        if products is not None and products < len(rows):
            rows = np.sort(rows[np.argsort(-sold[rows], kind="stable")[:products]])
        place = np.full(len(shop.items), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        known = place[item] >= 0
        visits = np.unique(np.stack([customer, np.floor(shop.lines.time[kept]).astype(np.int64)]), axis=1)
        buyers = np.unique(customer[known])
        number = np.full(len(shop.customers), -1, dtype=np.int64)
        number[buyers] = np.arange(len(buyers))
        return cls.of_purchases(
            number[customer[known]],
            place[item[known]],
            customers=pl.Series(schema.CUSTOMER, [shop.customers.ids[row] for row in buyers]),
            products=shop.catalogue[rows],
            price=_prices(shop)[rows],
            visits=np.bincount(visits[0], minlength=len(shop.customers))[buyers],
            end=moment_of(shop.end),
            timezone=shop.timezone,
            rank=rank,
            seed=seed,
        )

    @classmethod
    def synthetic(
        cls, *, customers: int = 300, products: int = 400, categories: int = 12, rank: int = 8, seed: int = 0
    ) -> World:
        """A made-up shop: customers need few categories each, brands divide them, popularity is skewed.

        Args:
            customers: Number of customers.
            products: Number of products, dealt to the categories.
            categories: Number of categories.
            rank: Of the affinity.
            seed: Of everything random.

        Raises:
            UsageError: If a number is below 1.
        """
        _at_least_one(customers=customers, products=products, categories=categories, rank=rank)
        draws = np.random.default_rng([seed, 1])
        category, brand = np.arange(products) % categories, draws.integers(5, size=products)
        needs_CG = draws.dirichlet(np.full(categories, 0.3), size=customers)
        taste_CB = draws.dirichlet(np.full(5, 0.5), size=customers)
        skew_I = (np.arange(products) // categories + 2.0) ** -0.8
        purchases = 60
        weight_CI = np.cumsum(needs_CG[:, category] * taste_CB[:, brand] * skew_I + 1e-9, axis=1)
        chance = draws.random((customers, purchases)) * weight_CI[:, -1:]
        rows = [np.searchsorted(*one, side="right") for one in zip(weight_CI, chance, strict=True)]
        ids = [f"p{row:05d}" for row in range(products)]
        frame = pl.DataFrame(
            {
                schema.PRODUCT: ids,
                schema.TITLE: [f"item {row} of brand {b}" for row, b in enumerate(brand)],
                schema.CATEGORY: [["goods", f"category {one}"] for one in category],
                schema.BRAND: [f"brand {one}" for one in brand],
            }
        )
        price = np.round(np.exp(draws.normal(1.5, 0.6, size=products)), 2).clip(min=0.5)
        return cls.of_purchases(
            np.repeat(np.arange(customers), purchases),
            np.concatenate(rows).clip(max=products - 1),
            customers=pl.Series(schema.CUSTOMER, [f"c{row:05d}" for row in range(customers)]),
            products=schema.conform("products", frame.with_columns(pl.Series(schema.PRICE, price))),
            price=price,
            visits=1 + draws.poisson(10, size=customers),
            end=BEGINNING,
            timezone="UTC",
            rank=rank,
            seed=seed,
        )

    @classmethod
    def of_purchases(
        cls,
        customer: Rows,
        item: Rows,
        *,
        customers: pl.Series,
        products: pl.DataFrame,
        price: F64,
        visits: Rows,
        end: datetime,
        timezone: str,
        rank: int,
        seed: int,
    ) -> World:
        """Fitted to purchases, one (customer, item) per row; all other arguments as for the class."""
        draws = np.random.default_rng([seed, 2])
        num_customers, num_items = len(customers), len(products)
        popularity = np.bincount(item, minlength=num_items)
        titles = products[schema.TITLE].fill_null("").to_list()
        shelves = make_shelves(_paths(products), popularity, titles)
        shelf_of = shelves.of_item
        needs = Needs.fit(customer, shelf_of[item], num_customers, shelves.sizes)
        activity = np.maximum(visits, 1) / np.maximum(visits, 1).sum()
        factors, item_factors = fit_affinity(customer, item, num_customers, shelf_of, rank=rank, seed=seed)
        item_factors /= _spread(factors, item_factors, needs, activity, shelves, seed)
        appeal = np.log1p(popularity)
        appeal -= (np.bincount(shelf_of, appeal, minlength=len(shelves)) / shelves.sizes)[shelf_of]
        spread = float(appeal.std())
        return cls(
            customers=customers,
            items=products[schema.PRODUCT],
            products=products,
            price=np.maximum(price, LEAST_PRICE),
            shelves=shelves,
            needs=needs,
            activity=activity,
            customer_factors=factors,
            item_factors=item_factors,
            appeal=(appeal / (spread if spread > 1e-9 else 1.0)).astype(np.float32),
            cart_quality=draws.standard_normal(num_items).astype(np.float32),
            purchase_quality=draws.standard_normal(num_items).astype(np.float32),
            resolve=draws.standard_normal(num_customers).astype(np.float32),
            elasticity=draws.standard_normal(len(shelves)).clip(-2, 2),
            end=end,
            timezone=timezone,
            seed=seed,
        )

    def offset_hours(self, moment: datetime) -> float:
        """Of the shop's clock from UTC at a moment; a simulation keeps to it, whatever summer time does."""
        offset = moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(self.timezone)).utcoffset()
        return 0.0 if offset is None else offset.total_seconds() / 3600

    def affinity(self, customer: Rows, item: Rows) -> F32:
        """Of pairs: inner products of the factors."""
        return np.asarray(np.einsum("nd,nd->n", self.customer_factors[customer], self.item_factors[item]))


def _at_least_one(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}; wanted 1 or more")


def _paths(products: pl.DataFrame) -> Sequence[Path]:
    return [tuple(one or ()) for one in products[schema.CATEGORY].to_list()]


def _prices(shop: ShopArrays) -> F64:
    """(I,) the median shelf price of each item, else the catalogue's, else the median of all."""
    price = shop.catalogue[schema.PRICE].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    rows, found, _ = shop.shelf_prices()
    price[rows] = found
    wrong = ~np.isfinite(price) | (price <= 0)
    price[wrong] = float(np.median(price[~wrong])) if (~wrong).any() else 1.0
    return price


def _spread(factors: F32, item_factors: F32, needs: Needs, activity: F64, shelves: Shelves, seed: int) -> np.float32:
    """Standard deviation of the affinity over a sample of what customers look at; 1 where there is none."""
    draws = np.random.default_rng([seed, 3])
    customer = np.searchsorted(np.cumsum(activity), draws.random(SAMPLE)).clip(max=len(activity) - 1)
    shelf = needs.draw(customer, draws)
    item = shelves.members[shelf, (draws.random(SAMPLE) * shelves.sizes[shelf]).astype(np.int64)]
    found = float(np.einsum("nd,nd->n", factors[customer], item_factors[item]).std())
    return np.float32(found if found > 1e-6 else 1.0)


def draw_rows(cumulative: F64, chance: F64) -> NDArray[np.int64]:
    """Rows of a cumulative distribution."""
    return np.searchsorted(cumulative, chance, side="right").clip(max=len(cumulative) - 1)
