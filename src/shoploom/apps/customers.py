"""Customers: who they are, what they did, and changes to what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from shoploom.apps.products import iso, line
from shoploom.data import schema
from shoploom.inference.engine import Engine
from shoploom.inference.state import ShopState


def customer(engine: Engine, customer_id: str, *, history: int = 50) -> dict[str, Any]:
    """What is known about a customer: attributes, totals and the latest events.

    Raises:
        NotFoundError: If the shop has never heard of the customer, or was told to forget.
    """
    served = engine.current
    state = served.state
    row = state.known_customer(customer_id)
    return {
        "model_version": served.version,
        "customer_id": customer_id,
        "attributes": state.attributes(customer_id),
        **totals(state, row),
        "history": events(state, row, most=history),
    }


def totals(state: ShopState, row: int) -> dict[str, Any]:
    """Orders, spend and dates of a customer, live events included."""
    lines = state.history(row)
    bought = lines.take(lines.purchase)
    orders = len(np.unique(np.where(bought.order >= 0, bought.order.astype(np.int64), -1 - np.arange(len(bought)))))
    return {
        "orders": orders,
        "products": len(np.unique(bought.item)),
        "spend": round(float(bought.amount.sum(dtype=np.float64)), 2),
        "first_purchase": iso(float(bought.time.min())) if len(bought) else None,
        "last_purchase": iso(float(bought.time.max())) if len(bought) else None,
        "events": len(lines),
    }


def events(state: ShopState, row: int, *, most: int) -> list[dict[str, Any]]:
    """The latest events of a customer, newest first."""
    lines = state.history(row)
    place = np.argsort(lines.time, kind="stable")[::-1][:most]
    return [
        {
            "time": iso(float(lines.time[at])),
            "type": schema.EVENT_TYPES[int(lines.kind[at])],
            "product_id": state.shop.items.ids[int(lines.item[at])],
            "title": state.catalogue.title(int(lines.item[at])),
            "quantity": round(float(lines.quantity[at]), 3),
            "amount": round(float(lines.amount[at]), 2),
            "order": int(lines.order[at]),
        }
        for at in place.tolist()
    ]


def search(engine: Engine, text: str, *, k: int) -> dict[str, Any]:
    """Customers whose id holds the text; those who bought last come first."""
    served = engine.current
    state = served.state
    table = state.facts.customer_table
    last = np.nan_to_num(table["last"], nan=-np.inf)
    ids = state.shop.customers.ids
    needle = text.strip().lower()
    rows = np.array([row for row, one in enumerate(ids) if needle in one.lower()], dtype=np.int64)
    newest = np.array([last[row] if row < len(last) else np.inf for row in rows.tolist()])
    exact = np.array([ids[row].lower() == needle for row in rows.tolist()], dtype=bool)
    place = np.lexsort((-newest, ~exact))
    rows = rows[place][:k] if len(rows) else rows
    found = [_summary(state, int(row)) for row in rows if not state.hidden.hides("customers", ids[int(row)])]
    return {"model_version": served.version, "customers": found}


def put(
    engine: Engine, customer_id: str, attributes: Mapping[str, Any], created: datetime | None = None
) -> dict[str, Any]:
    """Add a customer or replace the attributes."""
    engine.put_customer(customer_id, attributes, created)
    return customer(engine, customer_id, history=0)


def forget(engine: Engine, customer_id: str) -> dict[str, Any]:
    """Know nothing of a customer any more; recommendations become those of a stranger."""
    engine.forget_customer(customer_id)
    return {"model_version": engine.current.version, "customer_id": customer_id, "forgotten": True}


def favourites(state: ShopState, row: int, *, most: int) -> list[dict[str, Any]]:
    """The products that a customer bought on most days."""
    lines = state.history(row)
    bought = lines.take(lines.purchase)
    pairs = np.unique(np.stack([bought.item.astype(np.int64), np.floor(bought.time).astype(np.int64)]), axis=1)
    items, times = np.unique(pairs[0], return_counts=True)
    place = np.argsort(-times, kind="stable")[:most]
    return [line(state, int(items[at])) | {"times": int(times[at])} for at in place]


def _summary(state: ShopState, row: int) -> dict[str, Any]:
    table = state.facts.customer_table
    if row >= state.facts.num_customers:
        return {"customer_id": state.shop.customers.ids[row], **totals(state, row)}
    return {
        "customer_id": state.shop.customers.ids[row],
        "orders": int(table["orders"][row]),
        "spend": round(float(table["spend"][row]), 2),
        "last_purchase": iso(float(table["last"][row])),
        "live_events": state.live.count(row),
    }
