"""Rows that cannot be true: what is checked of every row before it enters the store, and the reason in words.

The event log checks the same of live events (``data.eventlog``), there with an error that names the field.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from shoploom.data import schema

EARLIEST, LATEST = datetime(1990, 1, 1), datetime(2100, 1, 1)
"""Moments outside are unset or garbled clocks; 1970-01-01 is a favourite."""

QUARANTINE = {
    "table": pl.Utf8,
    "key": pl.Utf8,  # the row's id, where it has one
    "reason": pl.Utf8,
    "source": pl.Utf8,
    "row": pl.Int64,  # row number in the source, from 1, where known
    "found": pl.Utf8,  # the row as JSON
}


def reasons(table: str) -> list[tuple[str, pl.Expr]]:
    """Pairs of a reason and the expression that is true for rows in doubt, of a canonical frame."""
    return {
        "events": _events,
        "products": _products,
        "customers": lambda: [("customer_id is missing", _blank(schema.CUSTOMER)), _attributes()],
        "promotions": _promotions,
    }[table]()


def split(table: str, frame: pl.DataFrame, *, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows to keep, and rows in doubt as a quarantine table. The first reason that fits is given."""
    reason: pl.Expr = pl.lit(None, dtype=pl.Utf8)
    for text, doubtful in reversed(reasons(table)):
        reason = pl.when(doubtful.fill_null(value=False)).then(pl.lit(text)).otherwise(reason)
    found = frame.select(reason=reason)["reason"]
    bad = found.is_not_null()
    if not bad.any():
        return frame, pl.DataFrame(schema=QUARANTINE)
    return frame.filter(~bad), quarantined(table, frame.filter(bad), found.filter(bad), source=source)


def quarantined(
    table: str, frame: pl.DataFrame, reason: pl.Series | str, *, source: str, row: pl.Series | None = None
) -> pl.DataFrame:
    """Rows in the form of the quarantine table."""
    key = schema.KEYS[table][0]
    return pl.DataFrame(
        {
            "table": [table] * len(frame),
            "key": frame[key] if key in frame.columns else [None] * len(frame),
            "reason": reason if isinstance(reason, pl.Series) else [reason] * len(frame),
            "source": [source] * len(frame),
            "row": row if row is not None else [None] * len(frame),
            "found": frame.select(pl.struct(pl.all()).struct.json_encode()).to_series(),
        },
        schema=QUARANTINE,
        strict=False,
    )


def _blank(name: str) -> pl.Expr:
    return pl.col(name).is_null() | (pl.col(name) == "")


def _below_zero(name: str) -> tuple[str, pl.Expr]:
    return f"{name} is negative or no number", (pl.col(name) < 0) | ~pl.col(name).is_finite()


def _attributes() -> tuple[str, pl.Expr]:
    return "attributes are no JSON object", ~pl.col(schema.ATTRIBUTES).str.starts_with("{")


def _events() -> list[tuple[str, pl.Expr]]:
    types = ", ".join(schema.EVENT_TYPES)
    return [
        ("time is missing", pl.col(schema.TIME).is_null()),
        (f"time is before {EARLIEST.year} or after {LATEST.year}", ~pl.col(schema.TIME).is_between(EARLIEST, LATEST)),
        (f"type is none of {types}", ~pl.col(schema.TYPE).is_in(schema.EVENT_TYPES).fill_null(value=False)),
        ("product_id is missing", _blank(schema.PRODUCT) & (pl.col(schema.TYPE) != "search")),
        ("quantity is negative or no number; a return is of type refund", _below_zero(schema.QUANTITY)[1]),
        _below_zero(schema.PRICE),
        _below_zero(schema.AMOUNT),
        _below_zero(schema.DISCOUNT),
        ("propensity is not in (0, 1]", (pl.col(schema.PROPENSITY) <= 0) | (pl.col(schema.PROPENSITY) > 1)),
    ]


def _products() -> list[tuple[str, pl.Expr]]:
    return [("product_id is missing", _blank(schema.PRODUCT)), _below_zero(schema.PRICE), _attributes()]


def _promotions() -> list[tuple[str, pl.Expr]]:
    start, end = pl.col(schema.START), pl.col(schema.END)
    return [
        ("product_id is missing", _blank(schema.PRODUCT)),
        ("start or end is missing", start.is_null() | end.is_null()),
        ("end is not after start", end <= start),
        ("share is not in [0, 1]", ~pl.col(schema.SHARE).is_between(0, 1)),
    ]
