"""Events that arrive while serving: seen by the very next request, without touching the big arrays.

Knows nothing of durability (``data.eventlog``) or models; turns canonical event rows into ``Lines``.
"""

# Shapes: L event lines, C customers, I items

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from shoploom.config import CleaningConfig
from shoploom.data import schema
from shoploom.data.arrays import F64, Attribute, Flags, Lines, ShopArrays
from shoploom.data.live_event import LiveEvent

_Part = tuple[Lines, int, int]  # the lines of one customer in a batch: from, to
Columns = Mapping[str, Sequence[Any]]
"""Canonical event columns as lists."""

USED = (
    schema.TIME,
    schema.CUSTOMER,
    schema.ORDER,
    schema.TYPE,
    schema.PRODUCT,
    schema.QUANTITY,
    schema.PRICE,
    schema.AMOUNT,
    schema.DISCOUNT,
)
KINDS = {name: number for number, name in enumerate(schema.EVENT_TYPES)}


class LiveLines(Mapping[int, Lines]):
    """Later lines by customer row: cheap to add to, put together when a customer is read.

    Args:
        first_order: Number of the first order that is not yet in the shop's arrays.
    """

    def __init__(self, first_order: int = 0) -> None:
        self._parts: dict[int, list[_Part]] = {}
        self._orders: dict[str, int] = {}
        self._first_order = first_order
        self.items_sold: dict[int, int] = {}
        self.num_events = 0
        self.newest = -np.inf

    def __getitem__(self, row: int) -> Lines:
        parts = self._parts[row]
        lines = [batch.take(slice(start, end)) for batch, start, end in list(parts)]
        if len(lines) == 1:
            return lines[0]
        joined = Lines.join(lines)
        parts[: len(lines)] = [(joined, 0, len(joined))]  # what came meanwhile stays behind it
        return joined

    def __contains__(self, row: object) -> bool:
        return row in self._parts

    def __iter__(self) -> Iterator[int]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def count(self, row: int) -> int:
        """How many live lines a customer has."""
        return sum(end - start for _, start, end in self._parts.get(row, ()))

    def forget(self, row: int) -> None:
        """Drop a customer's live lines."""
        self._parts.pop(row, None)

    def order(self, one: str | None) -> int:
        """The number of an order id, -1 without one."""
        if one is None:
            return -1
        return self._orders.setdefault(one, self._first_order + len(self._orders))

    def add(self, lines: Lines) -> None:
        """Append lines in the order of their arrival; those of unknown customers only count for popularity."""
        place = np.argsort(lines.customer, kind="stable")
        rows, starts = np.unique(lines.customer[place], return_index=True)
        grouped, ends = lines.take(place), [*starts[1:].tolist(), len(lines)]
        for row, start, end in zip(rows.tolist(), starts.tolist(), ends, strict=True):
            if row >= 0:
                self._parts.setdefault(row, []).append((grouped, start, end))
        for item in lines.item[lines.goods].tolist():
            self.items_sold[item] = self.items_sold.get(item, 0) + 1
        self.num_events += len(lines)
        self.newest = max(self.newest, float(lines.time.max(initial=-np.inf)))


def columns_of(events: Sequence[LiveEvent]) -> Columns:
    """The columns of typed events that answers can depend on, without going through a table."""
    now = datetime.now(UTC)
    columns = {name: [getattr(one, name) for one in events] for name in USED}
    columns[schema.TIME] = [now if one is None else one for one in columns[schema.TIME]]
    return columns


def lines_of(
    events: Columns, shop: ShopArrays, live: LiveLines, *, cleaning: CleaningConfig, merchandise: Flags
) -> Lines:
    """Event rows as lines, flagged like the bulk data, so that fresh and old events mean the same.

    Args:
        events: Canonical columns; every event names a product, and every product and customer has a row in ``shop``.
        shop: Gives ids their rows.
        live: Numbers new orders.
        cleaning: Which rows count.
        merchandise: (I,) False for items that are known to be fees, vouchers and the like.
    """
    item = shop.items.rows(events[schema.PRODUCT])
    customer = shop.customers.rows(events[schema.CUSTOMER])
    quantity = _numbers(events[schema.QUANTITY], 1.0)
    paid = _numbers(events[schema.PRICE], np.nan)
    amount = _numbers(events[schema.AMOUNT], np.nan)
    amount = np.where(np.isnan(amount), np.nan_to_num(paid) * quantity, amount)
    paid = np.where(np.isnan(paid) & (quantity > 0), amount / np.maximum(quantity, 1e-9), paid)
    shelf = paid + _numbers(events[schema.DISCOUNT], 0.0)
    kind = np.array([KINDS[one] for one in events[schema.TYPE]], dtype=np.int8)
    bought = kind == KINDS[schema.PURCHASE]
    known = np.ones(len(item), dtype=bool)
    known[item < len(merchandise)] = merchandise[item[item < len(merchandise)]]
    low, high = cleaning.goods_quantity[:2] if len(cleaning.goods_quantity) >= 2 else (1e-9, np.inf)
    goods = bought & known & (quantity >= low) & (quantity <= high)
    if cleaning.positive_price:
        goods &= amount > 0
    priced = goods & (shelf > 0)
    if cleaning.price_quantity:
        priced &= quantity <= cleaning.price_quantity
    return Lines(
        customer=customer,
        item=item,
        order=np.array([live.order(one) for one in events[schema.ORDER]], dtype=np.int32),
        kind=kind,
        time=np.array([day_at(one) for one in events[schema.TIME]], dtype=np.float64),
        quantity=quantity.astype(np.float32),
        amount=np.nan_to_num(amount).astype(np.float32),
        price=np.where(priced, shelf, np.nan).astype(np.float32),
        purchase=(goods if cleaning.purchases_are_goods else bought) & (customer >= 0),
        goods=goods,
        priced=priced,
    )


def day_at(moment: datetime) -> float:
    """The day of a moment; one without a time zone is UTC.

    Example:
        >>> day_at(datetime(1970, 1, 2, 12)), day_at(datetime(1970, 1, 2, tzinfo=UTC))
        (1.5, 1.0)
    """
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp() / 86_400


def grow(shop: ShopArrays, *, products: Sequence[str] = (), customers: Sequence[str] = ()) -> ShopArrays:
    """The shop with rows for new ids; old rows keep their numbers. The vocabularies are shared with the old shop."""
    before = len(shop.items)
    for one in products:
        shop.items.add(one)
    for one in customers:
        shop.customers.add(one)
    if len(shop.items) > before:
        fresh = pl.DataFrame({schema.PRODUCT: shop.items.ids[before:]}, schema={schema.PRODUCT: pl.Utf8})
        rows = schema.conform("products", fresh).select(shop.catalogue.columns)
        shop = replace(shop, catalogue=pl.concat([shop.catalogue, rows], how="vertical"))
    more = len(shop.customers) + 1 - len(shop.offsets)
    if more > 0:
        shop = replace(
            shop,
            offsets=np.append(shop.offsets, np.full(more, shop.offsets[-1])),
            attributes={
                name: Attribute(one.values, np.append(one.codes, np.full(more, -1, dtype=np.int32)))
                for name, one in shop.attributes.items()
            },
        )
    return shop


def _numbers(values: Sequence[float | None], default: float) -> F64:
    return np.array([default if one is None else one for one in values], dtype=np.float64)
