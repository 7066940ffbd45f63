"""From a source into a workspace: settings, batches, and what became of every row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoploom.config import CleaningConfig, Config, ShopConfig
from shoploom.data.sources import SOURCES
from shoploom.data.sources.base import ImportPlan, ImportRequest, Source
from shoploom.data.workspace import Appended, Workspace

NOW = ""
"""Key of the mapping that was given for this import."""


@dataclass(frozen=True)
class ImportResult:
    """What an import did.

    Args:
        source: Name of the source.
        tables: Per table, what became of its rows.
        notes: What was decided on the way.
        caveat: What must be said beside numbers from this source.
    """

    source: str
    tables: dict[str, Appended]
    notes: tuple[str, ...] = ()
    caveat: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return dataclasses.asdict(self)


def make_request(
    workspace: Workspace,
    source: Source | str,
    *,
    paths: Sequence[Path | str] = (),
    table: str | None = None,
    mapping: Mapping[str, str] | None = None,
    currency: str | None = None,
    timezone: str | None = None,
) -> tuple[Source, ImportRequest, Config]:
    """The source, what to ask of it, and the configuration that the import will leave behind.

    Args:
        workspace: Where the rows will go; its configuration is the base.
        source: A source, or the name of one.
        paths: Files or folders.
        table: The canonical table that all paths hold; found by the columns where None.
        mapping: Canonical column -> the shop's, on top of what ``shoploom.toml`` remembers.
        currency: Of the shop, if not yet right in ``shoploom.toml``.
        timezone: IANA name of the shop's clock, likewise.
    """
    if isinstance(source, str):
        source = _load(source)
    config = _with_settings(workspace.config, source.settings())
    given = {key: value for key, value in (("currency", currency), ("timezone", timezone)) if value is not None}
    config = dataclasses.replace(config, shop=dataclasses.replace(config.shop, **given))
    merged = {one: dict(columns) for one, columns in config.mapping.items()}
    if mapping:
        merged[NOW] = dict(mapping)
    request = ImportRequest(tuple(Path(path) for path in paths), table, merged, config.shop)
    return source, request, config


def plan_source(workspace: Workspace, source: Source | str, **options: Any) -> ImportPlan:
    """What ``import_source`` with the same options would do; writes nothing."""
    source, request, _ = make_request(workspace, source, **options)
    return source.plan(request)


def import_source(
    workspace: Workspace,
    source: Source | str,
    *,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> ImportResult:
    """Bring everything of a source into a workspace; what is there already is not added again.

    The mapping that was used is kept in ``shoploom.toml``, so the next import of the shop needs none.

    Args:
        workspace: Where the rows go.
        source: A source, or the name of one.
        progress: Called with a line per table.
        **options: As for ``make_request``: ``paths``, ``table``, ``mapping``, ``currency``, ``timezone``.

    Raises:
        SchemaError: If the data cannot be read; tables before the wrong one are complete, nothing is half there.
    """
    source, request, config = make_request(workspace, source, **options)
    tables: dict[str, Appended] = {}
    notes: list[str] = []
    remembered = dict(config.mapping)
    if source.caveat:
        remembered["source"] = {"name": source.name}  # reports say the caveat beside every number
    with workspace.lock("import"):
        for batch in source.read(request):
            doubtful = workspace.quarantine(batch.table, batch.doubtful)
            done = workspace.append(batch.table, batch.frame, source=batch.origin, fill_only=batch.fill_only)
            done = dataclasses.replace(done, quarantined=done.quarantined + doubtful)
            if not batch.fill_only or batch.table not in tables:
                tables[batch.table] = tables[batch.table] + done if batch.table in tables else done
            notes += [note for note in batch.notes if note not in notes]
            remembered |= {table: {**remembered.get(table, {}), **used} for table, used in batch.mapping.items()}
            if progress is not None:
                progress(f"{batch.table}: {done.added:,} new rows from {batch.origin}")
        config = dataclasses.replace(config, mapping=remembered)
        if config != workspace.config:
            workspace.write_config(config)
    return ImportResult(source.name, tables, tuple(notes), source.caveat)


def _load(name: str) -> Source:
    source: Source = SOURCES.load(name)()
    return source


def _with_settings(config: Config, settings: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration with a source's settings where it still has the defaults."""
    changed: dict[str, Any] = {}
    defaults: dict[str, ShopConfig | CleaningConfig] = {"shop": ShopConfig(), "cleaning": CleaningConfig()}
    for section, values in settings.items():
        now, default = getattr(config, section), defaults[section]
        typed = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        use = {name: value for name, value in typed.items() if getattr(now, name) == getattr(default, name)}
        changed[section] = dataclasses.replace(now, **use)
    return dataclasses.replace(config, **changed)
