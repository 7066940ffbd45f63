"""Events: the shop tells what happened; durable and known to the next answer when this returns."""

from __future__ import annotations

from typing import Any

import msgspec

from shoploom.data.live_event import LiveEvent, decode_batch
from shoploom.errors import SchemaError
from shoploom.inference.engine import Engine

MAX_EVENTS = 20_000


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: msgspec.Raw


def decode(body: bytes) -> list[LiveEvent]:
    """Events of a JSON body: a list, one event, or ``{"events": [...]}``.

    Raises:
        SchemaError: Naming the event's number and the field.

    Example:
        >>> [event.product_id for event in decode(b'{"type": "view", "product_id": "tea"}')]
        ['tea']
    """
    text = body.strip()
    if text.startswith(b"{"):
        batch = text[1:].lstrip().startswith(b'"events"')
        text = bytes(msgspec.json.decode(text, type=_Batch).events) if batch else b"[" + text + b"]"
    events = decode_batch(text)
    if not events:
        raise SchemaError("the list of events is empty; send at least one")
    if len(events) > MAX_EVENTS:
        raise SchemaError(f"{len(events):,} events in one request; send at most {MAX_EVENTS:,}")
    return events


def observe(engine: Engine, events: list[LiveEvent]) -> dict[str, Any]:
    """Write events to the log and let the next answer know them."""
    acknowledged = engine.observe_typed(events)
    return {
        "model_version": engine.version,
        "accepted": acknowledged.accepted,
        "repeated": acknowledged.repeated,
    }
