"""Products: lists of them, one of them, what is like it, and changes to the catalogue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from shoploom.data import schema
from shoploom.data.arrays import moment_of
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState


def iso(day: float | None) -> str | None:
    """A day as an ISO moment in UTC; None for NaN.

    Example:
        >>> iso(0.5), iso(float("nan"))
        ('1970-01-01T12:00:00Z', None)
    """
    if day is None or day != day:
        return None
    return moment_of(round(day * 86_400) / 86_400).isoformat(timespec="seconds") + "Z"


def line(state: ShopState, row: int) -> dict[str, Any]:
    """A product as lists show it; ``price`` is the catalogue's, else the usual shelf price."""
    found = state.catalogue.line(row)
    if found[schema.PRICE] is None:
        found[schema.PRICE] = shelf_price(state, row)
    return found


def shelf_price(state: ShopState, row: int) -> float | None:
    """Median shelf price over all priced sales; None without one."""
    prices = state.facts.shelf_price
    return round(float(prices[row]), 2) if row < len(prices) and not np.isnan(prices[row]) else None


def popular(engine: Engine, *, k: int, days: float, filters: Filters) -> dict[str, Any]:
    """What was in most baskets of the last days."""
    served = engine.current
    items, scores = served.popular(k=k, days=days, filters=filters)
    found = [line(served.state, row) | {"baskets": int(score)} for row, score in zip(items, scores, strict=True)]
    return {"model_version": served.version, "as_of": iso(served.state.now()), "days": days, "items": found}


def latest(engine: Engine, *, k: int, filters: Filters) -> dict[str, Any]:
    """The newest products."""
    served = engine.current
    items, days = served.latest(k=k, filters=filters)
    found = [line(served.state, row) | {"since": iso(day)} for row, day in zip(items, days, strict=True)]
    return {"model_version": served.version, "items": found}


def similar(engine: Engine, product_id: str, *, k: int, filters: Filters) -> dict[str, Any]:
    """Products like a product."""
    served = engine.current
    row = served.state.known_product(product_id)
    return {"model_version": served.version, "product_id": product_id, **_similar(served, row, k, filters)}


def product(engine: Engine, product_id: str, *, similar_k: int = 10) -> dict[str, Any]:
    """Everything about a product: catalogue, sales, price and similar products."""
    served = engine.current
    state = served.state
    row = state.known_product(product_id)
    return {
        "model_version": served.version,
        **_catalogue(state, row),
        "hidden": state.hidden.hides("products", product_id),
        "sales": sales(state, row),
        "similar": _similar(served, row, similar_k, Filters())["items"],
    }


def search(engine: Engine, text: str, *, k: int) -> dict[str, Any]:
    """Products whose id, title, brand or category holds all words; the best sellers without a text."""
    served = engine.current
    state = served.state
    if text.strip():
        items = state.catalogue.search(text, k)
    else:
        items, _ = served.popular(k=k, days=28.0, filters=Filters())
    buyers = state.facts.buyers()
    found = [line(state, row) | {"baskets": int(buyers[row]) if row < len(buyers) else 0} for row in items]
    return {"model_version": served.version, "items": found}


def put(engine: Engine, product_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Add a product or change the columns that are given; it can be recommended at once."""
    columns = {name: value for name, value in values.items() if value is not None}
    if schema.ATTRIBUTES in columns:
        columns[schema.ATTRIBUTES] = json.dumps(columns[schema.ATTRIBUTES], ensure_ascii=False)
    served = engine.current
    if product_id not in served.state.shop.items:
        columns.setdefault(schema.CREATED, datetime.now(UTC).replace(tzinfo=None))
    engine.put_product(product_id, columns)
    row = served.state.known_product(product_id)
    return {"model_version": served.version, **_catalogue(served.state, row)}


def hide(engine: Engine, product_id: str) -> dict[str, Any]:
    """Never recommend a product again, until it is PUT anew."""
    engine.hide_product(product_id)
    return {"model_version": engine.current.version, "product_id": product_id, "hidden": True}


def sales(state: ShopState, row: int) -> dict[str, Any]:
    """How a product sold: pieces, lines, buyers, first and last day."""
    lines = state.facts.lines
    rows = state.facts.lines_of_item(row)
    rows = rows[lines.goods[rows]]
    buyers = state.facts.buyers()
    return {
        "pieces": float(lines.quantity[rows].sum()),
        "revenue": round(float(lines.amount[rows].sum()), 2),
        "customers": len(state.facts.customers_of(row)),
        "baskets_28_days": int(buyers[row]) if row < len(buyers) else 0,
        "first": iso(float(lines.time[rows].min())) if len(rows) else None,
        "last": iso(float(lines.time[rows].max())) if len(rows) else None,
        "live": state.live.items_sold.get(row, 0),
    }


def _catalogue(state: ShopState, row: int) -> dict[str, Any]:
    found = state.catalogue.row(row)
    created = found.pop(schema.CREATED)
    return found | {
        schema.TITLE: state.catalogue.title(row),
        "shelf_price": shelf_price(state, row),
        schema.CREATED: created.isoformat(timespec="seconds") + "Z" if created else None,
    }


def _similar(served: Served, row: int, k: int, filters: Filters) -> dict[str, Any]:
    found = served.similar(row, k=k, filters=filters)
    items = [line(served.state, item) | {"score": score} for item, score in zip(found.items, found.scores, strict=True)]
    return {"basis": found.basis, "items": items}
