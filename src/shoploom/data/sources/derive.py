"""Products and customers that only the event lines know: titles, categories, and attributes that never change.

Derived rows fill gaps; they never overwrite what a catalogue says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from shoploom.data import schema
from shoploom.data.sources import convert, framing, roles

CONSTANT_SHARE = 0.98
"""An attribute belongs to customers (products) if so many rows agree with its usual value."""

MOST_VALUES = 100
"""Attributes of customers with more values are names or addresses, no attributes."""


def products(lines: pl.DataFrame, events: pl.DataFrame, columns: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """One row per product of the lines, with the value that most of its lines have.

    Args:
        lines: The raw frame.
        events: Its canonical rows, same length.
        columns: Role -> columns of ``lines``.
    """
    fields = {role: columns[role] for role in roles.PRODUCT_FIELDS if role in columns}
    made = framing.product_fields(fields, lambda name: lines[name])
    ids = events[schema.PRODUCT]
    result = pl.DataFrame({schema.PRODUCT: ids.drop_nulls().unique(maintain_order=True)})
    for role, values in made.items():
        result = result.join(_usual(ids, values.alias(role)), on=schema.PRODUCT, how="left", maintain_order="left")
    return schema.conform("products", result)


def owner(key: pl.Series, column: pl.Series) -> bool:
    """Whether a column is constant within each key, judged by the keys with several rows.

    Example:
        >>> owner(pl.Series(["a", "a", "b", "b"] * 9), pl.Series(["UK", "UK", "DE", "DE"] * 9))
        True
    """
    frame = pl.DataFrame({"key": key, "value": convert.text(column)}).drop_nulls()
    counts = (
        frame.group_by("key", "value")
        .len()
        .group_by("key")
        .agg(pl.col("len").max().alias("usual"), pl.col("len").sum())
    )
    counts = counts.filter(pl.col("len") > 1)
    return len(counts) > 1 and int(counts["usual"].sum()) >= CONSTANT_SHARE * int(counts["len"].sum())


def owners(lines: pl.DataFrame, events: pl.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """Columns of the lines by what they are attributes of: ``customers``, ``products`` or, else, ``events``."""
    found: dict[str, list[str]] = {"customers": [], "products": [], "events": []}
    for name in names:
        distinct = convert.text(lines[name]).n_unique()
        if distinct <= MOST_VALUES and owner(events[schema.CUSTOMER], lines[name]):
            found["customers"].append(name)
        elif owner(events[schema.PRODUCT], lines[name]):
            found["products"].append(name)
        else:
            found["events"].append(name)
    return found


def attributes(lines: pl.DataFrame, ids: pl.Series, names: Sequence[str], table: str) -> pl.DataFrame:
    """One row per customer or product with the usual values of some columns."""
    key = schema.KEYS[table][0]
    result = pl.DataFrame({key: ids.drop_nulls().unique(maintain_order=True)})
    for name in names:
        usual = _usual(ids.alias(key), convert.text(lines[name]).alias(f"value.{name}"))
        result = result.join(usual, on=key, how="left", maintain_order="left")
    encoded = convert.json_object({name: result[f"value.{name}"] for name in names})
    return schema.conform(table, result.select(key).with_columns(encoded.alias(schema.ATTRIBUTES)))


def _usual(ids: pl.Series, values: pl.Series) -> pl.DataFrame:
    """Per id the most frequent value; of equally frequent ones the first in the file."""
    frame = pl.DataFrame([ids, values]).drop_nulls()
    nested = isinstance(values.dtype, pl.List)
    if nested:
        frame = frame.with_columns(pl.col(values.name).list.join("\x1f"))
    counts = frame.group_by(ids.name, values.name, maintain_order=True).len()
    usual = counts.sort("len", descending=True, maintain_order=True).unique(ids.name, keep="first", maintain_order=True)
    if nested:
        usual = usual.with_columns(pl.col(values.name).str.split("\x1f"))
    return usual.select(ids.name, values.name)
