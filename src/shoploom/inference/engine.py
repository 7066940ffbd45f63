"""The engine: one workspace's serving version in memory, fresh events included; versions are swapped while it runs.

Answers come from ``engine.current`` (a ``Served``), so that one request sees one version from start to end.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoploom.data import hidden, schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.eventlog import Acknowledged
from shoploom.data.hidden import Hidden
from shoploom.data.live_event import LiveEvent, validated
from shoploom.data.tables import ShopTables
from shoploom.ensemble.fused import Fused
from shoploom.errors import NotReadyError
from shoploom.inference.live import columns_of
from shoploom.inference.served import Served
from shoploom.inference.similar import HasItemVectors
from shoploom.inference.state import ShopState
from shoploom.registry import Registry
from shoploom.tasks.base import Cases

if TYPE_CHECKING:
    from shoploom.data.workspace import Workspace

SHARED = "shared"


class Engine:
    """Loads, swaps and feeds the version that serves.

    Args:
        workspace: Where data and versions lie.
        max_ms: Milliseconds that an ensemble may take per answer, whatever version serves; None or 0: no limit.

    Attributes:
        dropped: By task, how often an answer came without a member, by member and reason; over all versions.

    Example:
        >>> engine = Engine.load(workspace)  # doctest: +SKIP
        >>> engine.current.recommend("42", k=5).items  # doctest: +SKIP
    """

    def __init__(self, workspace: Workspace, *, max_ms: float | None = None) -> None:
        self.workspace = workspace
        self.max_ms = max_ms or None
        self.dropped: dict[str, Counter[tuple[str, str]]] = {}
        self.registry = Registry(workspace.models_dir)
        self.hidden = Hidden(workspace.store_dir / hidden.FILE)
        self._served: Served | None = None
        self._swapping = threading.Lock()
        self._feeding = threading.RLock()
        self._arrived: deque[Sequence[LiveEvent]] = deque()

    @classmethod
    def load(cls, workspace: Workspace, version: str | None = None) -> Engine:
        """An engine that serves a version, by default the champion.

        Raises:
            NotReadyError: If nothing was promoted yet.
            NotFoundError: If there is no such version.
        """
        engine = cls(workspace)
        engine.switch(version or engine.champion())
        return engine

    @property
    def ready(self) -> bool:
        """Whether a version is loaded."""
        return self._served is not None

    @property
    def version(self) -> str | None:
        """Name of the version that answers now, None without one."""
        return None if self._served is None else self._served.version

    @property
    def current(self) -> Served:
        """The version that answers now; it knows every event that was acknowledged.

        Raises:
            NotReadyError: If none is loaded.
        """
        if self._arrived:
            self.settle()
        if self._served is None:
            raise NotReadyError("no model version serves yet; run `shoploom train`, then `shoploom promote VERSION`")
        return self._served

    def champion(self) -> str:
        """Name of the champion.

        Raises:
            NotReadyError: If nothing was promoted yet.
        """
        name = self.registry.champion()
        if name is None:
            raise NotReadyError("no model version is promoted; run `shoploom train`, then `shoploom promote VERSION`")
        return name

    def follow_champion(self) -> bool:
        """Load the champion if another version serves; says whether anything changed."""
        name = self.registry.champion()
        if name is None or (self._served is not None and self._served.version == name):
            return False
        self.switch(name)
        return True

    def promote(self, version: str) -> Served:
        """Make a version the champion and serve it; the old one serves until the new one is loaded."""
        self.registry.manifest(version)
        self.registry.promote(version)
        self.follow_champion()
        return self.current

    def rollback(self) -> Served:
        """Serve the champion before this one."""
        self.registry.rollback()
        self.follow_champion()
        return self.current

    def switch(self, version: str) -> None:
        """Load a version beside the serving one and swap them in one step."""
        with self._swapping:
            manifest = self.registry.manifest(version)
            folder = self.registry.folder(version)
            old = self._served
            same = old is not None and _data_of(old.manifest) == _data_of(manifest)
            state = old.state if old is not None and same else self._load_state(manifest)
            try:
                served = _open(version, folder, manifest, state)
            except Exception:
                self.registry.verify(version)  # a damaged file is the likeliest cause; this names it
                raise
            self._steer(served)
            with self._feeding:
                self.settle()  # into the state that the offset of these events belongs to
                self._served = served
                self.follow_log()

    def _steer(self, served: Served) -> None:
        """Give the ensembles of a version the limit, and counters that outlive the version."""
        served.dropped = self.dropped
        for task, member in served.members.items():
            if not isinstance(member, Fused):
                continue
            if self.max_ms is not None:  # what members read on first use would make them late for the first visitors
                with suppress(NotReadyError):
                    member.predict(served.state.shop, Cases(np.zeros(1, dtype=np.int32)))
            member.dropped = self.dropped.setdefault(task, Counter())
            member.max_ms = self.max_ms

    def observe(self, events: Sequence[Mapping[str, Any]]) -> Acknowledged:
        """Write events to the log, then let the very next answer know them.

        Raises:
            SchemaError: If an event cannot be true; nothing is written then.
        """
        return self.observe_typed(validated(events))

    def observe_typed(self, events: Sequence[LiveEvent]) -> Acknowledged:
        """Like ``observe``, for events that are typed already.

        What the events change is worked out when somebody asks (``current``) or by ``settle``, so that a stream of
        batches only waits for the disk.
        """
        log = self.workspace.event_log
        acknowledged = log.append_events(events)
        with self._feeding:
            if self._served is None:
                return acknowledged
            state, newest = self._served.state, log.offset
            if acknowledged.repeated == 0 and newest == state.offset + acknowledged.accepted:
                state.offset = newest  # the log grew by just these, so it need not be read
                self._arrived.append(events)
            elif newest > state.offset:
                self.follow_log()
        return acknowledged

    def settle(self) -> None:
        """Work out what acknowledged events change."""
        with self._feeding:
            while self._arrived and self._served is not None:
                self._served.state.observe(columns_of(self._arrived[0]))
                self._arrived.popleft()  # only now: who finds none arrived need not wait

    def follow_log(self) -> int:
        """Take in what the log holds since the last look, whoever wrote it, each event once; says how many."""
        with self._feeding:
            if self._served is None or self.workspace.event_log.offset == self._served.state.offset:
                return 0
            self.settle()
            state = self._served.state
            events, state.offset = self.workspace.event_log.read_since(state.offset)
            return state.observe_table(events)

    def put_product(self, one: str, values: Mapping[str, Any]) -> None:
        """Write a product to the workspace and let the next answer know it."""
        frame = pl.DataFrame({name: [value] for name, value in {schema.PRODUCT: one, **values}.items()})
        self.workspace.append("products", schema.conform("products", frame), source="api")
        self.current.put_product(one, values)

    def put_customer(self, one: str, attributes: Mapping[str, Any], created: datetime | None = None) -> None:
        """Write a customer to the workspace and let the next answer know the attributes."""
        text = json.dumps(dict(attributes), ensure_ascii=False)
        row = {schema.CUSTOMER: [one], schema.ATTRIBUTES: [text], schema.CREATED: [created]}
        self.workspace.append("customers", pl.DataFrame(row, schema=schema.CUSTOMERS), source="api")
        self.current.state.put_customer(one, attributes)

    def hide_product(self, one: str) -> None:
        """Never show a product again, until it is PUT anew.

        Raises:
            NotFoundError: If the product is unknown.
        """
        self.current.state.known_product(one)
        self.hidden.set("products", one, hidden=True)

    def forget_customer(self, one: str) -> None:
        """Know nothing of a customer any more, until PUT anew.

        Raises:
            NotFoundError: If the customer is unknown.
        """
        self.current.state.forget_customer(one)
        self.workspace.delete("customers", [one])

    def _load_state(self, manifest: Mapping[str, Any]) -> ShopState:
        """The shop's data as of the version's clock, later events as live ones."""
        log = self.workspace.event_log
        before = log.offset
        tables = self.workspace.load_tables()
        end = _clock_end(manifest, tables)
        shop = ShopArrays.build(tables.until(end))
        rules = self.workspace.config.recommend.rules
        state = ShopState(shop, customers=tables.customers, cleaning=tables.cleaning, hidden=self.hidden, rules=rules)
        state.observe_table(tables.events.filter(pl.col(schema.TIME) >= end))
        overlap, state.offset = log.read_since(before)  # written while the tables were read: in them, or not
        state.observe_table(overlap.filter(~pl.col(schema.EVENT_ID).is_in(tables.events[schema.EVENT_ID].implode())))
        return state

    def status(self) -> dict[str, Any]:
        """What is loaded, for the readiness route."""
        served = self.current
        shop = served.state.shop
        return {
            "version": served.version,
            "tasks": sorted(served.members),
            "products": len(shop.items),
            "customers": len(shop.customers),
            "events": len(shop.lines) + served.state.live.num_events,
            "live_events": served.state.live.num_events,
        }


def _clock_end(manifest: Mapping[str, Any], tables: ShopTables) -> datetime:
    """Where the bulk data end: with the data while they are fresh, else where the version was trained.

    Within a horizon after training the clock moves with imported events. Later ones (a demo of old data that gets an
    event today, or a garbled clock ahead of ours) stay live events, so that one event cannot age the whole shop.
    """
    given = manifest.get("clock_end")
    if not given:
        return tables.end
    trained = datetime.fromisoformat(str(given))
    trained = trained.astimezone(UTC).replace(tzinfo=None) if trained.tzinfo else trained
    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    fresh = trained <= tables.end <= min(trained + timedelta(days=tables.clock.horizon_days), tomorrow)
    return tables.end if fresh else trained


def _data_of(manifest: Mapping[str, Any]) -> tuple[Any, Any]:
    return manifest.get("data_fingerprint"), manifest.get("clock_end")


def _open(version: str, folder: Path, manifest: Mapping[str, Any], state: ShopState) -> Served:
    from shoploom.ensemble.load import load_member, load_members, member_folder

    members = load_members(folder, manifest)
    vectors = next((one for one in members.values() if isinstance(one, HasItemVectors)), None)
    kept = (task for task in members if member_folder(folder, task, SHARED).is_dir())
    if vectors is None and (task := next(kept, None)):  # trained, but rivals serve every task
        shared = load_member(folder, task, SHARED)
        vectors = shared if isinstance(shared, HasItemVectors) else None
    return Served(version, manifest, members, state, vectors)
