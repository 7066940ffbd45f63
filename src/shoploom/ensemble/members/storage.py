"""How members are kept on disk: settings as JSON, arrays as safetensors. Nothing here can run code on loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from shoploom.errors import WorkspaceError

Arrays = dict[str, NDArray[Any]]
SETTINGS, ARRAYS = "member.json", "member.safetensors"


def save_state(folder: Path, settings: dict[str, Any], arrays: Arrays | None = None) -> None:
    """Write a member's state into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True), encoding="utf-8")
    if arrays:
        # safetensors has no flags of one bit, and writes the buffer as it lies in memory
        plain = {name: np.ascontiguousarray(one) for name, one in arrays.items()}
        save_file(plain, folder / ARRAYS)


def load_state(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """The inverse of ``save_state``.

    Raises:
        WorkspaceError: If the folder holds no member.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise WorkspaceError(f"{folder} holds no member: {SETTINGS} is missing; train again or roll back")
    arrays = load_file(folder / ARRAYS) if (folder / ARRAYS).is_file() else {}
    return json.loads(path.read_text(encoding="utf-8")), arrays
