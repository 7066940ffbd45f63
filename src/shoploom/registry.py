"""Model versions: published whole or not at all, never changed afterwards, with one champion that serves.

A version is a folder of safetensors, LightGBM text and JSON. ``manifest.json`` names every file with its SHA-256, the
fingerprint of the data, the configuration and the measured metrics. The champion is an alias in ``champion.json``, so
that promoting and rolling back move one small file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shoploom import __version__
from shoploom.errors import NotFoundError, NotReadyError, WorkspaceError, unknown_name

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHAMPION: Final = "champion.json"
REPORT: Final = "report.json"
EXECUTABLE: Final = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".py", ".so"})
"""Suffixes of files that run code when they are loaded; a version never holds them."""

_NAME = re.compile(r"v(\d{4,})")
_UNFINISHED = ".unfinished-"
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR})


@dataclass(frozen=True)
class Version:
    """One published model.

    Args:
        name: ``v0001`` and so on, in the order of publishing.
        created_at: ISO moment, UTC.
        is_champion: Whether this version serves.
        manifest: Everything that ``manifest.json`` says.
    """

    name: str
    created_at: str
    is_champion: bool
    manifest: Mapping[str, Any]


class Registry:
    """The versions below one directory. Several processes may read, publish and promote at the same time.

    Args:
        models_dir: The directory; it is made when the first version is published.
    """

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = Path(models_dir)

    def publish(self, write: Callable[[Path], Mapping[str, Any]]) -> str:
        """Publish what ``write`` puts into a fresh folder, under the next free name.

        Args:
            write: Fills the folder and returns what the manifest says beside files, name and time.

        Returns:
            The name of the version. Nothing is visible before everything is on the disk.

        Raises:
            WorkspaceError: If the disk is full or not writable; nothing is left behind.
        """
        try:
            with self._scratch() as folder:
                manifest = dict(write(folder))
                files = _hashes(folder)
                return self._place(folder, manifest, files)
        except OSError as error:
            if error.errno not in _DISK_TROUBLE:
                raise
            raise WorkspaceError(_disk_trouble(self.models_dir, error)) from error

    def versions(self) -> list[Version]:
        """All published versions, oldest first."""
        champion = self.champion()
        found = []
        for name in self._names():
            manifest = self.manifest(name)
            found.append(Version(name, str(manifest.get("created_at", "")), name == champion, manifest))
        return found

    def champion(self) -> str | None:
        """The version that serves; None before the first promotion."""
        name = self._alias()["champion"]
        return None if name is None else str(name)

    def history(self) -> list[dict[str, Any]]:
        """Every promotion and rollback, oldest first: ``at``, ``action``, ``from``, ``to``."""
        return list(self._alias()["log"])

    def folder(self, name: str) -> Path:
        """Where a version lies.

        Raises:
            NotFoundError: If there is no such version; the message lists those that exist.
        """
        names = self._names()
        if name not in names:
            advice = "`shoploom info` lists the versions" if names else "`shoploom train` makes one"
            raise NotFoundError(f"{unknown_name('model version', name, names)} {advice}")
        return self.models_dir / name

    def manifest(self, name: str) -> dict[str, Any]:
        """What ``manifest.json`` of a version says.

        Raises:
            WorkspaceError: If it cannot be read, or was written by a newer Shoploom.
        """
        path = self.folder(name) / MANIFEST
        manifest = _read_json(path, f"model version {name} is damaged; promote another version or train again")
        if manifest.get("format", 0) > FORMAT:
            raise WorkspaceError(
                f"model version {name} has format {manifest['format']}; this Shoploom ({__version__}) reads up to "
                f"{FORMAT}. Upgrade Shoploom, or train again with this one"
            )
        return manifest

    def report(self, name: str) -> dict[str, Any]:
        """What ``report.json`` of a version says.

        Raises:
            WorkspaceError: If it cannot be read.
        """
        path = self.folder(name) / REPORT
        return _read_json(path, "restore it from a backup, or train again; `shoploom info` lists the versions")

    def verify(self, name: str) -> int:
        """Check that every file of a version is there and unchanged.

        Returns:
            The number of files checked.

        Raises:
            WorkspaceError: Naming the files that are missing, changed or not in the manifest.
        """
        folder, expected = self.folder(name), self.manifest(name).get("files", {})
        found = _hashes(folder)
        trouble = [f"{path} is missing" for path in sorted(expected.keys() - found.keys())]
        trouble += [f"{path} is not in the manifest" for path in sorted(found.keys() - expected.keys())]
        trouble += [f"{path} was changed" for path in sorted(found.keys() & expected) if found[path] != expected[path]]
        if trouble:
            more = f" and {len(trouble) - 5} more" if len(trouble) > 5 else ""
            raise WorkspaceError(
                f"model version {name} is damaged: {'; '.join(trouble[:5])}{more}. Restore {folder} from a backup, "
                "promote another version, or train again"
            )
        return len(found)

    def promote(self, name: str) -> str | None:
        """Let a version serve, after checking its files.

        Returns:
            The version that served before.
        """
        self.verify(name)
        with self._locked():
            alias = self._alias()
            before = alias["champion"]
            if before != name:
                previous = alias["previous"] + ([before] if before else [])
                self._write_alias(name, previous, alias["log"], "promote", before)
        return None if before is None else str(before)

    def rollback(self) -> str:
        """Let the version serve that served before the champion.

        Returns:
            Its name.

        Raises:
            NotReadyError: If nothing served before.
        """
        with self._locked():
            alias = self._alias()
            if not alias["previous"]:
                raise NotReadyError(
                    f"there is nothing to roll back to: {alias['champion'] or 'no version'} serves, and no "
                    "earlier champion is left. `shoploom info` lists the versions, `shoploom promote VERSION` picks one"
                )
            *previous, name = alias["previous"]
            self.verify(name)
            self._write_alias(name, previous, alias["log"], "rollback", alias["champion"])
        return str(name)

    def _names(self) -> list[str]:
        if not self.models_dir.is_dir():
            return []
        found = [entry.name for entry in self.models_dir.iterdir() if _NAME.fullmatch(entry.name) and entry.is_dir()]
        return sorted(found, key=lambda name: int(name[1:]))

    def _alias(self) -> dict[str, Any]:
        path = self.models_dir / CHAMPION
        if not path.exists():
            return {"champion": None, "previous": [], "log": []}
        alias = _read_json(path, "move it away, then `shoploom promote VERSION` writes it anew")
        if not alias.keys() >= {"champion", "previous", "log"}:
            raise WorkspaceError(f"{path} lacks 'champion', 'previous' or 'log'; move it away and promote a version")
        return alias

    def _write_alias(self, name: str, previous: list[str], log: list[Any], action: str, before: str | None) -> None:
        entry = {"at": _now(), "action": action, "from": before, "to": name}
        text = _json({"format": FORMAT, "champion": name, "previous": previous, "log": [*log, entry]})
        _write(self.models_dir / f"{CHAMPION}.new", text)
        os.replace(self.models_dir / f"{CHAMPION}.new", self.models_dir / CHAMPION)
        _sync(self.models_dir)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; the lock goes with the process, however it ends."""
        self.models_dir.mkdir(parents=True, exist_ok=True)
        with (self.models_dir / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A fresh folder that other processes know to be in use; those of killed processes are removed first."""
        with self._locked():
            self._remove_unfinished()
            folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.models_dir))
            handle = _hold(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if handle is not None:
                os.close(handle)

    def _remove_unfinished(self) -> None:
        for folder in self.models_dir.glob(f"{_UNFINISHED}*"):
            handle = _hold(folder)
            if handle is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)

    def _place(self, folder: Path, extras: dict[str, Any], files: dict[str, str]) -> str:
        """Write the manifest and give the folder its name; on the disk before anybody sees it."""
        assert not extras.keys() & {"format", "version", "shoploom", "files"}, "reserved manifest keys"
        for path in files:
            _sync(folder / path)
            (folder / path).chmod(0o444)
        with self._locked():
            names = self._names()
            name = f"v{int(names[-1][1:]) + 1 if names else 1:04d}"
            head = {"format": FORMAT, "version": name, "created_at": _now(), "shoploom": __version__}
            _write(folder / MANIFEST, _json({**head, **extras, "files": files}))
            folder.chmod(0o755)
            for inner in [path for path in folder.rglob("*") if path.is_dir()]:
                _sync(inner)
            _sync(folder)
            folder.rename(self.models_dir / name)
            _sync(self.models_dir)
        return name


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by path below the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path == folder / MANIFEST:
            continue
        assert path.suffix not in EXECUTABLE, f"{path.name} may run code when it is loaded; versions hold data only"
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _hold(folder: Path) -> int | None:
    """An open, locked handle on a folder; None if a living process holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _read_json(path: Path, advice: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); {advice}") from error
    if not isinstance(content, dict):
        raise WorkspaceError(f"{path} holds a {type(content).__name__}, not an object; {advice}")
    return content


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems refuse to sync a directory
            os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _disk_trouble(folder: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk of {folder} is full; free some space and train again. No half-written version was left"
    return f"{folder} cannot be written ({error}); check its permissions. No half-written version was left"
