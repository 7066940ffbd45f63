"""The source interface: a plan that can be shown before anything is written, then batches of canonical rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from shoploom.config import ShopConfig
from shoploom.data import doubts


@dataclass(frozen=True)
class ImportRequest:
    """What the user asked for.

    Args:
        paths: Files or folders, for sources that read some.
        table: The canonical table that all paths hold; found by the columns where None.
        mapping: Canonical column -> the shop's column: under a table's name as remembered from earlier imports, which
            yields where a file has no such column; under ``""`` as asked for now.
        shop: Currency and time zone; times without a zone are on this clock.
    """

    paths: tuple[Path, ...] = ()
    table: str | None = None
    mapping: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shop: ShopConfig = field(default_factory=ShopConfig)


@dataclass(frozen=True)
class TablePlan:
    """How one input becomes one canonical table.

    Args:
        origin: File or table that is read.
        table: Canonical table.
        mapping: Canonical column -> column of the origin.
        types: Column of the origin -> its type as found.
        rows: Rows of the origin, where known without reading all.
        preview: The first rows in canonical form.
        unused: Columns of the origin that nothing is made of.
        notes: What was decided on the way, in sentences.
    """

    origin: str
    table: str
    mapping: Mapping[str, str]
    types: Mapping[str, str]
    rows: int | None
    preview: pl.DataFrame
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "origin": self.origin,
            "table": self.table,
            "mapping": dict(self.mapping),
            "types": dict(self.types),
            "rows": self.rows,
            "preview": [{name: _plain(value) for name, value in row.items()} for row in self.preview.to_dicts()],
            "unused": list(self.unused),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class ImportPlan:
    """What an import would do."""

    source: str
    tables: tuple[TablePlan, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"source": self.source, "tables": [table.to_dict() for table in self.tables]}


def _no_doubts() -> pl.DataFrame:
    return pl.DataFrame(schema=doubts.QUARANTINE)


@dataclass(frozen=True)
class Batch:
    """Canonical rows of one table.

    Args:
        table: Canonical table.
        frame: Canonical columns.
        origin: For messages and the quarantine.
        fill_only: Rows that were derived from another table: they fill gaps and never overwrite.
        doubtful: Rows that could not be read, in the form of the quarantine.
        notes: What was decided on the way.
        mapping: Per table, what to remember in ``shoploom.toml``: role -> columns.
    """

    table: str
    frame: pl.DataFrame
    origin: str
    fill_only: bool = False
    doubtful: pl.DataFrame = field(default_factory=_no_doubts)
    notes: tuple[str, ...] = ()
    mapping: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Source(Protocol):
    """One kind of origin.

    Attributes:
        name: Key in the plugin table.
        title: What it is, in words.
        caveat: What must be said beside every number that comes from it; empty if nothing.
    """

    name: str
    title: str
    caveat: str

    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Sections of ``shoploom.toml`` that this source knows; they replace defaults only."""
        ...

    def plan(self, request: ImportRequest) -> ImportPlan:
        """What would be read, without writing.

        Raises:
            SchemaError: If a column is missing or cannot be read, naming it.
            MissingExtraError: If a package is missing.
        """
        ...

    def read(self, request: ImportRequest) -> Iterator[Batch]:
        """Batches in the order in which they are to be appended: catalogue first, events last."""
        ...


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
