"""Who wins a task, read from a report's ``tasks`` entry; used by the page and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SHARED: Final = "shared"
OURS: Final = (SHARED, "blend")
"""Members that the shared model has a part in: no rivals of it."""
Report = Mapping[str, Any]
_UNKNOWN: Final[Mapping[str, float | None]] = {"value": None, "low": None, "high": None}


def best_rival(task: Report) -> str | None:
    """The member that the shared model has no part in with the best main metric."""
    members: Report = task.get("members", {})
    names = [name for name in task.get("differences") or members if name not in OURS and name in members]
    known = {name: value for name in names if (value := main_metric(task, name)["value"]) is not None}
    if not known:
        return None
    return (min if task.get("lower_is_better") else max)(known, key=lambda name: known[name])


def verdict(task: Report, rival: str | None) -> str:
    """``better``, ``worse`` or ``level``: the shared model beside a rival; ``alone`` without one.

    Example:
        >>> task = {"lower_is_better": True, "differences": {"mean": {"value": -0.2, "low": -0.3, "high": -0.1}}}
        >>> verdict(task, "mean")
        'better'
    """
    difference = task.get("differences", {}).get(rival)
    if difference is None or difference["low"] is None or difference["high"] is None:
        return "alone"
    low, high = difference["low"], difference["high"]
    if low <= 0 <= high:
        return "level"
    return "better" if (high < 0) == bool(task.get("lower_is_better")) else "worse"


def main_metric(task: Report, member: str) -> Mapping[str, float | None]:
    """Value, low and high of a member's main metric; None where it was not measured."""
    return task.get("members", {}).get(member, {}).get(task.get("metric")) or _UNKNOWN


def main_value(task: Report, member: str | None) -> float | None:
    """A member's main metric; None without the member."""
    return None if member is None else main_metric(task, member)["value"]
