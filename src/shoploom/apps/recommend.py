"""Recommendations for one customer, with reasons that can be checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shoploom.apps.products import iso, line
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.live import day_at
from shoploom.tasks.base import Repeats


def recommend(
    engine: Engine,
    customer_id: str | None,
    *,
    k: int = 20,
    at: datetime | None = None,
    repeats: Repeats = "auto",
    filters: Filters | None = None,
    explain: bool = True,
) -> dict[str, Any]:
    """A ranked list for a customer's next visit.

    Args:
        engine: The serving engine.
        customer_id: None or an unknown id: everybody's favourites, marked ``cold_start``.
        k: Length of the list.
        at: Moment of the visit; None: now, or where the data end if they are old.
        repeats: ``exclude`` leaves out what the customer bought; ``auto`` lets the model decide.
        filters: Category, stock, products to leave out.
        explain: Whether each item says why.
    """
    served = engine.current
    state = served.state
    when = None if at is None else day_at(at)
    found = served.recommend(customer_id, k=k, when=when, repeats=repeats, filters=filters)
    items = [
        line(state, row) | {"score": round(score, 6)} for row, score in zip(found.items, found.scores, strict=True)
    ]
    if explain:
        for item, reasons in zip(items, served.explain(customer_id, found), strict=True):
            item["reasons"] = [{"code": one.code, "text": one.text, **one.values} for one in reasons]
    return {
        "model_version": served.version,
        "customer_id": customer_id,
        "served_by": found.served_by,
        "cold_start": found.cold_start,
        "filled_with_popular": found.filled,
        "as_of": iso(found.when),
        "items": items,
    }
