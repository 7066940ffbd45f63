"""Files that are either whole or not there: written beside their place, synced, then renamed.

A full disk or a missing permission becomes one ``WorkspaceError`` that says what to do; a kill leaves at most a
``.tmp`` file, which the next holder of the workspace lock removes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from shoploom.errors import WorkspaceError

SUFFIX = ".tmp"
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file grew too big",
}
_DENIED = {
    errno.EACCES: "writing is not allowed",
    errno.EPERM: "writing is not allowed",
    errno.EROFS: "it is read-only",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the disk into a ``WorkspaceError``; anything else passes through."""
    try:
        yield
    except OSError as error:
        raise _explained(path, error.errno, error) from error
    except pl.exceptions.ComputeError as error:  # what polars makes of an error of the disk while writing
        number = _number_in(str(error))
        if number is None:
            raise
        raise _explained(path, number, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it takes the place of ``path`` when the block ends well, or vanishes.

    Raises:
        WorkspaceError: If the disk is full or cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def staged_parquet(path: Path, frame: pl.DataFrame) -> Iterator[Path]:
    """A table written and synced beside its place, for ``put`` to move there; gone at the end if it was not moved."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.staged{SUFFIX}")
    try:
        with disk_errors(path):
            frame.write_parquet(staged, compression="zstd", compression_level=1)
            sync(staged)
        yield staged
    finally:
        staged.unlink(missing_ok=True)


def put(staged: Path, path: Path) -> None:
    """Move a staged file to its place, for good."""
    with disk_errors(path):
        staged.replace(path)
        sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table, whole or not at all."""
    with replacing(path) as temporary:
        frame.write_parquet(temporary, compression="zstd", compression_level=1, statistics=True)


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """A table that was written here.

    Raises:
        WorkspaceError: If the file is damaged or cannot be read.
    """
    with _readable(path):
        return pl.read_parquet(path, columns=columns)


def count_rows(path: Path) -> int:
    """Rows of a table, from the file's last bytes.

    Raises:
        WorkspaceError: If the file is damaged or cannot be read.
    """
    with _readable(path):
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise WorkspaceError(
            f"{path} cannot be read ({str(error).splitlines()[0]}); restore it from a backup, or move it away and "
            "import its rows again"
        ) from error


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> list[Path]:
    """Remove what killed writers left behind; only for the holder of the workspace lock."""
    left = [path for path in folder.rglob(f".*{SUFFIX}") if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _explained(path: Path, number: int | None, error: Exception) -> WorkspaceError:
    if number in _FULL:
        return WorkspaceError(
            f"could not write {path}: {_FULL[number]}. Nothing was changed; free some space and run the command again"
        )
    if number in _DENIED:
        return WorkspaceError(
            f"could not write {path}: {_DENIED[number]}. Nothing was changed; check the owner and the permissions of "
            f"{path.parent}, or use another workspace directory"
        )
    return WorkspaceError(f"could not write {path}: {error}. Nothing was changed; mend the cause and run it again")


def _number_in(text: str) -> int | None:
    for number in (*_FULL, *_DENIED):
        if f"os error {number})" in text or os.strerror(number) in text:
            return number
    return None
