"""A whole shop as flat numpy arrays: the one form that members and the shared model read.

Built once from ``ShopTables``. ``before(day)`` returns the same shop without anything later, so a model that is
handed it cannot peek; only the promotion plan and the catalogue, which are known ahead, stay whole.
Days are float64 days since 1970-01-01 UTC.
"""

# Shapes: L event lines, C customers, I items, P plan rows, B batch, W blocks, K promotion kinds

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.config import ClockConfig
from shoploom.data import schema, tables
from shoploom.data.vocabulary import Vocabulary

EPOCH = datetime(1970, 1, 1)
FEW = 16
"""Histories of so many customers at most are kept."""
I32 = NDArray[np.int32]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]


def day_of(moment: datetime) -> float:
    """Days since 1970-01-01 of a naive UTC moment.

    Example:
        >>> day_of(datetime(1970, 1, 2, 12))
        1.5
    """
    return (moment - EPOCH) / timedelta(days=1)


def moment_of(day: float) -> datetime:
    """The inverse of ``day_of``, to the microsecond."""
    return EPOCH + timedelta(days=float(day))


@dataclass(frozen=True)
class Lines:
    """Event rows, one array per column, all of length L.

    ``customer`` is -1 where unknown; ``order`` numbers orders over the whole shop (-1 without one); ``kind`` is the
    position in ``schema.EVENT_TYPES``; ``price`` is the shelf price per unit, ``amount`` what was paid for the line.
    """

    customer: I32
    item: I32
    order: I32
    kind: NDArray[np.int8]
    time: F64
    quantity: F32
    amount: F32
    price: F32
    purchase: Flags
    goods: Flags
    priced: Flags

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any] | slice) -> Lines:
        """The lines at some positions, or where a mask is true."""
        return Lines(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @staticmethod
    def join(parts: list[Lines]) -> Lines:
        """Lines one after the other."""
        return Lines(**{one.name: np.concatenate([getattr(p, one.name) for p in parts]) for one in fields(Lines)})


@dataclass(frozen=True)
class Plan:
    """The promotion plan: ``share`` of the stores promote ``item`` from ``start`` to ``end`` (days) in way ``kind``."""

    item: I32
    start: F64
    end: F64
    kind: I32
    share: F32
    kinds: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.item)


@dataclass(frozen=True)
class Attribute:
    """A customer attribute with a fixed set of values; ``codes`` (C,) is -1 where unknown."""

    values: tuple[str, ...]
    codes: I32


