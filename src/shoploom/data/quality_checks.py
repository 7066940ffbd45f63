"""The checks of the quality gate, one function each: tables in, findings out. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import identity, schema, tables
from shoploom.data.tables import ShopTables
from shoploom.metrics.classification import auc

LEAK_AUC = 0.99
"""A single feature that is better than this did not predict the outcome, it saw it."""

DOMINANT_CLASS, RARE_CLASS = 0.9, 10
MOSTLY_EMPTY = 0.99
LONG_GAP_DAYS = 7.0
TYPICAL_GAPS = 20.0


@dataclass(frozen=True)
class Finding:
    """Something a person should know.

    Args:
        severity: ``info``, ``warning`` or ``error``.
        check: Name of the check.
        message: What was found, in one sentence.
        table: Where.
        rows: How many rows.
        fix: What to do.
    """

    severity: Literal["info", "warning", "error"]
    check: str
    message: str
    table: str = "events"
    rows: int = 0
    fix: str = ""


@dataclass(frozen=True)
class Checked:
    """What the checks look at: flagged tables, quarantined rows by reason, and the present."""

    shop: ShopTables
    quarantine: Mapping[str, int]
    now: datetime

    @property
    def purchases(self) -> pl.DataFrame:
        """Rows that count as purchases."""
        return self.shop.events.filter(pl.col(tables.PURCHASE_FLAG))


Check = Callable[[Checked], Iterator[Finding]]


def attributes(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """The JSON attributes of a table as columns of text."""
    if schema.ATTRIBUTES not in frame.columns or frame[schema.ATTRIBUTES].null_count() == len(frame):
        return {}
    rows = [json.loads(text) if text else {} for text in frame[schema.ATTRIBUTES]]
    names = sorted({name for row in rows for name in row})
    return {name: pl.Series(name, [_text(row.get(name)) for row in rows], dtype=pl.Utf8) for name in names}


def size(checked: Checked) -> Iterator[Finding]:
    """Empty, one customer, one product, no time to learn from."""
    shop, bought = checked.shop, checked.purchases
    if not len(shop.events):
        yield Finding("error", "size", "there are no events", fix="import the shop's orders: shoploom import FILE")
        return
    if not len(bought):
        what = ", ".join(shop.events[schema.TYPE].drop_nulls().unique().sort().to_list())
        fix = "import orders, or check the [cleaning] rules and the mapping of type, quantity and customer_id"
        yield Finding("error", "size", f"no row counts as a purchase of a known customer (types: {what})", fix=fix)
        return
    for column, word in ((schema.CUSTOMER, "customer"), (schema.PRODUCT, "product")):
        if bought[column].n_unique() < 2:
            fix = f"check which column is {column}: shoploom import FILE --dry-run"
            yield Finding("error", "size", f"all purchases are of one {word}", rows=len(bought), fix=fix)
    days = _days(shop.events)
    horizon = shop.clock.horizon_days
    if days < 2:
        fix = "check which column is time, and its format: shoploom import FILE --dry-run"
        yield Finding("error", "size", f"all events lie within {days:.1f} days", rows=len(shop.events), fix=fix)
    elif days < 3 * horizon:
        text = (
            f"the history has {days:.0f} days; training and validating a horizon of {horizon} days wants {3 * horizon}"
        )
        yield Finding("warning", "size", text, fix="import more history, or set a shorter clock.horizon_days")


def duplicates(checked: Checked) -> Iterator[Finding]:
    """Rows that equal another one in everything that makes an event what it is."""
    events = checked.shop.events
    content = [name for name in identity.CONTENT if events[name].null_count() < len(events)]
    if not len(events) or not content:
        return
    repeated = len(events) - events.select(content).hash_rows().n_unique()
    if repeated:
        share = repeated / len(events)
        text = f"{repeated:,} rows ({share:.1%}) equal another row in customer, product, time, order and quantity"
        fix = "nothing to do if an order may list a product twice; else remove repeated lines from the export"
        yield Finding("warning" if share > 0.02 else "info", "duplicates", text, rows=repeated, fix=fix)


def quantities(checked: Checked) -> Iterator[Finding]:
    """Quantities of 0, beyond what is plausible, or in fractions."""
    shop = checked.shop
    sold = shop.events.filter(pl.col(schema.TYPE) == schema.PURCHASE)
    if not len(sold):
        return
    zero = int((sold[schema.QUANTITY] == 0).sum())
    if zero:
        text = f"{zero:,} purchase rows have a quantity of 0; they count for customers at most, never for demand"
        yield Finding("info", "quantities", text, rows=zero, fix="nothing; say what they are if you know")
    if shop.cleaning.goods_quantity:
        high = shop.cleaning.goods_quantity[1]
        beyond = int((sold[schema.QUANTITY] > high).sum())
        units = float(sold.filter(pl.col(schema.QUANTITY) > high)[schema.QUANTITY].sum())
        units /= max(1.0, float(sold[schema.QUANTITY].sum()))
        if beyond:
            text = (
                f"{beyond:,} purchase rows have more than {high:g} pieces, {units:.1%} of all; they are no goods rows"
            )
            yield Finding("info", "quantities", text, rows=beyond, fix="set cleaning.goods_quantity if this is wrong")
    goods = int(shop.events[tables.GOODS_FLAG].sum())
    share = 1 - goods / len(sold)
    if share > 0.5:
        text = f"{share:.0%} of the purchase rows are no goods by the cleaning rules"
        yield Finding("warning", "quantities", text, rows=len(sold) - goods, fix="check [cleaning] in shoploom.toml")


def prices(checked: Checked) -> Iterator[Finding]:
    """Goods for nothing, without a price, or a thousand times the usual price."""
    goods = checked.shop.events.filter(pl.col(tables.GOODS_FLAG))
    if not len(goods):
        return
    shelf = goods[tables.SHELF]
    missing = shelf.null_count()
    if missing == len(goods):
        fix = "map price or amount; without, spend and price switch off"
        yield Finding("warning", "prices", "no row has a price or an amount", rows=missing, fix=fix)
        return
    free = int((shelf <= 0).sum())
    if free:
        text = f"{free:,} goods rows ({free / len(goods):.1%}) have a shelf price of 0; they give no price"
        yield Finding("info", "prices", text, rows=free, fix="nothing; samples and gifts are usual")
    usual = shelf.filter(shelf > 0).median()
    if isinstance(usual, float):
        odd = int((shelf > 1000 * usual).sum())
        if odd:
            text = f"{odd:,} goods rows have a price of more than 1000 times the usual {usual:.2f}"
            fix = "exclude what is no merchandise with cleaning.exclude_categories, or narrow cleaning.price_range"
            yield Finding("warning", "prices", text, rows=odd, fix=fix)


def returns(checked: Checked) -> Iterator[Finding]:
    """The share of refunds among orders' lines."""
    kinds = checked.shop.events[schema.TYPE]
    back, sold = int((kinds == schema.REFUND).sum()), int((kinds == schema.PURCHASE).sum())
    if back:
        share = back / (back + sold)
        text = f"{back:,} rows ({share:.1%}) are refunds; they never count as purchases and are not taken off"
        yield Finding("warning" if share > 0.3 else "info", "returns", text, rows=back)


