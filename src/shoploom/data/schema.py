"""The canonical tables: the one place where column names and types are spelled.

Times are naive ``Datetime("us")`` in UTC. Ids are strings exactly as the shop spells them. ``attributes`` and
``context`` are JSON objects as text, so that shops with different attributes share one file format.
"""

from __future__ import annotations

from typing import Final

import polars as pl

TIME: Final = "time"
EVENT_ID: Final = "event_id"
CUSTOMER: Final = "customer_id"
PRODUCT: Final = "product_id"
ORDER: Final = "order_id"
SESSION: Final = "session_id"
STORE: Final = "store_id"
TYPE: Final = "type"
QUANTITY: Final = "quantity"
PRICE: Final = "price"
AMOUNT: Final = "amount"
DISCOUNT: Final = "discount"
QUERY: Final = "query"
POSITION: Final = "position"
REQUEST: Final = "request_id"
PROPENSITY: Final = "propensity"
CONTEXT: Final = "context"
TITLE: Final = "title"
DESCRIPTION: Final = "description"
CATEGORY: Final = "category"
BRAND: Final = "brand"
IMAGE: Final = "image"
ATTRIBUTES: Final = "attributes"
CREATED: Final = "created_at"
START: Final = "start"
END: Final = "end"
KIND: Final = "kind"
SHARE: Final = "share"

PURCHASE, REFUND, IMPRESSION = "purchase", "refund", "impression"
EVENT_TYPES: Final = (
    IMPRESSION,
    "search",
    "view",
    "click",
    "add_to_cart",
    "remove_from_cart",
    PURCHASE,
    "rating",
    REFUND,
)
"""Event types, named as in GA4 and Google Retail."""

STAMP: Final = pl.Datetime("us")

PRODUCTS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    PRODUCT: pl.Utf8,
    TITLE: pl.Utf8,
    DESCRIPTION: pl.Utf8,
    CATEGORY: pl.List(pl.Utf8),  # path from coarse to fine
    BRAND: pl.Utf8,
    PRICE: pl.Float64,  # list price per unit, where the catalogue has one
    IMAGE: pl.Utf8,
    ATTRIBUTES: pl.Utf8,
    CREATED: STAMP,
}
CUSTOMERS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {CUSTOMER: pl.Utf8, ATTRIBUTES: pl.Utf8, CREATED: STAMP}
EVENTS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    EVENT_ID: pl.Utf8,  # idempotency key
    TIME: STAMP,
    CUSTOMER: pl.Utf8,  # null: an unknown customer
    SESSION: pl.Utf8,
    ORDER: pl.Utf8,
    STORE: pl.Utf8,
    TYPE: pl.Utf8,
    PRODUCT: pl.Utf8,
    QUANTITY: pl.Float64,
    PRICE: pl.Float64,  # per unit, paid
    AMOUNT: pl.Float64,  # line total, paid; what counts where quantity is 0
    DISCOUNT: pl.Float64,  # per unit; price + discount is the shelf price
    QUERY: pl.Utf8,
    POSITION: pl.Int32,
    REQUEST: pl.Utf8,
    PROPENSITY: pl.Float64,
    CONTEXT: pl.Utf8,
}
PROMOTIONS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    PRODUCT: pl.Utf8,
    STORE: pl.Utf8,  # null: all stores
    START: STAMP,
    END: STAMP,  # exclusive
    KIND: pl.Utf8,
    SHARE: pl.Float64,  # share of the stores that take part, 0 to 1
}
TABLES: Final = {"products": PRODUCTS, "customers": CUSTOMERS, "events": EVENTS, "promotions": PROMOTIONS}
KEYS: Final = {
    "products": (PRODUCT,),
    "customers": (CUSTOMER,),
    "events": (EVENT_ID,),
    "promotions": (PRODUCT, STORE, START, KIND),
}
REQUIRED: Final = {
    "products": (PRODUCT,),
    "customers": (CUSTOMER,),
    "events": (TIME, PRODUCT),
    "promotions": (PRODUCT, START, END),
}


def empty(table: str) -> pl.DataFrame:
    """A table without rows.

    Example:
        >>> empty("customers").columns
        ['customer_id', 'attributes', 'created_at']
    """
    return pl.DataFrame(schema=TABLES[table])


def conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with exactly the canonical columns, in order and type; missing ones are null, others are dropped."""
    schema = TABLES[table]
    columns = [
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
    ]
    return frame.select(columns)
