"""Sealed Parquet segments of the events table: ``import-000001.parquet`` and ``live-<first>-<last>.parquet``.

A live segment carries the offsets of its events in the log, so a reader can go on from where it was.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from shoploom.data import atomic, schema

OFFSET = "offset"
_IMPORT = re.compile(r"import-(\d+)\.parquet")
_LIVE = re.compile(r"live-(\d+)-(\d+)\.parquet")


def imports(folder: Path) -> list[Path]:
    """Segments of bulk imports, oldest first."""
    return sorted(path for path in folder.glob("import-*.parquet") if _IMPORT.fullmatch(path.name))


def live(folder: Path) -> list[Path]:
    """Segments sealed from the event log, oldest first."""
    return sorted(path for path in folder.glob("live-*.parquet") if _LIVE.fullmatch(path.name))


def every(folder: Path) -> list[Path]:
    """All segments: imports, then live ones."""
    return imports(folder) + live(folder)


def next_import(folder: Path) -> Path:
    """The name of the next import segment."""
    last = imports(folder)
    number = int(last[-1].stem.split("-")[1]) + 1 if last else 1
    return folder / f"import-{number:06d}.parquet"


def live_path(folder: Path, first: int, last: int) -> Path:
    """The name of a segment with the log's events from ``first`` to ``last``."""
    return folder / f"live-{first:015d}-{last:015d}.parquet"


def last_offset(path: Path) -> int:
    """The last offset in a live segment."""
    found = _LIVE.fullmatch(path.name)
    assert found is not None
    return int(found[2])


def ids(paths: list[Path]) -> pl.Series:
    """Event ids of some segments."""
    if not paths:
        return pl.Series(schema.EVENT_ID, [], dtype=pl.Utf8)
    return pl.concat([atomic.read_parquet(path, [schema.EVENT_ID]) for path in paths])[schema.EVENT_ID]


def read(paths: list[Path]) -> pl.DataFrame:
    """Canonical events of some segments, one after the other."""
    frames = [atomic.read_parquet(path, list(schema.EVENTS)) for path in paths]
    return pl.concat(frames) if frames else schema.empty("events")