def empty_columns(checked: Checked) -> Iterator[Finding]:
    """Columns that are almost empty or constant."""
    for table in ("products", "customers", "events"):
        frame: pl.DataFrame = getattr(checked.shop, table)
        named = {name: frame[name] for name in frame.columns if name not in (schema.ATTRIBUTES, schema.CONTEXT)}
        named |= {f"attributes.{name}": values for name, values in attributes(frame).items()}
        for name, column in named.items():
            missing = column.null_count()
            if not len(frame) or name.startswith("is_") or missing == len(frame):
                continue
            if missing >= MOSTLY_EMPTY * len(frame):
                text = f"{name} is missing in {missing / len(frame):.1%} of the rows"
                yield Finding(
                    "warning", "missing", text, table, missing, f"leave {name} out of the mapping, or mend it"
                )
            elif len(frame) > 1 and name.startswith("attributes.") and column.drop_nulls().n_unique() == 1:
                yield Finding(
                    "info", "constant", f"{name} has one value only; nothing can be learned from it", table, len(frame)
                )


def unknown_ids(checked: Checked) -> Iterator[Finding]:
    """Anonymous customers, products without a catalogue row, promotions of unknown products."""
    shop = checked.shop
    anonymous = shop.events[schema.CUSTOMER].null_count()
    if anonymous:
        share = anonymous / len(shop.events)
        text = f"{anonymous:,} rows ({share:.1%}) name no customer; they count for products only"
        yield Finding(
            "warning" if share > 0.5 else "info", "unknown ids", text, rows=anonymous, fix="nothing; guests are usual"
        )
    if len(shop.products) and len(shop.events):
        known = shop.products[schema.PRODUCT].implode()
        lost = int((~shop.events[schema.PRODUCT].is_in(known)).sum())
        if lost:
            share = lost / len(shop.events)
            text = f"{lost:,} rows ({share:.1%}) are of products that the catalogue does not know"
            fix = "import the missing products; without, they have no title, category or price"
            yield Finding("warning" if share > 0.01 else "info", "unknown ids", text, rows=lost, fix=fix)
        plan = int((~shop.promotions[schema.PRODUCT].is_in(known)).sum())
        if plan:
            text = f"{plan:,} promotions are of products that the catalogue does not know"
            yield Finding("info", "unknown ids", text, "promotions", plan, "import the missing products")


