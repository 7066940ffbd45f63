"""Who wins a task, read from a report's ``tasks`` entry; used by the page and the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

SHARED: Final = "shared"
OURS: Final = (SHARED, "blend", "fused")
"""Members that the shared model has a part in: no rivals of it."""
Report = Mapping[str, Any]
NOT_MEASURABLE: Final = "not measurable"


def best_rival(task: Report) -> str | None:
    """The member that the shared model has no part in with the best main metric."""
    members: Report = task.get("members", {})
    names = [name for name in task.get("differences") or members if name not in OURS and name in members]
    known = {name: value for name in names if (value := main_metric(task, name)["value"]) is not None}
    if not known:
        return None
    return (min if task.get("lower_is_better") else max)(known, key=lambda name: known[name])


def verdict(task: Report, rival: str | None) -> str:
    """``better``, ``worse`` or ``level``: the shared model beside a rival.

    ``alone`` without a rival, ``not judged`` without a shared model, ``not measurable`` where the metric or its
    interval is no number: nobody bought, or all cases are alike.

    Example:
        >>> task = {"lower_is_better": True, "differences": {"mean": {"value": -0.2, "low": -0.3, "high": -0.1}}}
        >>> verdict(task, "mean")
        'better'
    """
    members: Report = task.get("members", {})
    if members and all(main_value(task, name) is None for name in members):
        return NOT_MEASURABLE
    if members and SHARED not in members:
        return "not judged"
    if SHARED in members and main_value(task, SHARED) is None:
        return NOT_MEASURABLE
    if rival is None or rival not in task.get("differences", {}):
        return "alone"
    one = difference(task, rival)
    low, high = one["low"], one["high"]
    if low is None or high is None:
        return NOT_MEASURABLE
    if low <= 0 <= high:
        return "level"
    return "better" if (high < 0) == bool(task.get("lower_is_better")) else "worse"


def main_metric(task: Report, member: str) -> Mapping[str, float | None]:
    """Value, low and high of a member's main metric; None where it was not measured or is no number."""
    return _measured(task.get("members", {}).get(member, {}).get(task.get("metric")))


def difference(task: Report, rival: str | None) -> Mapping[str, float | None]:
    """Value, low and high of the shared model minus a rival; None where it was not measured or is no number."""
    return _measured(task.get("differences", {}).get(rival))


def main_value(task: Report, member: str | None) -> float | None:
    """A member's main metric; None without the member."""
    return None if member is None else main_metric(task, member)["value"]


def _measured(values: Mapping[str, float | None] | None) -> Mapping[str, float | None]:
    found = {name: (values or {}).get(name) for name in ("value", "low", "high")}
    return {name: one if one is not None and math.isfinite(one) else None for name, one in found.items()}
