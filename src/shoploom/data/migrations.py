"""Formats of the ``store`` directory, and how an older one becomes the current one.

A migration is one function and one line in ``MIGRATIONS``. It may be killed at any moment: it only adds files until
the new version number is written, and is safe to run again; what it replaced is removed last.

Formats:
    1: all events in one file ``events.parquet``, without ids, with price and quantity but no line amount.
    2: sealed segments in ``events/``, every event with an id and an amount; live events in ``events.sqlite``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from shoploom.data import atomic, identity, schema
from shoploom.errors import WorkspaceError

CURRENT = 2
FORMAT_FILE = "format.json"

Clean = Callable[[], None]


def _to_2(store: Path) -> Clean:
    old, new = store / "events.parquet", store / "events"
    new.mkdir(exist_ok=True)
    if old.exists():
        events = schema.conform("events", atomic.read_parquet(old))
        amount = pl.coalesce(schema.AMOUNT, pl.col(schema.PRICE) * pl.col(schema.QUANTITY).fill_null(1.0))
        atomic.write_parquet(new / "import-000001.parquet", identity.fill_ids(events.with_columns(amount)))
    return lambda: old.unlink(missing_ok=True)


MIGRATIONS: dict[int, Callable[[Path], Clean]] = {2: _to_2}
"""Target format -> the step from the one before; it returns what removes the replaced files."""


def write_format(store: Path, version: int = CURRENT) -> None:
    """Note the format of a store."""
    content = {"format": version, "written_at": datetime.now(UTC).isoformat(timespec="seconds")}
    atomic.write_text(store / FORMAT_FILE, json.dumps(content) + "\n")


def read_format(store: Path) -> int:
    """The format of a store.

    Raises:
        WorkspaceError: If the file is damaged, or was written by a newer Shoploom.
    """
    path = store / FORMAT_FILE
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{path} is missing or damaged; restore it from a backup of the workspace") from error
    if not isinstance(version, int) or version < 1:
        raise WorkspaceError(f"{path} names the format {version!r}; wanted a number from 1 to {CURRENT}")
    if version > CURRENT:
        raise WorkspaceError(
            f"{store.parent} has the store format {version}, this Shoploom reads up to {CURRENT}; upgrade with "
            "pip install --upgrade shoploom"
        )
    return version


def migrate(store: Path) -> list[int]:
    """Bring a store to the current format; returns the formats it went through. The caller holds the lock."""
    done = []
    for version in range(read_format(store) + 1, CURRENT + 1):
        clean = MIGRATIONS[version](store)
        write_format(store, version)
        clean()
        done.append(version)
    return done