def clocks(checked: Checked) -> Iterator[Finding]:
    """Gaps, short first and last weeks, dates without a time of day."""
    shop = checked.shop
    if len(shop.events) < 2:
        return
    local = shop.events[schema.TIME].dt.replace_time_zone("UTC").dt.convert_time_zone(shop.timezone)
    days = local.dt.date().unique().sort()
    steps = days.diff().drop_nulls().dt.total_days().to_numpy()
    if len(steps):
        limit = max(LONG_GAP_DAYS, TYPICAL_GAPS * float(np.median(steps)))
        for at in np.flatnonzero(steps > limit)[:5]:
            text = f"no event lies between {days[int(at)]} and {days[int(at) + 1]} ({int(steps[at])} days)"
            fix = "import the missing part; if the shop was closed, nothing"
            yield Finding("warning", "clock", text, fix=fix)
    yield from _edges(local)
    if (local.dt.time() == datetime(2000, 1, 1).time()).all():
        text = "all events are at midnight: the export has dates without a time of day"
        yield Finding("info", "clock", text, rows=len(local), fix="export the time of day, if there is one")


def _edges(local: pl.Series) -> Iterator[Finding]:
    first, last = local.min(), local.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    week = timedelta(days=7)
    begins = first.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=first.weekday())
    hours = (begins + week - first) / timedelta(hours=1)
    if hours < 120:
        yield Finding(
            "info",
            "clock",
            f"the first week has only {hours:.0f} hours of data, from {first:%A %H:%M} on",
            fix="",
        )
    ends = last.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=last.weekday())
    hours = (last - ends) / timedelta(hours=1)
    if hours < 120:
        yield Finding(
            "info", "clock", f"the last week has only {hours:.0f} hours of data, up to {last:%A %H:%M}", fix=""
        )


def imbalance(checked: Checked) -> Iterator[Finding]:
    """Customer attributes with one dominant class, or with classes too rare to learn."""
    for name, values in attributes(checked.shop.customers).items():
        counts = values.drop_nulls().value_counts(sort=True)
        if not 2 <= len(counts) <= 50:
            continue
        known, top = int(counts["count"].sum()), int(counts["count"][0])
        if top > DOMINANT_CLASS * known:
            text = f"{name}: {top / known:.0%} of the known customers are {counts[name][0]!r}; accuracy flatters"
            yield Finding(
                "warning", "imbalance", text, "customers", known, "read macro F1; classes are weighted in training"
            )
        rare = counts.filter(pl.col("count") < RARE_CLASS)
        if len(rare):
            text = f"{name}: {len(rare)} of {len(counts)} values have fewer than {RARE_CLASS} customers"
            yield Finding(
                "info", "imbalance", text, "customers", int(rare["count"].sum()), "merge rare values, if they are alike"
            )


