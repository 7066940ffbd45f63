"""Files of a shop: CSV, TSV, JSON lines, Parquet, plain or gzipped, under whatever names its columns have.

The table and the columns are found by their names (``roles``); ``--map`` says what the names do not tell. Order headers
in a file of their own are joined to their lines. Without a catalogue the products come from the lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from shoploom.data import schema
from shoploom.data.sources import convert, derive, framing, roles, tabular
from shoploom.data.sources.base import Batch, ImportPlan, ImportRequest, TablePlan
from shoploom.errors import SchemaError, UsageError, unknown_name


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ORDERS = "orders"
"""Order headers: who bought when, but not what; joined to lines by order_id."""

PERSONAL = _set(
    "email mail phone telephone mobile fax address street firstname lastname surname fullname name iban "
    "password birth birthday birthdate dob ip ssn passport vorname nachname strasse telefon nombre "
    "apellido"
)
"""Words of columns that identify a person; they are left out of customers' attributes."""


@dataclass(frozen=True)
class _Table:
    """One file, read, with the columns that were found."""

    path: Path
    table: str
    frame: pl.DataFrame
    mapping: Mapping[str, str | list[str]]
    notes: tuple[str, ...]

    def columns(self) -> dict[str, list[str]]:
        found, _ = framing.checked(self.mapping, self.frame.columns, self.table, str(self.path))
        return found

    def text_mapping(self) -> dict[str, str]:
        """As it stands in ``shoploom.toml``."""
        return {role: value if isinstance(value, str) else ", ".join(value) for role, value in self.mapping.items()}


class Files:
    """CSV, TSV, JSON lines and Parquet."""

    name = "files"
    title = "CSV, TSV, JSON lines or Parquet files with columns of any names"
    caveat = ""

    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Nothing is known of the shop."""
        return {}

    def plan(self, request: ImportRequest) -> ImportPlan:
        """Reads everything, so that errors show before an import; writes nothing."""
        return ImportPlan(self.name, tuple(_plan(one, request) for one in _tables(request)))

    def read(self, request: ImportRequest) -> Iterator[Batch]:
        """Per file its rows, and before events the products and customers that the lines tell of."""
        for one in _tables(request):
            yield from _batches(one, request)


def _tables(request: ImportRequest) -> Iterator[_Table]:
    if not request.paths:
        raise UsageError("no file was given; name one or more files or folders: shoploom import FILE")
    paths = tabular.expand(request.paths)
    orders: list[_Table] = []
    waiting: list[tuple[Path, pl.DataFrame]] = []
    for path in paths:
        frame = tabular.read(path, _given(request, request.table or "events").get("delimiter"))
        table = request.table or _table_of(path, frame, request)
        if table == ORDERS:
            orders.append(_Table(path, ORDERS, frame, roles.detect(frame.columns, "events"), ()))
        elif table == "events" and not _is_complete(frame, request) and len(paths) > 1:
            waiting.append((path, frame))
        else:
            yield _resolved(path, frame, table, request)
    if orders and not waiting:
        raise SchemaError(f"{orders[0].path}: these are order headers; give the file with the orders' lines as well")
    for path, frame in waiting:
        yield _resolved(path, _with_headers(path, frame, orders), "events", request)


def _table_of(path: Path, frame: pl.DataFrame, request: ImportRequest) -> str:
    given = {
        role
        for table in ("", *schema.TABLES)
        for role, value in request.mapping.get(table, {}).items()
        if _in(frame, value)
    }
    table = roles.table_of([*frame.columns, *given])
    if table is None:
        raise SchemaError(
            f"{path}: the columns {tabular.listed(frame.columns)} do not tell what the table holds. Say which columns "
            "they are: --map customer_id=COLUMN --map product_id=COLUMN --map time=COLUMN, and --table events"
        )
    return table


def _given(request: ImportRequest, table: str) -> dict[str, str]:
    """Remembered mapping of the table, then what was given now."""
    return {**request.mapping.get(table, {}), **request.mapping.get("", {})}


def _in(frame: pl.DataFrame, value: str) -> bool:
    return (
        value in frame.columns
        or value.startswith("=")
        or all(part.strip() in frame.columns for part in value.split(","))
    )


def _is_complete(frame: pl.DataFrame, request: ImportRequest) -> bool:
    known = {
        *roles.detect(frame.columns, "events"),
        *(role for role, value in _given(request, "events").items() if _in(frame, value)),
    }
    return schema.TIME in known and (schema.CUSTOMER in known or schema.SESSION in known)


def _resolved(path: Path, frame: pl.DataFrame, table: str, request: ImportRequest) -> _Table:
    if table not in schema.TABLES:
        raise UsageError(unknown_name("table", table, schema.TABLES))
    now, remembered = request.mapping.get("", {}), request.mapping.get(table, {})
    known = {*roles.ROLES[table], *roles.OPTIONS}
    everywhere = {role for names in roles.ROLES.values() for role in names} | set(roles.OPTIONS)
    for role in now:
        if role not in everywhere and not role.startswith("type."):
            raise UsageError(unknown_name(f"column of {table}", role, known))
    several = len(request.paths) > 1 or any(one.is_dir() for one in request.paths)
    option = {
        role: value
        for role, value in {**remembered, **now}.items()
        if role in roles.OPTIONS or role.startswith("type.")
    }
    strict = {
        role: value
        for role, value in now.items()
        if role in roles.ROLES[table] and not (several and not _in(frame, value))
    }
    kept = {role: value for role, value in remembered.items() if role in roles.ROLES[table] and _in(frame, value)}
    taken = {**kept, **strict}
    found = {role: names for role, names in roles.detect(frame.columns, table, taken).items() if role not in taken}
    if schema.EVENT_ID in found and frame[found[schema.EVENT_ID][0]].n_unique() < len(frame):
        del found[schema.EVENT_ID]  # it numbers something else, and would make events repeat one another
    mapping: dict[str, str | list[str]] = {**found, **taken, **option}
    framing.checked(mapping, frame.columns, table, str(path))
    notes: list[str] = []
    if table in ("products", "customers") and schema.ATTRIBUTES not in mapping:
        left, personal = _left_over(frame, mapping)
        if left:
            mapping[schema.ATTRIBUTES] = left
        if personal and table == "customers":
            notes.append(f"{tabular.listed(personal)} may identify persons and are left out")
    return _Table(path, table, frame, mapping, tuple(notes))


def _left_over(frame: pl.DataFrame, mapping: Mapping[str, str | list[str]]) -> tuple[list[str], list[str]]:
    used = {
        name for value in mapping.values() for name in ([value, *_parts(value)] if isinstance(value, str) else value)
    }
    left = [name for name in frame.columns if name not in used and frame[name].null_count() < len(frame)]
    left = [name for name in left if not isinstance(frame[name].dtype, pl.List)]
    personal = [name for name in left if PERSONAL & {*roles.words(name), roles.normal(name)}]
    return [name for name in left if name not in personal], personal


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


def _with_headers(path: Path, lines: pl.DataFrame, orders: list[_Table]) -> pl.DataFrame:
    """Lines with the columns of their order; the headers of several files may complete one another."""
    key = roles.detect(lines.columns, "events").get(schema.ORDER)
    if not orders or key is None:
        return lines  # the missing column is named when the mapping is checked
    for one in orders:
        own = one.mapping[schema.ORDER][0]
        headers = one.frame.with_columns(convert.ids(one.frame[own]).alias(own)).unique(
            own, keep="last", maintain_order=True
        )
        headers = headers.select(own, *(name for name in headers.columns if name not in lines.columns and name != own))
        lines = lines.with_columns(convert.ids(lines[key[0]]).alias(key[0]))
        lines = lines.join(headers, left_on=key[0], right_on=own, how="left", maintain_order="left")
    return lines


def _batches(one: _Table, request: ImportRequest) -> Iterator[Batch]:
    batch = framing.read_frame(
        one.frame, one.table, _for_reading(one), timezone=request.shop.timezone, origin=str(one.path)
    )
    notes = (*one.notes, *batch.notes)
    mapping = {one.table: one.text_mapping()}
    if one.table == "events":
        derived, extra = _derived(one, request)
        yield from derived
        notes += extra
    yield Batch(one.table, batch.frame, batch.origin, doubtful=batch.doubtful, notes=notes, mapping=mapping)


def _for_reading(one: _Table) -> dict[str, str | list[str]]:
    """Attributes of lines go to customers and products; what is left of them is the event's context."""
    mapping = dict(one.mapping)
    if one.table == "events":
        mapping.pop(schema.ATTRIBUTES, None)
        columns = one.columns()
        if schema.ATTRIBUTES in columns:
            rest = derive.owners(one.frame, _keys(one), columns[schema.ATTRIBUTES])["events"]
            if rest:
                mapping[schema.CONTEXT] = [*columns.get(schema.CONTEXT, []), *rest]
    return mapping


