"""One live event, typed and checked in C (msgspec): at most a microsecond per event, and errors name the field."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import polars as pl

from shoploom.data import doubts, schema
from shoploom.errors import SchemaError, unknown_name

EventType = Literal[
    "impression", "search", "view", "click", "add_to_cart", "remove_from_cart", "purchase", "rating", "refund"
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class LiveEvent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The canonical ``events`` columns as a typed object; a purchase without a quantity is of one piece."""

    type: EventType
    product_id: Text | None = None
    event_id: Text | None = None
    time: datetime | None = None
    customer_id: Text | None = None
    session_id: Text | None = None
    order_id: Text | None = None
    store_id: Text | None = None
    quantity: NotNegative | None = None
    price: NotNegative | None = None
    amount: NotNegative | None = None
    discount: NotNegative | None = None
    query: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    position: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    request_id: Text | None = None
    propensity: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    context: dict[str, Any] | None = None


_T = TypeVar("_T")
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(LiveEvent)
_BATCH: msgspec.json.Decoder[list[LiveEvent]] = msgspec.json.Decoder(list[LiveEvent])


def validated(events: Sequence[Mapping[str, Any]]) -> list[LiveEvent]:
    """Typed events of dicts.

    Raises:
        SchemaError: Naming the event's number and the field.
    """
    try:
        return msgspec.convert(events, list[LiveEvent])
    except msgspec.ValidationError as error:
        raise SchemaError(_explained(str(error), events)) from error


def decode_batch(body: bytes) -> list[LiveEvent]:
    """Typed events of a JSON array, without making dicts on the way.

    Raises:
        SchemaError: If it is no JSON, or naming the event's number and the field.
    """
    try:
        return _BATCH.decode(body)
    except msgspec.ValidationError as error:
        with suppress(msgspec.DecodeError):  # the message is raised before the rest of the body is read
            raise SchemaError(_explained(str(error), msgspec.json.decode(body))) from error
        raise SchemaError(f"the events are no JSON array: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"the events are no JSON array: {error}") from error


def encode(events: Sequence[LiveEvent]) -> list[tuple[str, bytes]]:
    """Id and JSON of each event, with time, id and amount filled in; the given events stay as they are.

    Raises:
        SchemaError: If an event lacks its product or has an impossible time.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    seen: dict[str, int] = {}
    rows = []
    for number, event in enumerate(events):
        if event.product_id is None and event.type != "search":
            raise SchemaError(f"event {number}: field 'product_id' is missing; a {event.type} needs one")
        if event.time is None or event.time.tzinfo is not None or event.amount is None or event.event_id is None:
            event = _completed(event, number, now, seen)
        elif not doubts.EARLIEST <= event.time < doubts.LATEST:
            raise _bad_time(number, event.time)
        assert event.event_id is not None
        rows.append((event.event_id, _ENCODER.encode(event)))
    return rows


def decode_rows(bodies: Sequence[bytes]) -> list[LiveEvent]:
    """The inverse of ``encode``."""
    return [_DECODER.decode(body) for body in bodies]


def to_frame(events: Sequence[LiveEvent]) -> pl.DataFrame:
    """Canonical events of typed ones; times must be naive UTC, as ``encode`` leaves them."""
    columns: dict[str, list[Any]] = {name: [getattr(event, name) for event in events] for name in schema.EVENTS}
    columns[schema.CONTEXT] = [_json(event.context) for event in events]
    return pl.DataFrame(columns, schema=schema.EVENTS)


def _completed(event: LiveEvent, number: int, now: datetime, seen: dict[str, int]) -> LiveEvent:
    event = msgspec.structs.replace(event)
    given = event.time
    if given is None:
        event.time = now
    elif given.tzinfo is not None:
        try:
            event.time = given.astimezone(UTC).replace(tzinfo=None)
        except OverflowError as error:
            raise _bad_time(number, given) from error
    assert event.time is not None
    if not doubts.EARLIEST <= event.time < doubts.LATEST:
        raise _bad_time(number, event.time)
    if event.amount is None and event.price is not None:
        event.amount = event.price * (1.0 if event.quantity is None else event.quantity)
    if event.event_id is None:
        event.event_id = _content_id(event, seen) if given is not None else uuid.uuid4().hex
    return event


def _content_id(event: LiveEvent, seen: dict[str, int]) -> str:
    key = hashlib.blake2b(_ENCODER.encode(event), digest_size=12).hexdigest()
    number = seen.get(key, 0)
    seen[key] = number + 1
    return key if number == 0 else f"{key}-{number}"


def _bad_time(number: int, time: datetime) -> SchemaError:
    return SchemaError(
        f"event {number}: field 'time' is {time.isoformat()}; wanted a moment from {doubts.EARLIEST.year} to "
        f"{doubts.LATEST.year - 1}, ISO 8601 in UTC, such as 2024-05-01T10:00:00Z"
    )


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _explained(message: str, events: object) -> str:
    """Msgspec's message with event number, field and value put first."""
    text, _, place = message.partition(" - at `$")
    number, _, field = place.rstrip("`").lstrip("[").partition("]")
    field = field.lstrip(".").split(".")[0].split("[")[0]
    prefix = f"event {number}: " if number.isdigit() else ""
    given = _given(events, number, field)
    if field == "type" and isinstance(given, str):
        return f"{prefix}field 'type': {unknown_name('event type', given, schema.EVENT_TYPES)}"
    if field:
        return f"{prefix}field {field!r} is {given!r}; {text[:1].lower()}{text[1:]}"
    return f"{prefix}{text[:1].lower()}{text[1:]}; the fields are {', '.join(schema.EVENTS)}"


def _given(events: object, number: str, field: str) -> object:
    if isinstance(events, list | tuple) and number.isdigit() and field:
        event = events[int(number)]
        if isinstance(event, Mapping):
            return event.get(field)
    return None
