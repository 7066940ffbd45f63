"""Where a published version keeps its members, and how they come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shoploom.ensemble.fused import Fused
from shoploom.ensemble.fusion import Blend
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.errors import NotFoundError

SHARED_FOLDER, MEMBERS_FOLDER = "shared", "members"
TOGETHER: Mapping[str, Callable[[Path], Member]] = {Blend.name: Blend.load, Fused.name: Fused.load}
"""Members that are made of others."""


def member_folder(folder: Path, task: str, name: str) -> Path:
    """Where a version keeps one fitted member."""
    return folder / MEMBERS_FOLDER / task / name


def load_member(folder: Path, task: str, name: str) -> Member:
    """A fitted member of a version.

    Raises:
        NotFoundError: If the version does not have it.
    """
    home = member_folder(folder, task, name)
    if not home.is_dir():
        kept = sorted(one.name for one in home.parent.glob("*")) if home.parent.is_dir() else []
        raise NotFoundError(f"{folder.name} keeps no member {name!r} for task {task!r}; it keeps {', '.join(kept)}")
    load: Callable[[Path], Member] = TOGETHER.get(name) or MEMBERS.load(name).load
    return load(home)


def load_members(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Member]:
    """The serving member of every task of a version."""
    return {
        task: load_member(folder, task, entry["served_by"])
        for task, entry in manifest["tasks"].items()
        if entry.get("served_by")
    }
