"""Files as they are into frames: CSV, TSV, JSON lines and Parquet, plain or gzipped.

Text files come out as text columns, so that ``007`` stays ``007``; what a column means is decided elsewhere.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from shoploom.errors import SchemaError, unknown_name

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet")
_DELIMITERS = (",", ";", "\t", "|")
_SHOWN = 60
_NESTED_LISTS = ("items", "products", "lineitems", "productdetails", "properties.products", "lines", "contents")


def expand(paths: tuple[Path, ...]) -> list[Path]:
    """The files that some paths mean: a folder means the readable files in it.

    Raises:
        SchemaError: If a path does not exist, or a folder holds nothing readable.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.is_file() and _suffix(one) in SUFFIXES)
            if not inside:
                raise SchemaError(f"{path}: no file in this folder ends with {', '.join(SUFFIXES)} (or .gz)")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise SchemaError(f"{path}: there is no such file{_nearest(path)}")
    return found


def read(path: Path, delimiter: str | None = None) -> pl.DataFrame:
    """A file as a frame.

    Args:
        path: The file; its content decides where the ending says nothing.
        delimiter: Of a text file; found where None.

    Raises:
        SchemaError: If the file is empty, garbage, ragged, or has a column twice; the message says what to do.
    """
    suffix = _suffix(path)
    if suffix in (".xlsx", ".xls", ".ods"):
        raise SchemaError(f"{path}: spreadsheets are not read; save the sheet as CSV (UTF-8) and import that")
    body = _body(path)
    if not body.strip():
        raise SchemaError(f"{path}: the file is empty; export it again, with a header line")
    if body[:4] == b"PAR1":
        frame = _parquet(path, body)
    elif suffix == ".parquet":
        raise SchemaError(f"{path}: this is no Parquet file, though its name says so; export it again")
    else:
        content = _decoded(path, body)
        as_json = suffix in (".jsonl", ".ndjson", ".json") or (suffix not in (".csv", ".tsv") and content[:1] in "{[")
        frame = _json_lines(path, content) if as_json else _csv(path, content, delimiter)
    if not frame.width or not len(frame):
        raise SchemaError(f"{path}: the table has no rows; export it again")
    return flatten(frame)


def flatten(frame: pl.DataFrame) -> pl.DataFrame:
    """Nested fields as ``a.b`` columns; a list of line items becomes a row per item."""
    for _ in range(4):
        structs = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]
        for name in structs:
            frame = frame.with_columns(pl.col(name).name.map_fields(lambda field, name=name: f"{name}.{field}"))  # type: ignore[misc]
            frame = frame.unnest(name)
        lists = [name for name, kind in frame.schema.items() if _is_items(name, kind)]
        if lists:
            frame = frame.explode(lists[0])
        if not structs and not lists:
            break
    return frame