def leakage(checked: Checked) -> Iterator[Finding]:
    """A single attribute that gives away who leaves, or another attribute."""
    shop = checked.shop
    values = {name: one for name, one in attributes(shop.customers).items() if 2 <= one.drop_nulls().n_unique() <= 50}
    if not values:
        return
    for name, score in _leaks_of_churn(checked, values):
        text = (
            f"{name} alone tells with an AUC of {score:.3f} who will not buy in the last {shop.clock.horizon_days} days"
        )
        fix = f"if {name} was written after the fact (a status, a closing date), leave it out of the mapping"
        yield Finding("warning", "leakage", text, "customers", len(shop.customers), fix)
    for name in values:
        for other in values:
            if name < other and _mutual(values[name], values[other]) > LEAK_AUC:
                text = f"{name} and {other} tell each other with an AUC above {LEAK_AUC}"
                fix = "one of them is enough; a prediction of one must not see the other"
                yield Finding("warning", "leakage", text, "customers", len(shop.customers), fix)


def held_rows(checked: Checked) -> Iterator[Finding]:
    """What lies in quarantine."""
    for reason, rows in checked.quarantine.items():
        table, _, text = reason.partition(": ")
        share = rows / max(1, rows + len(getattr(checked.shop, table)))
        severity: Literal["warning", "error"] = "error" if share > 0.2 else "warning"
        fix = f"look at store/quarantine/{table}.parquet, mend the export and import it again"
        yield Finding(severity, "quarantine", f"{rows:,} rows of {table} are in quarantine: {text}", table, rows, fix)


CHECKS: tuple[Check, ...] = (
    size,
    held_rows,
    duplicates,
    quantities,
    prices,
    returns,
    empty_columns,
    unknown_ids,
    clocks,
    imbalance,
    leakage,
)


def _leaks_of_churn(checked: Checked, values: Mapping[str, pl.Series]) -> Iterator[tuple[str, float]]:
    shop = checked.shop
    cut = shop.end - timedelta(days=shop.clock.horizon_days)
    before = checked.purchases.filter(
        pl.col(schema.TIME) < cut, pl.col(schema.TIME) >= cut - timedelta(days=shop.clock.active_days)
    )
    after = checked.purchases.filter(pl.col(schema.TIME) >= cut)[schema.CUSTOMER].unique()
    active = shop.customers[schema.CUSTOMER].is_in(before[schema.CUSTOMER].unique().implode())
    gone = (~shop.customers[schema.CUSTOMER].is_in(after.implode())).to_numpy().astype(np.int64)
    for name, one in values.items():
        rows = (active & one.is_not_null()).to_numpy()
        labels = gone[rows]
        if min(labels.sum(), len(labels) - labels.sum(), 20) < 20:
            continue
        score = auc(labels, _held_out_rates(one.filter(pl.Series(rows)), labels))
        if max(score, 1 - score) > LEAK_AUC:
            yield name, max(score, 1 - score)


def _held_out_rates(values: pl.Series, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per row the rate of the label among the *other* rows with the same value, so rare values give nothing away."""
    codes = values.rank("dense").to_numpy().astype(np.int64) - 1
    sums, counts = np.bincount(codes, labels), np.bincount(codes)
    rate = float(labels.mean())
    return np.asarray((sums[codes] - labels + 10 * rate) / (counts[codes] - 1 + 10))


def _mutual(one: pl.Series, other: pl.Series) -> float:
    """The lesser of both directions' mean AUC over the values with twenty rows and more."""
    return min(_tells(one, other), _tells(other, one))


def _tells(feature: pl.Series, target: pl.Series) -> float:
    both = (feature.is_not_null() & target.is_not_null()).to_numpy()
    feature, target = feature.filter(pl.Series(both)), target.filter(pl.Series(both))
    scores = []
    for value, rows in target.value_counts(sort=True).rows():
        if 20 <= rows <= len(target) - 20:
            labels = (target == value).to_numpy().astype(np.int64)
            scores.append(auc(labels, _held_out_rates(feature, labels)))
    return float(np.mean(scores)) if scores else 0.0


def _days(events: pl.DataFrame) -> float:
    first, last = events[schema.TIME].min(), events[schema.TIME].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return (last - first) / timedelta(days=1)


def _text(value: object) -> str | None:
    return None if value is None or str(value).strip() == "" else str(value)
