"""What lists of products are looked up in, counted once per shop when first asked for, and fed with live events."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import polars as pl

from shoploom.data import atomic, schema, segments
from shoploom.data.arrays import F64
from shoploom.data.keys import Rows
from shoploom.inference.customer_groups import CustomerGroups
from shoploom.inference.live import day_at
from shoploom.inference.local_time import local_day
from shoploom.inference.promotions import Running
from shoploom.inference.rhythm import Rhythm
from shoploom.inference.state import ShopState
from shoploom.inference.together import Together
from shoploom.inference.transitions import TOUCHES, Trails, Transitions, visits
from shoploom.inference.visitors import TOUCH_TYPES, Touch

if TYPE_CHECKING:
    from shoploom.data.workspace import Workspace

T = TypeVar("T")
_PURCHASE = schema.EVENT_TYPES.index(schema.PURCHASE)


class ListTables:
    """The tables of one shop in memory. May be used from several threads.

    Args:
        state: The shop.
        workspace: Where its events lie, for their sessions.
    """

    def __init__(self, state: ShopState, workspace: Workspace) -> None:
        self.state = state
        self._workspace = workspace
        self._made: dict[str, object] = {}
        self._arrived: deque[Touch] = deque()
        self._arrivals: tuple[tuple[int, int], Rows, F64] | None = None
        self._running: tuple[int, Running] | None = None
        self._lock = threading.RLock()

    @property
    def together(self) -> Together:
        """What is bought together."""
        return self._get("together", self._make_together)

    @property
    def transitions(self) -> Transitions:
        """What follows what in a visit."""
        return self._get("transitions", self._make_transitions)

    @property
    def rhythm(self) -> Rhythm:
        """When products are bought again."""
        return self._get("rhythm", lambda: Rhythm.of(self.state.shop))

    @property
    def groups(self) -> CustomerGroups:
        """Who buys alike."""
        return self._get("groups", lambda: CustomerGroups.of(self.state.shop))

    def arrivals(self) -> tuple[Rows, F64]:
        """All products whose day of arrival is known, the newest first, and that day."""
        state = self.state
        key = (state.generation, len(state.catalogue))
        kept = self._arrivals
        if kept is None or kept[0] != key:
            day = np.full(key[1], np.nan)
            day[: state.facts.num_items] = state.facts.created
            late = state.catalogue.frame[schema.CREATED][state.facts.num_items : key[1]]
            given = late.dt.epoch("us").cast(pl.Float64).fill_null(float("nan")).to_numpy() / 86_400e6
            day[state.facts.num_items :] = np.where(np.isnan(given), state.now(), given)
            rows = np.flatnonzero(~np.isnan(day))
            rows = rows[np.lexsort((-rows, -day[rows]))]
            kept = self._arrivals = key, rows, day[rows]
        return kept[1], kept[2]

    def running(self, when: float) -> Running:
        """The promotions of the hour in which a moment lies."""
        hour = int(np.floor(when * 24 + 1e-6))
        kept = self._running
        if kept is None or kept[0] != hour:
            kept = self._running = hour, Running.at(self.state.shop.plan, hour / 24)
        return kept[1]

    def warm(self) -> None:
        """Count everything now, so that no visitor waits for it."""
        _ = self.together, self.transitions, self.rhythm, self.groups
        self.arrivals()
        self.running(self.state.now())

    def observe(self, touches: Iterable[Touch]) -> None:
        """Count live events, as soon as nobody counts bulk data."""
        self._arrived.extend(touches)
        if self._arrived and self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def _get(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._made:
            with self._lock:
                if name not in self._made:
                    self._settle()  # what arrived so far is among what a new table is made from
                    self._made[name] = make()
        return cast(T, self._made[name])

    def _settle(self) -> None:
        while self._arrived:
            self._count(self._arrived.popleft())

    def _count(self, touch: Touch) -> None:
        state = self.state
        item = state.shop.items.row(touch.product)
        if item < 0:
            return
        customer = -1 if touch.customer is None else state.customer(touch.customer)
        day = local_day(day_at(touch.time), state.shop.timezone)
        together, transitions = self._made.get("together"), self._made.get("transitions")
        if isinstance(together, Together) and touch.type == schema.PURCHASE:
            together.observe(item, customer=customer, order=touch.order, day=day)
        sequence = touch.session or touch.order or ((customer, day) if customer >= 0 else None)
        if isinstance(transitions, Transitions) and sequence is not None:
            transitions.observe(sequence, item)

    def _make_together(self) -> Together:
        state = self.state
        together = Together.of(state.shop)
        for customer in list(state.live):
            lines = state.live[customer]
            for at in np.flatnonzero(lines.kind == _PURCHASE).tolist():
                order = f"live {lines.order[at]}" if lines.order[at] >= 0 else None
                day = local_day(float(lines.time[at]), state.shop.timezone)
                together.observe(int(lines.item[at]), customer=customer, order=order, day=day)
        return together

    def _make_transitions(self) -> Transitions:
        """From sessions and views; where the shop has none, what is bought together is the best guess."""
        state = self.state
        sessions = sessions_of(self._workspace, state)
        kinds = state.shop.lines.kind
        if not len(sessions.item) and not np.isin(kinds[kinds != _PURCHASE], TOUCHES).any():
            return Transitions(self.together.table.sibling())
        return Transitions.of(visits(state.shop).join(sessions), len(state.shop.items))


def sessions_of(workspace: Workspace, state: ShopState) -> Trails:
    """The touches in a workspace whose events name a session; those of forgotten customers are left out."""
    columns = [schema.SESSION, schema.CUSTOMER, schema.TYPE, schema.PRODUCT, schema.TIME]
    paths = segments.every(workspace.store_dir / "events")
    frames = [workspace.event_log.tail().select(columns)]
    for path in paths:
        if atomic.read_parquet(path, [schema.SESSION])[schema.SESSION].null_count() < atomic.count_rows(path):
            frames.append(atomic.read_parquet(path, columns))
    forgotten = pl.Series(sorted(state.hidden.customers), dtype=pl.Utf8).implode()
    events = pl.concat(frames).filter(
        pl.col(schema.SESSION).is_not_null(),
        pl.col(schema.PRODUCT).is_not_null(),
        pl.col(schema.TYPE).is_in(TOUCH_TYPES),
        ~pl.col(schema.CUSTOMER).is_in(forgotten).fill_null(value=False),
    )
    item = state.shop.items.rows(events[schema.PRODUCT]).astype(np.int64)
    sequence = events[schema.SESSION].rank("dense").to_numpy().astype(np.int64) - 1
    time = events[schema.TIME].dt.epoch("us").to_numpy() / 86_400e6
    known = item >= 0
    return Trails(sequence[known], item[known], time[known])
