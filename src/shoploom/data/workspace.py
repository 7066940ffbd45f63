"""The workspace: one directory with everything of a shop: ``shoploom.toml``, ``store/``, ``models/``, ``reports/``.

Imports write sealed Parquet segments, live events the log (``data.eventlog``); event ids are unique across both. All
writes are atomic. Knows nothing of where tables come from (``data.sources``) or what is trained on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from shoploom.config import Config
from shoploom.data import atomic, cleaning, doubts, hidden, identity, migrations, schema, segments
from shoploom.data.eventlog import EventLog
from shoploom.data.hidden import Hidden
from shoploom.data.lock import WorkspaceLock
from shoploom.data.tables import ShopTables
from shoploom.errors import DataError, UsageError, WorkspaceError, unknown_name

CONFIG_FILE = "shoploom.toml"
_NEW = "__new"


@dataclass(frozen=True)
class Appended:
    """What became of the rows of an ``append``.

    Args:
        added: New rows.
        repeated: Rows that were there before; nothing was written for them.
        quarantined: Rows in doubt, kept in ``store/quarantine`` with the reason.
        updated: Rows of products, customers or promotions that changed an older one.
    """

    added: int
    repeated: int
    quarantined: int
    updated: int = 0

    def __add__(self, other: Appended) -> Appended:
        return Appended(
            self.added + other.added,
            self.repeated + other.repeated,
            self.quarantined + other.quarantined,
            self.updated + other.updated,
        )


class Workspace:
    """An open workspace; make one with ``init`` or ``open``.

    Args:
        path: The directory.
        config: What ``shoploom.toml`` says.

    Example:
        >>> import tempfile
        >>> workspace = Workspace.init(Path(tempfile.mkdtemp()) / "shop")
        >>> tea = pl.DataFrame({"product_id": ["tea"], "title": ["Green tea"]})
        >>> workspace.append("products", tea, source="example")
        Appended(added=1, repeated=0, quarantined=0, updated=0)
        >>> workspace.append("products", tea, source="example").repeated
        1
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self.store_dir = path / "store"
        self.models_dir = path / "models"
        self.reports_dir = path / "reports"
        self._lock = WorkspaceLock(self.store_dir / "lock")

    @classmethod
    def init(cls, path: Path | str, config: Config | None = None) -> Workspace:
        """Make a new workspace; the directory may exist but must not be one yet.

        The format file is written last: what a killed ``init`` left behind is finished by the next one.

        Raises:
            WorkspaceError: If there is one, or the directory cannot be written.
        """
        path = Path(path)
        _refuse_to_init(path)
        workspace = cls(path, config or Config())
        with atomic.disk_errors(path):
            for folder in (workspace.store_dir / "events", workspace.models_dir, workspace.reports_dir):
                folder.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path / CONFIG_FILE, workspace.config.to_toml())
        migrations.write_format(workspace.store_dir)
        return workspace

    @classmethod
    def open(cls, path: Path | str, overrides: Sequence[str] = ()) -> Workspace:
        """Open a workspace; an older format is migrated first.

        Args:
            path: The directory.
            overrides: ``section.key=value``, on top of ``shoploom.toml``.

        Raises:
            WorkspaceError: If there is none, or its format is newer than this Shoploom.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise WorkspaceError(f"{path} is a file; name the directory of a workspace (shoploom init DIR makes one)")
        if not (path / "store" / migrations.FORMAT_FILE).exists():
            what = "is no Shoploom workspace" if path.exists() else "does not exist"
            raise WorkspaceError(f"{path} {what}; make one with: shoploom init {path}")
        workspace = cls(path, Config.read(path / CONFIG_FILE, overrides))
        if migrations.read_format(workspace.store_dir) != migrations.CURRENT:
            with workspace.lock("migration"):
                migrations.migrate(workspace.store_dir)
        return workspace

    def write_config(self, config: Config) -> None:
        """Replace ``shoploom.toml``."""
        atomic.write_text(self.path / CONFIG_FILE, config.to_toml())
        self.config = config

    def lock(self, purpose: str = "work") -> AbstractContextManager[None]:
        """Keep other importers and trainers out; may be nested. The service's event log goes on."""
        return self._lock.held(purpose)

    @cached_property
    def event_log(self) -> EventLog:
        """The door for live events."""
        return EventLog(self.store_dir)

    def close(self) -> None:
        """Close the event log, if it was used."""
        if "event_log" in self.__dict__:
            self.event_log.close()
            del self.__dict__["event_log"]

    def append(self, table: str, frame: pl.DataFrame, *, source: str, fill_only: bool = False) -> Appended:
        """Add rows, idempotently: what is there already is not added again.

        Events are known by ``event_id`` (made from the content where the source has none). Of products, customers and
        promotions the latest row of a key wins, column by column; a null says nothing and changes nothing.

        Args:
            table: A canonical table.
            frame: Canonical columns; missing ones are null.
            source: Where the rows come from, for the quarantine.
            fill_only: Rows derived from elsewhere: they fill gaps and never overwrite.

        Raises:
            WorkspaceError: If the disk is full or the workspace is in use; nothing was changed then.
        """
        _known(table)
        with self.lock("import"):
            atomic.sweep(self.store_dir)
            frame, doubtful = doubts.split(table, _prepared(table, frame), source=source)
            quarantined = self.quarantine(table, doubtful)
            done = self._append_events(frame) if table == "events" else self._upsert(table, frame, fill_only=fill_only)
        return Appended(done.added, done.repeated, quarantined, done.updated)

    def quarantine(self, table: str, rows: pl.DataFrame) -> int:
        """Keep rows in doubt, in the form of ``doubts.QUARANTINE``; returns how many were not there yet."""
        if not len(rows):
            return 0
        path = self._quarantine_path(table)
        with self.lock("import"):
            before = self.read_quarantine(table)
            merged = pl.concat([before, rows]).unique(maintain_order=True)
            if len(merged) > len(before):
                atomic.write_parquet(path, merged)
        return len(merged) - len(before)

    def read_quarantine(self, table: str) -> pl.DataFrame:
        """Rows in doubt with their reasons."""
        path = self._quarantine_path(table)
        return atomic.read_parquet(path) if path.exists() else pl.DataFrame(schema=doubts.QUARANTINE)

    def read(self, table: str) -> pl.DataFrame:
        """A canonical table, in the order in which rows came."""
        _known(table)
        if table == "events":
            return pl.concat([segments.read(segments.every(self.store_dir / "events")), self._tail()])
        path = self._table_path(table)
        return schema.conform(table, atomic.read_parquet(path)) if path.exists() else schema.empty(table)

    def delete(self, table: str, ids: Sequence[str]) -> int:
        """Remove products, customers or promotions by id; events stay as they happened."""
        if table == "events":
            raise UsageError("events cannot be deleted one by one; they are what happened")
        with self.lock("delete"):
            frame = self.read(table)
            kept = frame.filter(~pl.col(schema.KEYS[table][0]).is_in(list(ids)))
            if len(kept) < len(frame):
                atomic.write_parquet(self._table_path(table), kept)
        return len(frame) - len(kept)

    def counts(self) -> dict[str, int]:
        """Rows per table, and in quarantine."""
        paths = segments.every(self.store_dir / "events")
        sealed = sum(map(atomic.count_rows, paths))
        counts = {name: len(self.read(name)) for name in schema.TABLES if name != "events"}
        doubtful = sum(len(self.read_quarantine(name)) for name in schema.TABLES)
        return {"events": sealed + len(self._tail()), **counts, "quarantine": doubtful}

    def fingerprint(self) -> str:
        """A hash of all data; equal data imported in equal order, without the same customers, has an equal one."""
        total = hashlib.sha256()
        files = [*segments.every(self.store_dir / "events"), *map(self._table_path, schema.TABLES)]
        for path in files:
            if path.exists():
                total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        for one in self._tail()[schema.EVENT_ID]:
            total.update(one.encode() + b"\n")
        for one in sorted(self._forgotten()):
            total.update(b"forgotten " + one.encode() + b"\n")
        return total.hexdigest()[:32]

    def load_tables(self, end: datetime | None = None) -> ShopTables:
        """The shop as known at a moment, cleaned and flagged; forgotten customers are not in it, nor their events.

        Args:
            end: UTC; just after the last event, rounded up to the shop's next midnight, where None.

        Raises:
            DataError: If there are no events.
        """
        events = self.read("events").sort(schema.TIME, maintain_order=True)
        doubtful = self.read_quarantine("events")["key"].drop_nulls()
        forgotten = pl.Series(sorted(self._forgotten()), dtype=pl.Utf8).implode()
        events = events.filter(~pl.col(schema.CUSTOMER).is_in(forgotten).fill_null(value=False))
        if len(doubtful):
            events = events.filter(~pl.col(schema.EVENT_ID).is_in(doubtful.implode()))
        if end is not None:
            events = events.filter(pl.col(schema.TIME) < end)
        if not len(events):
            before = f" before {end.isoformat()}" if end is not None else ""
            raise DataError(f"{self.path} holds no events{before}; bring some in with: shoploom import FILE")
        last = events[schema.TIME][-1]
        assert isinstance(last, datetime)
        products = self.read("products")
        rules = cleaning.detect_rules(events, products, self.config.cleaning).config
        return ShopTables(
            events=cleaning.flag(events, products, rules),
            products=products,
            customers=self.read("customers").filter(~pl.col(schema.CUSTOMER).is_in(forgotten)),
            promotions=self.read("promotions"),
            cleaning=rules,
            clock=self.config.clock,
            currency=self.config.shop.currency,
            timezone=self.config.shop.timezone,
            end=end or next_midnight(last, self.config.shop.timezone),
        )

    def _append_events(self, frame: pl.DataFrame) -> Appended:
        folder = self.store_dir / "events"
        looked = segments.every(folder)
        fresh = _without(frame.unique(schema.EVENT_ID, keep="first", maintain_order=True), segments.ids(looked))
        if len(fresh):
            path = segments.next_import(folder)
            with atomic.staged_parquet(path, fresh) as staged, self.event_log.exclusive():
                # From here on no live event can bring one of these ids.
                sealed = [one for one in segments.every(folder) if one not in looked]
                rest = _without(fresh, pl.concat([segments.ids(sealed), self.event_log.tail_ids()]))
                if len(rest) == len(fresh):
                    atomic.put(staged, path)
                elif len(rest):
                    atomic.write_parquet(path, rest)
                fresh = rest
        return Appended(len(fresh), len(frame) - len(fresh), 0)

    def _upsert(self, table: str, frame: pl.DataFrame, *, fill_only: bool) -> Appended:
        keys = list(schema.KEYS[table])
        before = self.read(table)
        latest = frame.unique(keys, keep="first" if fill_only else "last", maintain_order=True)
        joined = before.join(latest, on=keys, how="left", suffix=_NEW, nulls_equal=True, maintain_order="left")
        values = [name for name in schema.TABLES[table] if name not in keys]
        order = ("", _NEW) if fill_only else (_NEW, "")
        known = joined.select(*keys, *(pl.coalesce(name + order[0], name + order[1]).alias(name) for name in values))
        known = schema.conform(table, _with_merged_attributes(known, joined, order))
        new = latest.join(before, on=keys, how="anti", nulls_equal=True, maintain_order="left")
        updated = int((_row_hashes(known) != _row_hashes(before)).sum())
        if updated or len(new):
            atomic.write_parquet(self._table_path(table), pl.concat([known, new]))
        return Appended(len(new), len(frame) - len(new) - updated, 0, updated)

    def _forgotten(self) -> frozenset[str]:
        return Hidden(self.store_dir / hidden.FILE).customers

    def _tail(self) -> pl.DataFrame:
        if not (self.store_dir / "events.sqlite").exists():
            return schema.empty("events")
        return self.event_log.tail()

    def _table_path(self, table: str) -> Path:
        return self.store_dir / f"{table}.parquet"

    def _quarantine_path(self, table: str) -> Path:
        return self.store_dir / "quarantine" / f"{table}.parquet"


