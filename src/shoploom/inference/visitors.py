"""What visitors touch right now, by session: read from the event log, so that also events of other processes count.

The next request knows them; a restart does not forget them. Bounded in memory. Knows products by their ids only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from shoploom.data import schema
from shoploom.data.eventlog import EventLog
from shoploom.inference.transitions import REMEMBERED

TOUCH_TYPES = ("view", "click", "add_to_cart", schema.PURCHASE, "rating")
MOST_SESSIONS = 50_000
LOOKED_BACK = 50_000
"""Events of the log that are read at the start."""


@dataclass(frozen=True)
class Touch:
    """One live event by which somebody showed interest in a product."""

    product: str
    type: str
    time: datetime
    customer: str | None
    session: str | None
    order: str | None


@dataclass
class _Visit:
    customer: str | None = None
    products: list[str] = field(default_factory=list)


class Visitors:
    """The sessions of the newest events. May be used from several threads.

    Args:
        log: Where live events are written.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._visits: OrderedDict[str, _Visit] = OrderedDict()
        self._lock = threading.Lock()
        self._offset = max(0, log.offset - LOOKED_BACK)

    def follow(self) -> list[Touch]:
        """Take in what the log holds since the last look; returns the touches among it, oldest first."""
        if self._log.offset == self._offset:
            return []
        with self._lock:
            events, self._offset = self._log.read_since(self._offset)
            touches = list(_touches(events.select(_COLUMNS).rows())) if len(events) else []
            for touch in touches:
                self._note(touch)
        return touches

    def products(self, session: str) -> list[str]:
        """Products that a session touched, oldest first; none for a session that is unknown or long gone."""
        with self._lock:
            visit = self._visits.get(session)
            return list(visit.products) if visit else []

    def customer(self, session: str) -> str | None:
        """Whom the events of a session named, if anybody."""
        with self._lock:
            visit = self._visits.get(session)
            return visit.customer if visit else None

    def _note(self, touch: Touch) -> None:
        if touch.session is None:
            return
        visit = self._visits.setdefault(touch.session, _Visit())
        self._visits.move_to_end(touch.session)
        visit.customer = touch.customer or visit.customer
        visit.products.append(touch.product)
        del visit.products[: -2 * REMEMBERED]
        if len(self._visits) > MOST_SESSIONS:
            self._visits.popitem(last=False)


_COLUMNS = (schema.PRODUCT, schema.TYPE, schema.TIME, schema.CUSTOMER, schema.SESSION, schema.ORDER)


def _touches(rows: list[tuple[str | None, str, datetime, str | None, str | None, str | None]]) -> Iterator[Touch]:
    for product, kind, time, customer, session, order in rows:
        if product is not None and kind in TOUCH_TYPES:
            yield Touch(product, kind, time, customer, session, order)
