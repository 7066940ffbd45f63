"""Recommendations for one customer, arranged by the shop's rules, with reasons that can be checked."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from shoploom.apps.products import iso, line
from shoploom.data import schema
from shoploom.errors import UsageError
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.live import day_at
from shoploom.inference.rerank import Arrangement, Wishes
from shoploom.inference.rules import BOUGHT
from shoploom.inference.served import Recommendation, Served
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
    wishes: Wishes | None = None,
    request_id: str | None = None,
    log: bool = False,
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
        wishes: Rules and settings beside the shop's own.
        request_id: What exploration is drawn from and impressions are logged with; the same one gets the same list.
            None: nothing is explored unless ``wishes`` say so, since nobody could tell the list apart later.
        log: Whether the items are written to the event log as impressions, with position and propensity.

    Raises:
        UsageError: If rules contradict each other or cannot be kept.
    """
    served = engine.current
    state = served.state
    if repeats == "allow" and wishes is not None and wishes.rules.excludes(BOUGHT):
        raise UsageError("repeats=allow contradicts exclude=bought; keep one of them")
    arrangement, request_id = _arrangement(engine, wishes, customer_id, request_id, log)
    when = None if at is None else day_at(at)
    found = served.recommend(customer_id, k=k, when=when, repeats=repeats, filters=filters, arrangement=arrangement)
    items = [
        line(state, row) | {"score": round(score, 6)} for row, score in zip(found.items, found.scores, strict=True)
    ]
    if explain:
        for item, reasons in zip(items, served.explain(customer_id, found), strict=True):
            item["reasons"] = [{"code": one.code, "text": one.text, **one.values} for one in reasons]
    answer: dict[str, Any] = {
        "model_version": served.version,
        "customer_id": customer_id,
        "served_by": found.served_by,
        "cold_start": found.cold_start,
        "filled_with_popular": found.filled,
        "fallback": found.fallback,
        "reason": found.reason,
        "as_of": iso(found.when),
        "items": items,
    }
    if found.applied is not None:
        answer["rules"] = asdict(found.applied)
    if arrangement.explore or log:
        answer["request_id"] = request_id
        for place, item in enumerate(items):
            item |= {schema.POSITION: place + 1, schema.PROPENSITY: _propensity(found, place)}
    if log:
        answer["logged"] = engine.observe(_impressions(served, found, customer_id, str(request_id))).accepted
    return answer


def _arrangement(
    engine: Engine, wishes: Wishes | None, customer_id: str | None, request_id: str | None, log: bool
) -> tuple[Arrangement, str | None]:
    """What to do with the ranking, and the id of the request, made up where it is needed."""
    config = engine.workspace.config.recommend
    if request_id is None and (log or (wishes is not None and wishes.explore)):
        request_id = uuid.uuid4().hex
    if request_id is None and config.explore:
        wishes = Wishes(explore=0.0) if wishes is None else replace(wishes, explore=0.0)
    return Arrangement.of(config, wishes, seed=f"{request_id}\n{customer_id}"), request_id


def _propensity(found: Recommendation, place: int) -> float:
    return 1.0 if found.propensities is None else found.propensities[place]


def _impressions(
    served: Served, found: Recommendation, customer_id: str | None, request_id: str
) -> Sequence[dict[str, Any]]:
    """One event per item; the same request with the same list has the same events, which are kept once."""
    known = customer_id is not None and not served.state.hidden.hides("customers", customer_id)
    events = []
    for place, row in enumerate(found.items):
        product = served.state.shop.items.ids[row]
        key = "\n".join([request_id, str(customer_id), str(place), product])
        events.append(
            {
                schema.EVENT_ID: f"shown-{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}",
                schema.TYPE: schema.IMPRESSION,
                schema.PRODUCT: product,
                schema.REQUEST: request_id,
                schema.POSITION: place + 1,
                schema.PROPENSITY: _propensity(found, place),
                schema.CONTEXT: {"model_version": served.version, "served_by": found.served_by},
            }
            | ({schema.CUSTOMER: customer_id} if known else {})
        )
    return events