def next_midnight(moment: datetime, timezone: str) -> datetime:
    """The first midnight of the shop's clock after a UTC moment, in UTC.

    Example:
        >>> next_midnight(datetime(2018, 1, 1, 4, 1), "America/New_York")
        datetime.datetime(2018, 1, 1, 5, 0)
    """
    local = pl.Series([moment + timedelta(microseconds=1)], dtype=schema.STAMP).dt.replace_time_zone("UTC")
    local = local.dt.convert_time_zone(timezone)
    midnight = local.dt.truncate("1d")
    if (midnight != local).any():
        midnight = local.dt.offset_by("1d").dt.truncate("1d")
    found = midnight.dt.convert_time_zone("UTC").dt.replace_time_zone(None).item()
    assert isinstance(found, datetime)
    return found


def _refuse_to_init(path: Path) -> None:
    """Let through what holds nothing of ours, and what a killed ``init`` left: folders, the configuration, no data."""
    store, config, other = path / "store", path / CONFIG_FILE, "or choose another directory"
    for one in (path, *path.parents):
        if one.is_file():
            raise WorkspaceError(f"{one} is a file; name a new or empty directory")
    if (store / migrations.FORMAT_FILE).exists():
        raise WorkspaceError(f"{path} is a workspace already; use it as it is, {other}")
    if config.exists() and not store.exists():  # init makes the folders first: this file is somebody's own
        raise WorkspaceError(f"{path} holds a {CONFIG_FILE} but no store; move that file away, {other}")
    if any(one.is_file() and one.suffix != atomic.SUFFIX for one in store.rglob("*")):
        raise WorkspaceError(
            f"{store} holds files but no {migrations.FORMAT_FILE}; restore that from a backup, {other}"
        )