@dataclass(frozen=True)
class Histories:
    """The lines of B customers, one after the other: customer b has ``lines[offsets[b]:offsets[b + 1]]`` by time."""

    lines: Lines
    offsets: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """For each line the position b of its customer in the batch."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class ShopArrays:
    """A shop as known at ``end``.

    Args:
        items: Product ids to rows.
        customers: Customer ids to rows.
        lines: Events by (customer, time); unknown customers come last.
        offsets: (C + 1,) where each known customer's lines start.
        catalogue: Canonical ``products`` columns, row i for item i.
        plan: Promotions, past and future.
        attributes: Customer attributes by name.
        clock: Horizon and blocks.
        start: First day of the data, rounded up to a whole block before ``end``.
        end: Day up to which events are known.
        timezone: IANA name of the shop's clock.
        live: Later lines of single customers, by customer row; ``histories`` adds them.
        held: Rows that a task must not train on, by task name: (C,) or (I,) masks. Set while evaluating.
        stand_ins: Rows beyond the known ones that stand for a customer; see ``supposing``.
    """

    items: Vocabulary
    customers: Vocabulary
    lines: Lines
    offsets: NDArray[np.int64]
    catalogue: pl.DataFrame
    plan: Plan
    attributes: dict[str, Attribute]
    clock: ClockConfig
    start: float
    end: float
    timezone: str = "UTC"
    price_range: tuple[float, float] = (0.05, 1e5)
    live: Mapping[int, Lines] = field(default_factory=dict)
    held: dict[str, Flags] = field(default_factory=dict)
    stand_ins: Mapping[int, int] = field(default_factory=dict)
    _read: list[tuple[bytes, Histories]] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def build(cls, shop: tables.ShopTables) -> ShopArrays:
        """Number all ids and sort the events. Only ids of events before ``shop.end`` and of the tables get rows."""
        items = Vocabulary(_ids(shop.products[schema.PRODUCT], shop.events[schema.PRODUCT]))
        customers = Vocabulary(_ids(shop.events[schema.CUSTOMER], shop.customers[schema.CUSTOMER]))
        lines = _lines(shop.events, items, customers)
        end = day_of(shop.end)
        first = float(lines.time.min()) if len(lines) else end
        known = pl.DataFrame({schema.PRODUCT: items.ids}, schema={schema.PRODUCT: pl.Utf8})
        low, high = shop.cleaning.price_range[:2]
        return cls(
            items=items,
            customers=customers,
            lines=lines,
            offsets=_offsets(lines.customer, len(customers)),
            catalogue=known.join(shop.products, on=schema.PRODUCT, how="left", maintain_order="left"),
            plan=_plan(shop.promotions, items),
            attributes=_attributes(shop.customers, customers),
            clock=shop.clock,
            start=_first_block(first, end, shop.clock.block_days),
            end=end,
            timezone=shop.timezone,
            price_range=(low, high),
        )

    def before(self, day: float) -> ShopArrays:
        """The shop as known at an earlier day."""
        lines = self.lines.take(self.lines.time < day)
        return replace(self, lines=lines, offsets=_offsets(lines.customer, len(self.customers)), end=day, live={})

    def between(self, start: float, end: float) -> Lines:
        """Lines with ``start <= time < end``."""
        return self.lines.take((self.lines.time >= start) & (self.lines.time < end))

    def histories(self, customers: NDArray[Any]) -> Histories:
        """All lines of some customers up to now, live ones too; a row of -1 has none.

        The members of an ensemble ask for the same few customers one after the other, so the last ones are kept.
        """
        rows = np.asarray(customers, dtype=np.int64)
        if len(rows) > FEW or (self.live and any(row in self.live for row in rows.tolist())):
            return self._histories(rows)
        key = rows.tobytes()
        last = self._read[-1:]
        if last and last[0][0] == key:
            return last[0][1]
        found = self._histories(rows)
        self._read[:] = [(key, found)]
        return found

    def _histories(self, rows: NDArray[np.int64]) -> Histories:
        known = rows >= 0
        safe = np.where(known & (rows < len(self.offsets) - 1), rows, 0)
        starts = self.offsets[safe]
        counts = np.where(known & (rows < len(self.offsets) - 1), self.offsets[safe + 1] - starts, 0)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        flat = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, counts)
        lines = self.lines.take(flat)
        if not self.live or not any(int(row) in self.live for row in rows):
            return Histories(lines, offsets)
        parts, sizes = [], []
        for number, row in enumerate(rows):
            own = [lines.take(slice(int(offsets[number]), int(offsets[number + 1])))]
            own += [self.live[int(row)]] if int(row) in self.live else []
            parts += own
            sizes.append(sum(len(one) for one in own))
        return Histories(Lines.join(parts), np.concatenate([[0], np.cumsum(sizes)]))

    def supposing(self, customer: int, histories: Sequence[Lines]) -> tuple[ShopArrays, I32]:
        """The shop with rows of what-ifs: one customer with other histories, to be asked about in one batch.

        Only the customer and the new rows have live lines in it. Attributes do not reach to the new rows.

        Args:
            customer: Row of the customer.
            histories: What the customer's lines are supposed to be, each in order of time.

        Returns:
            The shop, and (n,) the row of each history.
        """
        first = len(self.offsets) - 1
        rows = np.arange(first, first + len(histories), dtype=np.int32)
        live = {customer: self.live[customer]} if customer in self.live else {}
        live |= dict(zip(rows.tolist(), histories, strict=True))
        return replace(self, live=live, stand_ins=dict.fromkeys(rows.tolist(), customer)), rows

    def persons(self, customers: NDArray[Any]) -> NDArray[Any]:
        """(B,) whom each row is about: stand-ins are their customer, all others themselves."""
        if not self.stand_ins:
            return customers
        return np.array([self.stand_ins.get(row, row) for row in customers.tolist()], dtype=customers.dtype)

    def panel(self, items: NDArray[Any], blocks: int, value: str = "quantity") -> F64:
        """Sums over goods lines by item and block, the last column ending at ``end``.

        Args:
            items: (n,) item rows.
            blocks: Number of columns.
            value: ``quantity``, ``amount`` or ``lines`` (a count).

        Returns:
            (n, blocks) float64.
        """
        place = np.full(len(self.items), -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        block = np.floor((self.lines.time - self.end) / self.clock.block_days).astype(np.int64) + blocks
        kept = self.lines.goods & (place[self.lines.item] >= 0) & (block >= 0) & (block < blocks)
        flat = place[self.lines.item[kept]] * blocks + block[kept]
        weights = None if value == "lines" else getattr(self.lines, value)[kept].astype(np.float64)
        return np.bincount(flat, weights=weights, minlength=len(items) * blocks).astype(float).reshape(-1, blocks)

    @property
    def num_blocks(self) -> int:
        """Number of whole demand blocks in the history."""
        return max(0, round((self.end - self.start) / self.clock.block_days))

    def plan_shares(self, items: NDArray[Any], first: int, blocks: int) -> F32:
        """Share of stores that promote each item, by kind and block.

        Args:
            items: (n,) item rows.
            first: First block, relative to ``end``: block k is [end + k b, end + (k + 1) b) days.
            blocks: Number of blocks W.

        Returns:
            (K, n, W) float32; a promotion that covers part of a block counts in proportion.
        """
        kinds, length = len(self.plan.kinds), self.clock.block_days
        result = np.zeros((kinds, len(items), blocks), dtype=np.float32)
        if not kinds:
            return result
        place = np.full(len(self.items), -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        start = (self.plan.start - self.end) / length - first
        end = (self.plan.end - self.end) / length - first
        chosen = np.flatnonzero((place[self.plan.item] >= 0) & (end > 0) & (start < blocks))
        lows = np.floor(np.maximum(start[chosen], 0)).astype(np.int64)
        spans = np.ceil(np.minimum(end[chosen], blocks)).astype(np.int64) - lows
        for step in range(int(spans.max(initial=0))):
            use = chosen[spans > step]
            block = lows[spans > step] + step
            cover = np.minimum(end[use], block + 1) - np.maximum(start[use], block)
            where = (self.plan.kind[use], place[self.plan.item[use]], block)
            np.add.at(result, where, (self.plan.share[use] * cover).astype(np.float32))
        return result

    def best_sellers(self, number: int, days: float) -> I32:
        """Items with the most pieces in goods lines of the last days, best first; equal ones by id."""
        kept = self.lines.goods & (self.lines.time >= self.end - days)
        pieces = np.bincount(self.lines.item[kept], self.lines.quantity[kept], minlength=len(self.items))
        sold = np.flatnonzero(pieces > 0)
        order = sorted(sold.tolist(), key=lambda row: (-pieces[row], self.items.ids[row]))
        return np.array(order[:number], dtype=np.int32)

    def active_customers(self) -> I32:
        """Customers with a purchase in the last ``clock.active_days``, by row."""
        recent = self.lines.purchase & (self.lines.time >= self.end - self.clock.active_days)
        found = np.unique(self.lines.customer[recent])
        return found[found >= 0].astype(np.int32)

    def shelf_prices(self) -> tuple[I32, F64, I32]:
        """Items with a known shelf price in range: rows, median price over priced lines, number of lines."""
        lines = self.lines.take(self.lines.priced)
        frame = pl.DataFrame({"item": lines.item, "price": lines.price.astype(np.float64)})
        table = frame.group_by("item").agg(pl.col("price").median(), sales=pl.len()).sort("item")
        low, high = self.price_range
        table = table.filter(pl.col("price") > low, pl.col("price") < high)
        return table["item"].to_numpy(), table["price"].to_numpy(), table["sales"].cast(pl.Int32).to_numpy()

    def goods_items(self) -> I32:
        """Items sold as goods so far, by row."""
        return np.unique(self.lines.item[self.lines.goods]).astype(np.int32)


def _ids(*columns: pl.Series) -> list[str]:
    return pl.concat([one.drop_nulls().cast(pl.Utf8) for one in columns]).unique(maintain_order=True).sort().to_list()


def _lines(events: pl.DataFrame, items: Vocabulary, customers: Vocabulary) -> Lines:
    kinds = {name: number for number, name in enumerate(schema.EVENT_TYPES)}
    # being shown a product is nothing that the customer did
    events = events.filter(pl.col(schema.PRODUCT).is_not_null() & (pl.col(schema.TYPE) != schema.IMPRESSION))
    frame = events.select(
        customer=pl.Series(customers.rows(events[schema.CUSTOMER])),
        item=pl.Series(items.rows(events[schema.PRODUCT])),
        order=(pl.col(schema.ORDER).rank("dense").cast(pl.Int32) - 1).fill_null(-1),
        kind=pl.col(schema.TYPE).replace_strict(kinds, return_dtype=pl.Int8),
        time=pl.col(schema.TIME).cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 86_400e6,
        quantity=pl.col(schema.QUANTITY).fill_null(1.0).cast(pl.Float32),
        amount=pl.col(schema.AMOUNT).fill_null(0.0).cast(pl.Float32),
        price=pl.col(tables.SHELF).fill_null(float("nan")).cast(pl.Float32),
        purchase=pl.col(tables.PURCHASE_FLAG),
        goods=pl.col(tables.GOODS_FLAG),
        priced=pl.col(tables.PRICED_FLAG),
    )
    last = pl.when(pl.col("customer") < 0).then(2**31 - 1).otherwise(pl.col("customer"))
    frame = frame.with_columns(place=last).sort(["place", "time"], maintain_order=True)
    return Lines(**{one.name: frame[one.name].to_numpy() for one in fields(Lines)})


def _offsets(customer: I32, count: int) -> NDArray[np.int64]:
    sizes = np.bincount(customer[customer >= 0], minlength=count)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _first_block(first: float, end: float, block_days: int) -> float:
    """The earliest whole block: the first day of the data rounded down to midnight, then up to the block grid."""
    return float(end - np.floor((end - np.floor(first)) / block_days) * block_days)


def _plan(promotions: pl.DataFrame, items: Vocabulary) -> Plan:
    kinds = promotions[schema.KIND].fill_null("promotion").unique().sort().to_list()
    numbers = {name: number for number, name in enumerate(kinds)}
    days = {name: pl.col(name).dt.epoch("us").cast(pl.Float64) / 86_400e6 for name in (schema.START, schema.END)}
    frame = promotions.with_columns(
        item=pl.Series(items.rows(promotions[schema.PRODUCT])),
        number=pl.col(schema.KIND).fill_null("promotion").replace_strict(numbers, return_dtype=pl.Int32, default=0),
        share=pl.col(schema.SHARE).fill_null(1.0).cast(pl.Float32),
        **days,
    ).filter(pl.col("item") >= 0)
    return Plan(
        frame["item"].to_numpy(),
        frame[schema.START].to_numpy(),
        frame[schema.END].to_numpy(),
        frame["number"].to_numpy(),
        frame["share"].to_numpy(),
        tuple(kinds),
    )


def _attributes(customers: pl.DataFrame, known: Vocabulary, most: int = 30) -> dict[str, Attribute]:
    """Attributes with 2 to ``most`` values; others (names, dates) are no classes."""
    rows: dict[str, list[tuple[int, str]]] = {}
    for one, text in zip(customers[schema.CUSTOMER], customers[schema.ATTRIBUTES], strict=True):
        for name, value in (json.loads(text) if text else {}).items():
            if value is not None and str(value).strip():
                rows.setdefault(name, []).append((known.row(one), str(value)))
    found: dict[str, Attribute] = {}
    for name, pairs in sorted(rows.items()):
        values = tuple(sorted({value for _, value in pairs}))
        if 2 <= len(values) <= most:
            codes = np.full(len(known), -1, dtype=np.int32)
            place = {value: number for number, value in enumerate(values)}
            codes[[row for row, _ in pairs]] = [place[value] for _, value in pairs]
            found[name] = Attribute(values, codes)
    return found