def clip(value: object) -> str:
    """Something of the user's, short enough for a message, on one line."""
    shown = "".join(one if one.isprintable() else "�" for one in str(value))
    return repr(shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…")


def listed(names: list[str], most: int = 12) -> str:
    """Column names for a message."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(clip(name) for name in names[:most]) + more


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _nearest(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else None
    if folder is None:
        return f"; the folder {path.parent} does not exist either"
    names = sorted(one.name for one in folder.iterdir() if one.is_file())
    hint = unknown_name("file", path.name, names).partition("Did you mean ")[2]
    return f". Did you mean {hint}" if hint else f"; {folder.resolve()} holds {listed(names, 5) or 'no files'}"


def _body(path: Path) -> bytes:
    try:
        body = path.read_bytes()
        return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SchemaError(f"{path}: the gzip file is damaged or was cut off ({error}); copy it again") from error
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read ({error.strerror}); check the permissions") from error


def _parquet(path: Path, body: bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(body))
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise SchemaError(
            f"{path}: the Parquet file is damaged or was cut off ({clip(first)}); copy it again"
        ) from error


def _decoded(path: Path, body: bytes) -> str:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = body.decode("utf-16", errors="replace")
    else:
        try:
            content = body.decode("utf-8-sig")
        except UnicodeDecodeError:
            content = body.decode("cp1252", errors="replace")
    sample = content[:100_000]
    odd = sum(1 for one in sample if (ord(one) < 32 and one not in "\t\r\n\f") or one in "\ufffd\x7f")
    if odd > 0.01 * len(sample):
        raise SchemaError(
            f"{path}: this is no text table ({odd / len(sample):.0%} of the first characters cannot be text); wanted "
            "CSV, TSV, JSON lines or Parquet, plain or .gz"
        )
    return content


def _csv(path: Path, content: str, delimiter: str | None) -> pl.DataFrame:
    found = sniff(content)
    if delimiter is not None and delimiter != found and found is not None:
        header = next(csv.reader(io.StringIO(content[:200_000]), delimiter=delimiter))
        if len(header) == 1:
            raise SchemaError(
                f"{path}: the delimiter {delimiter!r} finds one column only; the file looks separated by {found!r}, "
                "so leave the delimiter out, or give the right one"
            )
    delimiter = delimiter or found or ","
    header = _header(path, content, delimiter)
    try:
        frame = pl.read_csv(content.encode(), separator=delimiter, infer_schema=False, encoding="utf8", quote_char='"')
    except pl.exceptions.NoDataError as error:
        raise SchemaError(f"{path}: the table has a header but no rows; export it again") from error
    except pl.exceptions.PolarsError as error:
        raise SchemaError(_ragged(path, content, delimiter, len(header), error)) from error
    return frame.rename(dict(zip(frame.columns, header, strict=True)))


def sniff(content: str) -> str | None:
    r"""The delimiter that cuts the first lines into the same number of parts; None if there is none.

    Example:
        >>> sniff("a;b;c\n1,5;2;3\n1,5;2;3\n")
        ';'
    """
    lines = [line for line in content[:100_000].splitlines()[:60] if line.strip()]
    best: tuple[float, int, str] | None = None
    for delimiter in _DELIMITERS:
        counts = Counter(_separators(line, delimiter) for line in lines)
        number, lines_with = counts.most_common(1)[0]
        if number and (best is None or (lines_with / len(lines), number) > best[:2]):
            best = (lines_with / len(lines), number, delimiter)
    return best[2] if best else None


def _separators(line: str, delimiter: str) -> int:
    return sum(part.count(delimiter) for part in line.split('"')[::2])


def _header(path: Path, content: str, delimiter: str) -> list[str]:
    try:
        header = next(csv.reader(io.StringIO(content[:1_000_000]), delimiter=delimiter))
    except csv.Error as error:
        raise SchemaError(f"{path}: the first line is no header of columns ({error}); is this a table?") from error
    names = [name.strip() for name in header]
    names = [name or f"column_{place}" for place, name in enumerate(names, start=1)]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise SchemaError(
            f"{path}: the column {listed(twice)} stands in the header more than once; rename or remove one"
        )
    if names and all(_is_value(name) for name in names):
        raise SchemaError(
            f"{path}: the first line ({listed(names, 4)}) holds values, not names of columns; put a header line on top"
        )
    return names


def _is_value(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text[:4].isdigit() and not text.isalnum() and text[-1].isdigit()
    return True


def _ragged(path: Path, content: str, delimiter: str, width: int, error: Exception) -> str:
    with io.StringIO(content) as lines:
        try:
            for row, fields in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
                if fields and len(fields) > width:
                    return (
                        f"{path}: line {row} has {len(fields)} fields, the header has {width}; quote values "
                        f"that hold {delimiter!r}, or export with another delimiter"
                    )
        except csv.Error as wrong:
            return f"{path}: the quotes in the file do not match up ({wrong}); export it again with quotes doubled"
    first = str(error).splitlines()[0]
    return (
        f"{path}: cannot be read as a table separated by {delimiter!r} ({clip(first)}); export it again as CSV in UTF-8"
    )


def _json_lines(path: Path, content: str) -> pl.DataFrame:
    if content.lstrip()[:1] == "[":
        try:
            rows = json.loads(content)
        except json.JSONDecodeError as error:
            raise SchemaError(f"{path}: no valid JSON (line {error.lineno}: {error.msg}); export it again") from error
        return _from_rows(path, rows)
    try:
        return pl.read_ndjson(content.encode(), infer_schema_length=None)
    except (pl.exceptions.PolarsError, RuntimeError):  # mixed types, or not JSON: the slow way finds out
        return _from_rows(
            path, [_line(path, row, line) for row, line in enumerate(content.splitlines(), 1) if line.strip()]
        )


def _line(path: Path, row: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise SchemaError(
            f"{path}: line {row} is no JSON object ({error.msg}): {clip(line)}; export it again"
        ) from error


def _from_rows(path: Path, rows: Any) -> pl.DataFrame:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SchemaError(f"{path}: wanted a JSON object per line, or a list of objects; export it again")
    if not rows:
        raise SchemaError(f"{path}: the table has no rows; export it again")
    try:
        return pl.from_dicts(rows, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError):  # 1 in one row, "1" in another: as text
        texts = [{name: _as_text(value) for name, value in row.items()} for row in rows]
        return pl.from_dicts(texts, infer_schema_length=None)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


def _is_items(name: str, kind: pl.DataType) -> bool:
    plain = name.lower().replace("_", "").replace("[]", "")
    nested = isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct)
    return nested and (plain in _NESTED_LISTS or plain.rsplit(".", 1)[-1] in _NESTED_LISTS)