def _known(table: str) -> None:
    if table not in schema.TABLES:
        raise UsageError(unknown_name("table", table, schema.TABLES))


def _prepared(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    frame = schema.conform(table, frame)
    return identity.fill_ids(frame) if table == "events" else frame


def _without(frame: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    if not len(ids):
        return frame
    known = pl.DataFrame({schema.EVENT_ID: ids}, schema={schema.EVENT_ID: pl.Utf8})
    return frame.join(known, on=schema.EVENT_ID, how="anti", maintain_order="left")


def _with_merged_attributes(known: pl.DataFrame, joined: pl.DataFrame, order: tuple[str, str]) -> pl.DataFrame:
    """Attributes name by name where both rows have some; ``order`` says whose value wins."""
    name = schema.ATTRIBUTES
    if name not in known.columns:
        return known
    wins, yields = joined[name + order[0]], joined[name + order[1]]
    both = (wins != yields).fill_null(value=False)
    if not both.any():
        return known
    pairs = zip(yields.filter(both), wins.filter(both), strict=True)
    merged = [json.dumps({**json.loads(one), **_not_null(other)}, separators=(",", ":")) for one, other in pairs]
    return known.with_columns(known[name].scatter(both.arg_true(), merged))


def _not_null(text: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(text).items() if value is not None}


def _row_hashes(frame: pl.DataFrame) -> pl.Series:
    """To compare rows within this process; lists as text, because they cannot be hashed."""
    lists = [pl.col(name).list.join("\x1f") for name, kind in frame.schema.items() if kind == pl.List(pl.Utf8)]
    return frame.with_columns(lists).hash_rows()
