"""Products that must not be shown and customers who asked to be forgotten: a small file, read at start.

Deleting takes effect with the next request, and the next training learns nothing from a forgotten customer; bulk
tables stay as they are until the shop exports them anew.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from shoploom.data.atomic import write_text
from shoploom.errors import WorkspaceError

FILE = "hidden.json"
KINDS = ("products", "customers")


class Hidden:
    """Two sets of ids in one JSON file that is replaced as a whole.

    Args:
        path: The file; it need not exist.

    Raises:
        WorkspaceError: If the file is no JSON of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        self._lock = threading.Lock()
        self._ids = {kind: set[str]() for kind in KINDS}
        if path.exists():
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                self._ids = {kind: {str(one) for one in raw.get(kind, [])} for kind in KINDS}
            except (ValueError, AttributeError) as error:
                raise WorkspaceError(
                    f"{path} should list hidden products and customers as JSON, but {error}; "
                    'restore it from a backup, or write {"products": [], "customers": []}'
                ) from error

    @property
    def products(self) -> frozenset[str]:
        """Ids of products that are never recommended."""
        return frozenset(self._ids["products"])

    @property
    def customers(self) -> frozenset[str]:
        """Ids of customers whom no answer and no training knows."""
        return frozenset(self._ids["customers"])

    def hides(self, kind: str, one: str) -> bool:
        """Whether an id of ``products`` or ``customers`` is hidden."""
        return one in self._ids[kind]

    def set(self, kind: str, one: str, hidden: bool) -> bool:
        """Hide or show an id; durable when it returns. Says whether anything changed."""
        with self._lock:
            ids = self._ids[kind]
            if (one in ids) == hidden:
                return False
            self._ids[kind] = ids | {one} if hidden else ids - {one}
            self._write()
            self.generation += 1
            return True

    def _write(self) -> None:
        write_text(self.path, json.dumps({kind: sorted(ids) for kind, ids in self._ids.items()}, ensure_ascii=False))