def _keys(one: _Table) -> pl.DataFrame:
    """Ids of customers and products per line."""
    columns = one.columns()
    made = {}
    for role in (schema.CUSTOMER, schema.PRODUCT):
        if role in columns and not columns[role][0].startswith("="):
            made[role] = convert.ids(one.frame[columns[role][0]]).alias(role)
        else:
            made[role] = pl.Series(role, [None], dtype=pl.Utf8).new_from_index(0, len(one.frame))
    return pl.DataFrame(made)


def _derived(one: _Table, request: ImportRequest) -> tuple[list[Batch], tuple[str, ...]]:
    columns, keys = one.columns(), _keys(one)
    batches, notes = [], []
    if any(role in columns for role in roles.PRODUCT_FIELDS):
        products = derive.products(one.frame, keys, columns)
        batches.append(Batch("products", products, str(one.path), fill_only=True))
        notes.append(f"{len(products):,} products are known from the lines")
    explicit = schema.ATTRIBUTES in columns
    names = columns[schema.ATTRIBUTES] if explicit else _left_over(one.frame, one.mapping)[0]
    for table, own in derive.owners(one.frame, keys, names).items():
        if table != "events" and own:
            rows = derive.attributes(one.frame, keys[schema.KEYS[table][0]], own, table)
            batches.append(Batch(table, rows, str(one.path), fill_only=True))
            notes.append(f"{tabular.listed(own)} hardly ever change within {table}: attributes of {table}")
    return batches, tuple(notes)


def _plan(one: _Table, request: ImportRequest) -> TablePlan:
    batch = framing.read_frame(
        one.frame, one.table, _for_reading(one), timezone=request.shop.timezone, origin=str(one.path)
    )
    notes = [*one.notes, *batch.notes]
    mapping = one.text_mapping()
    if one.table == "events":
        notes += _derived(one, request)[1]
    used = {name for names in one.columns().values() for name in names}
    return TablePlan(
        origin=str(one.path),
        table=one.table,
        mapping=mapping,
        types={name: str(kind) for name, kind in one.frame.schema.items()},
        rows=len(one.frame),
        preview=batch.frame.head(5),
        unused=tuple(name for name in one.frame.columns if name not in used),
        notes=tuple(notes),
    )
