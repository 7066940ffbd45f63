"""The one door for new events: a durable log in SQLite (WAL, ``synchronous=FULL``) with one writer and group commit.

There is no writer thread: of the callers that wait, the first writes for all and the others find their batch done.
A thread of its own costs two hand-overs per batch, a quarter of the rate.

``append`` returns after the commit, so an acknowledged event survives ``kill -9`` and power loss; events are
idempotent by ``event_id``, also against what was imported in bulk. ``seal`` turns the log's tail into a Parquet
segment. Offsets grow by one per event and are never used twice: a learner stores its offset and goes on from there.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from shoploom.data import atomic, schema, segments
from shoploom.data.live_event import LiveEvent, decode_rows, encode, to_frame, validated
from shoploom.errors import WorkspaceError

GROUP_EVENTS = 20_000
"""Most events in one commit; a longer queue is committed in several."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tail (
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
)
"""
_INSERT = "INSERT INTO tail (event_id, body) VALUES (?, ?) ON CONFLICT (event_id) DO NOTHING"


@dataclass(frozen=True)
class Acknowledged:
    """What became of a batch: ``accepted`` events are on the disk, ``repeated`` ones were there before."""

    accepted: int
    repeated: int


_Row = tuple[str, bytes]


@dataclass
class _Batch:
    rows: list[_Row]
    result: Acknowledged | None = None
    error: BaseException | None = None


class EventLog:
    """The log of one workspace; safe to use from many threads.

    Args:
        store: The workspace's ``store`` directory. The log is ``events.sqlite`` in it, segments lie in ``events``.

    Example:
        >>> import tempfile
        >>> log = EventLog(Path(tempfile.mkdtemp()))
        >>> event = {"event_id": "1", "type": "purchase", "product_id": "tea", "time": "2024-05-01T10:00:00Z"}
        >>> log.append([event, event])
        Acknowledged(accepted=1, repeated=1)
        >>> frame, offset = log.read_since(0)
        >>> frame["product_id"].to_list(), offset
        (['tea'], 1)
        >>> log.close()
    """

    def __init__(self, store: Path) -> None:
        self.path = store / "events.sqlite"
        self.folder = store / "events"
        with _sqlite_errors(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._reader = _connect(self.path)
            self._reader.execute(_SCHEMA)
            self._reader.commit()
        self._sealed = _SealedIds(self.folder)
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: deque[_Batch] = deque()
        self._writer: sqlite3.Connection | None = None
        self._closed = False

    def append(self, events: Sequence[Mapping[str, Any]]) -> Acknowledged:
        """Write events; they are durable when this returns.

        Args:
            events: Canonical fields; ``type`` is required, ``product_id`` except for searches. ``time`` is a datetime
                or ISO 8601 text (without a zone: UTC), now where missing; ``event_id`` a hash of the content where
                missing; ``context`` an object.

        Raises:
            SchemaError: If an event has an unknown type or field, or an impossible value; nothing is written then.
            WorkspaceError: If the disk is full; nothing is written then.
        """
        return self.append_events(validated(events))

    def append_events(self, events: Sequence[LiveEvent]) -> Acknowledged:
        """Like ``append``, for events that are typed already (``live_event.decode_batch`` reads them from JSON)."""
        if not events:
            return Acknowledged(0, 0)
        batch = _Batch(encode(events))
        self._waiting.append(batch)
        with self._writing:
            while batch.result is None and batch.error is None:  # more than one commit's worth may wait
                self._commit(self._gather())
        if batch.error is not None:
            raise batch.error
        assert batch.result is not None
        return batch.result

    def read_since(self, offset: int, limit: int | None = None) -> tuple[pl.DataFrame, int]:
        """Canonical events after an offset, sealed or not, in the order of the log, and the offset to go on from."""
        frame = self._after(offset)
        if limit is not None:
            frame = frame.head(limit)
        last = int(frame[segments.OFFSET][-1]) if len(frame) else offset
        return frame.drop(segments.OFFSET), last

    def tail_ids(self, since: int = 0) -> pl.Series:
        """Event ids that no segment holds yet."""
        with self._reading, _sqlite_errors(self.path):
            rows = self._reader.execute("SELECT event_id FROM tail WHERE offset > ?", (since,)).fetchall()
        return pl.Series(schema.EVENT_ID, [row[0] for row in rows], dtype=pl.Utf8)

    def tail(self) -> pl.DataFrame:
        """Canonical events that no segment holds yet."""
        paths = segments.live(self.folder)
        sealed = segments.last_offset(paths[-1]) if paths else 0
        return self._tail_after(sealed).drop(segments.OFFSET)

    @property
    def offset(self) -> int:
        """The offset of the newest event, 0 before the first."""
        with self._reading, _sqlite_errors(self.path):
            row = self._reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'tail'").fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """Keep every writer of this log out, in this and other processes; ends with a commit."""
        with _sqlite_errors(self.path):
            connection = _connect(self.path)
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                connection.close()

    def seal(self) -> Path | None:
        """Move the tail into a Parquet segment; None if there is nothing to move.

        A kill between the two steps leaves events in both places: readers go by offset, and the next ``seal`` cleans
        up.
        """
        with self.exclusive() as connection:
            done = segments.live(self.folder)
            sealed = segments.last_offset(done[-1]) if done else 0
            connection.execute("DELETE FROM tail WHERE offset <= ?", (sealed,))
            rows = connection.execute("SELECT offset, body FROM tail ORDER BY offset").fetchall()
            if not rows:
                return None
            path = segments.live_path(self.folder, rows[0][0], rows[-1][0])
            atomic.write_parquet(path, _numbered(rows))
            connection.execute("DELETE FROM tail WHERE offset <= ?", (rows[-1][0],))
        return path

    def close(self) -> None:
        """Wait for the writer, then give the file back; the log cannot be used afterwards."""
        with self._writing, self._reading:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
            self._reader.close()

    def _after(self, offset: int) -> pl.DataFrame:
        paths = segments.live(self.folder)
        sealed = segments.last_offset(paths[-1]) if paths else 0
        wanted = [path for path in paths if segments.last_offset(path) > offset]
        columns = [segments.OFFSET, *schema.EVENTS]
        frames = [atomic.read_parquet(path, columns).filter(pl.col(segments.OFFSET) > offset) for path in wanted]
        return pl.concat([*frames, self._tail_after(max(offset, sealed))])

    def _tail_after(self, offset: int) -> pl.DataFrame:
        query = "SELECT offset, body FROM tail WHERE offset > ? ORDER BY offset"
        with self._reading, _sqlite_errors(self.path):
            rows = self._reader.execute(query, (offset,)).fetchall()
        return _numbered(rows)

    def _gather(self) -> list[_Batch]:
        """Whatever waits joins the commit: that is the group commit, and it costs nobody any waiting."""
        batches: list[_Batch] = []
        events = 0
        with suppress(IndexError):
            while events < GROUP_EVENTS:
                batches.append(self._waiting.popleft())
                events += len(batches[-1].rows)
        return batches

    def _commit(self, batches: list[_Batch]) -> None:
        try:
            with _sqlite_errors(self.path):
                results = self._write(batches)
        except BaseException as error:  # noqa: BLE001 - whatever it is, each waiting caller raises it
            for batch in batches:
                batch.error = error
            return
        for batch, result in zip(batches, results, strict=True):
            batch.result = result

    def _write(self, batches: list[_Batch]) -> list[Acknowledged]:
        if self._closed:
            raise WorkspaceError(f"the event log {self.path} is closed; open the workspace again")
        if self._writer is None:
            self._writer = _connect(self.path)
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._sealed.refresh()
            results = [self._insert(connection, batch.rows) for batch in batches]
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return results

    def _insert(self, connection: sqlite3.Connection, rows: list[_Row]) -> Acknowledged:
        fresh = self._sealed.without_known(rows)
        accepted = connection.executemany(_INSERT, fresh).rowcount if fresh else 0
        return Acknowledged(accepted, len(rows) - accepted)


class _SealedIds:
    """Which ids lie in segments: 8 bytes of memory per event, and a look into the files when a hash is found."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: frozenset[str] = frozenset()
        self._hashes = np.zeros(0, dtype=np.uint64)

    def refresh(self) -> None:
        """Take note of new segments; costs a look into the folder when there are none."""
        names = frozenset(os.listdir(self._folder))
        if names == self._names:
            return
        new = [path for path in segments.every(self._folder) if path.name not in self._names]
        if new:
            hashes = segments.ids(new).hash().to_numpy()
            self._hashes = np.sort(np.concatenate([self._hashes, hashes]))
        self._names = names

    def without_known(self, rows: list[_Row]) -> list[_Row]:
        """The rows whose id no segment holds."""
        if not len(self._hashes):
            return rows
        hashes = pl.Series([row[0] for row in rows], dtype=pl.Utf8).hash().to_numpy()
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        suspects = [rows[at][0] for at in np.flatnonzero(self._hashes[place] == hashes)]
        if not suspects:
            return rows
        lazy = [pl.scan_parquet(path).select(schema.EVENT_ID) for path in segments.every(self._folder)]
        found = pl.concat(lazy).filter(pl.col(schema.EVENT_ID).is_in(suspects)).collect()
        known = set(found[schema.EVENT_ID])
        return [row for row in rows if row[0] not in known]


def _numbered(rows: list[tuple[int, bytes]]) -> pl.DataFrame:
    offsets = pl.Series(segments.OFFSET, [row[0] for row in rows], dtype=pl.Int64)
    return to_frame(decode_rows([row[1] for row in rows])).insert_column(0, offsets)


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level None: transactions are ours to begin. 60 s is more than a bulk import keeps the log.
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        with atomic.disk_errors(path):
            yield
    except msgspec.DecodeError as error:
        raise WorkspaceError(f"{path} holds an event that cannot be read: {error}; restore it from a backup") from error
    except sqlite3.DatabaseError as error:
        raise WorkspaceError(_advice(path, str(error))) from error


def _advice(path: Path, text: str) -> str:
    if "full" in text or "I/O" in text:
        return f"could not write {path}: {text}. The batch was not accepted; free some space and send it again"
    if "locked" in text:
        return f"{path} is kept by another process for more than a minute; wait for its import to end, then send again"
    if "not a database" in text or "malformed" in text:
        return f"{path} is damaged ({text}); move it away, or restore it from a backup, and open the workspace again"
    return f"{path}: {text}"
