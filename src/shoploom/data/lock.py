"""One importer or trainer at a time: an advisory lock on a file, released by the system when a process dies."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shoploom.data import atomic
from shoploom.errors import WorkspaceError


class WorkspaceLock:
    """A lock that its owner may take again while it has it.

    Args:
        path: The lock file; it also says who holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._depth = 0
        self._thread = threading.RLock()

    @contextmanager
    def held(self, purpose: str) -> Iterator[None]:
        """Hold the lock for a while.

        Args:
            purpose: What for, as another process is told: ``import``, ``training``.

        Raises:
            WorkspaceError: If another process holds it, naming the process.
        """
        with self._thread:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            handle = self._take(purpose)
            self._depth = 1
            try:
                yield
            finally:
                self._depth = 0
                os.close(handle)  # releases the lock

    def _take(self, purpose: str) -> int:
        with atomic.disk_errors(self._path):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise WorkspaceError(
                f"{self._path.parent.parent} is in use by {self._holder()}; wait for it to end"
            ) from error
        holder = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        with atomic.disk_errors(self._path):
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps(holder).encode())
        return handle

    def _holder(self) -> str:
        try:
            holder = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {holder['pid']} ({holder['purpose']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
