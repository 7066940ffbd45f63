"""The quality gate: what is wrong with a shop's data, how bad it is, and what to do about it.

Findings have a severity: ``info`` is good to know, a ``warning`` costs quality, an ``error`` stops training. Rows in
doubt go to the quarantine with the reason and are left out from then on; nothing is dropped silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shoploom.config import CleaningConfig
from shoploom.data import atomic, cleaning, doubts, imputation, quality_checks, schema, tables
from shoploom.data.quality_checks import Checked, Finding
from shoploom.data.tables import ShopTables
from shoploom.data.workspace import Workspace
from shoploom.errors import QualityError

Severity = Literal["info", "warning", "error"]
ORDER: tuple[Severity, ...] = ("info", "warning", "error")


@dataclass(frozen=True)
class ColumnReport:
    """One column of one table.

    Args:
        name: Column, or ``attributes.name``.
        missing: Share of rows without a value.
        distinct: Number of different values.
        imputation: How missing values are filled: none, mean, median, mode, missing.
        value: What is put there.
        why: Why so.
    """

    name: str
    missing: float
    distinct: int
    imputation: str
    value: str
    why: str


@dataclass(frozen=True)
class QualityReport:
    """What the gate found.

    Args:
        name: Of the shop.
        findings: Worst first.
        counts: Rows per table.
        columns: Per table, its columns.
        rules: The cleaning rules in words: what the data itself told.
        first: First event.
        last: Last event.
        weeks: Per week its start, and numbers of rows and of purchase rows.
        quarantine: Reason -> rows.
        made_at: UTC.
    """

    name: str
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    columns: Mapping[str, Sequence[ColumnReport]] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    weeks: Sequence[tuple[str, int, int]] = ()
    quarantine: Mapping[str, int] = field(default_factory=dict)
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None, microsecond=0))

    @property
    def worst(self) -> Severity:
        """The highest severity, ``info`` where nothing was found."""
        return max((one.severity for one in self.findings), key=ORDER.index, default="info")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = asdict(self)
        for name in ("first", "last", "made_at"):
            plain[name] = None if plain[name] is None else plain[name].isoformat()
        return {"worst": self.worst, **plain}

    def to_json(self) -> str:
        """The report for machines."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_html(self, path: Path) -> Path:
        """Write the report as one HTML file that needs nothing else; returns its path."""
        from shoploom.data.quality_page import render  # jinja2 is only wanted here

        atomic.write_text(path, render(self.to_dict()))
        return path

    def write(self, folder: Path) -> Path:
        """Write ``quality.html`` and ``quality.json``; returns the page's path."""
        atomic.write_text(folder / "quality.json", self.to_json() + "\n")
        return self.to_html(folder / "quality.html")

    def require(self) -> None:
        """Stop where there is an error.

        Raises:
            QualityError: With all errors and what to do about each.
        """
        errors = [one for one in self.findings if one.severity == "error"]
        if errors:
            raise QualityError(
                "the data cannot be trained on: " + "; ".join(f"{one.message} ({one.fix})" for one in errors)
            )


def check(shop: Workspace | ShopTables, *, now: datetime | None = None) -> QualityReport:
    """Run every check.

    Args:
        shop: A workspace, where events from the future also go to the quarantine; or tables in memory.
        now: UTC; events after it are in doubt.
    """
    now = now or datetime.now(UTC).replace(tzinfo=None)
    if isinstance(shop, ShopTables):
        return _report(shop, shop.cleaning, {}, now, "shop")
    with shop.lock("check"):
        _quarantine_future(shop, now)
        held = pl.concat([shop.read_quarantine(table) for table in schema.TABLES])
    counted = held.group_by("table", "reason").len().sort("len", "table", "reason", descending=[True, False, False])
    reasons = {f"{table}: {reason}": rows for table, reason, rows in counted.rows()}
    return _report(_tables(shop), shop.config.cleaning, reasons, now, shop.config.shop.name)


def _tables(shop: Workspace) -> ShopTables:
    """Like ``load_tables``, but an empty shop is a finding and not an exception."""
    events = shop.read("events")
    held = shop.read_quarantine("events")["key"].drop_nulls()
    if len(events) > len(held):
        return shop.load_tables()
    empty = cleaning.flag(events.clear(), shop.read("products"), CleaningConfig(goods_quantity=(1.0, 1.0)))
    config = shop.config
    return ShopTables(
        empty,
        shop.read("products"),
        shop.read("customers"),
        shop.read("promotions"),
        config.cleaning,
        config.clock,
        config.shop.currency,
        config.shop.timezone,
        datetime(2000, 1, 1),
    )


def _quarantine_future(shop: Workspace, now: datetime) -> None:
    events = shop.read("events").filter(pl.col(schema.TIME) > now + timedelta(days=1))
    known = shop.read_quarantine("events")["key"].drop_nulls()
    late = events.filter(~pl.col(schema.EVENT_ID).is_in(known.implode()))
    if len(late):
        rows = doubts.quarantined("events", late, "time is in the future", source="check")
        shop.quarantine("events", rows)


def _report(
    shop: ShopTables, rules: CleaningConfig, reasons: Mapping[str, int], now: datetime, name: str
) -> QualityReport:
    explanations = cleaning.detect_rules(shop.events, shop.products, rules).explanations
    checked = Checked(shop, reasons, now)
    found = [finding for one in quality_checks.CHECKS for finding in one(checked)]
    time = shop.events[schema.TIME]
    first, last = (time[0], time[-1]) if len(time) else (None, None)
    return QualityReport(
        name=name,
        findings=tuple(sorted(found, key=lambda one: -ORDER.index(one.severity))),
        counts={table: len(getattr(shop, table)) for table in schema.TABLES},
        columns={table: _columns(table, getattr(shop, table)) for table in ("products", "customers", "events")},
        rules=explanations,
        first=first,
        last=last,
        weeks=_weeks(shop),
        quarantine=dict(reasons),
    )


def _columns(table: str, frame: pl.DataFrame) -> list[ColumnReport]:
    if not len(frame):
        return []
    made = []
    identifying = {schema.EVENT_ID, schema.ATTRIBUTES, schema.CONTEXT, tables.SHELF, *schema.KEYS[table]}
    for name in frame.columns:
        column = frame[name]
        if name in identifying or name.startswith("is_"):
            continue
        if name == schema.PRICE and table == "events":  # what the models read in place of a missing price
            column = frame[tables.SHELF].alias(name)
        made.append(_column(column))
    for name, values in quality_checks.attributes(frame).items():
        made.append(_column(values.alias(f"attributes.{name}")))
    return made


def _column(column: pl.Series) -> ColumnReport:
    missing = column.null_count() / max(1, len(column))
    if isinstance(column.dtype, pl.List):
        column = column.list.join(" > ")
    distinct = column.drop_nulls().n_unique()
    last = column.name.rsplit(".", 1)[-1]
    filled = (
        column.dtype.is_numeric() or column.name.startswith("attributes.") or last in (schema.BRAND, schema.CATEGORY)
    )
    if not filled or missing == 0:
        return ColumnReport(column.name, missing, distinct, "none", "", "complete" if missing == 0 else "left as it is")
    choice = imputation.choose(column)
    value = "" if choice.value is None else f"{choice.value:.4g}" if isinstance(choice.value, float) else choice.value
    return ColumnReport(column.name, missing, distinct, choice.method, value, choice.why)


def _weeks(shop: ShopTables) -> list[tuple[str, int, int]]:
    local = pl.col(schema.TIME).dt.replace_time_zone("UTC").dt.convert_time_zone(shop.timezone)
    counted = shop.events.group_by(local.dt.truncate("1w").dt.date().alias("week")).agg(
        pl.len(), pl.col(tables.PURCHASE_FLAG).sum().alias("purchases")
    )
    return [(week.isoformat(), rows, purchases) for week, rows, purchases in counted.sort("week").rows()]
