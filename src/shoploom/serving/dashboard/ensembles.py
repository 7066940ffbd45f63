"""What the page about ensembles shows: members beside each other as bars, and who put what on a customer's list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shoploom.apps import customers, ensemble
from shoploom.ensemble.court import SHARED
from shoploom.inference.engine import Engine

COLOURS = 9
"""Of members in the style sheet, beside that of the shared model."""
LIKE = 6
"""Customers that are offered where an id is unknown."""


def page(engine: Engine, task: str = "", customer_id: str = "") -> dict[str, Any]:
    """The whole page; the box at its end begins with the customer who bought last."""
    found = ensemble.ensembles(engine)
    views = list(found["tasks"].values())
    rankings = [_ranking(one) for one in views if one["shape"] == ensemble.RANKING and not one["missing"]]
    return {
        "rankings": rankings,
        "others": [one for one in views if one["shape"] != ensemble.RANKING or one["missing"]],
        "max_ms": found["max_ms"],
        **box(engine, task or next((one["task"] for one in rankings), ""), customer_id),
    }


def box(engine: Engine, task: str, customer_id: str = "") -> dict[str, Any]:
    """A customer's list with who put what there; where the id is unknown, customers whose id holds what was typed.

    Raises:
        NotFoundError: If the task is unknown.
        UsageError: If the task is no ranking.
    """
    served, wanted = engine.current, customer_id.strip()
    if not wanted:
        wanted = next((one["customer_id"] for one in customers.search(engine, "", k=1)["customers"]), "")
    shown: dict[str, Any] = {"task": task, "customer_id": wanted, "list": None, "like": [], "colours": {}}
    if not task:
        return shown
    if served.state.customer(wanted) < 0:
        like = customers.search(engine, wanted, k=LIKE)["customers"]
        return shown | {"like": [one["customer_id"] for one in like]}
    found = ensemble.contributions(served, task, wanted)
    panel = (served.manifest["tasks"].get(task) or {}).get("panel") or {"members": found["members"]}
    for item in found["items"]:
        item["parts"] = [
            {"member": name, "share": item["shares"].get(name, 0.0), "rank": item["ranks"].get(name)}
            for name in (found["members"] if item["ranks"] else [])
        ]
    return shown | {"list": found, "colours": colours(list(panel["members"]))}


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour of the style sheet for each member; the shared model's is the same everywhere.

    Example:
        >>> colours(["markov", "shared", "tifu_knn"])
        {'markov': 'm1', 'shared': 'ours', 'tifu_knn': 'm2'}
    """
    others = [name for name in names if name != SHARED]
    places = {name: f"m{1 + place % COLOURS}" for place, name in enumerate(others)}
    return {name: places.get(name, "ours") for name in names}


def _ranking(view: Mapping[str, Any]) -> dict[str, Any]:
    """A task's view with widths of its bars in percent, and its best single member."""
    if "fusion" not in view:
        return dict(view)
    members, fusions, rungs = ([dict(one) for one in view[name]] for name in ("members", "fusions", "rungs"))
    most = max([one["value"] for one in (*fusions, *rungs)] + [one["alone"] for one in members])
    for one in members:
        one |= {"alone_at": _part(one["alone"], most), "change": _change(one["difference"])}
    for one in fusions:
        one["at"] = _part(one["value"], most)
    best = max(members, key=lambda one: one["alone"])
    return {
        **view,
        "members": members,
        "fusions": fusions,
        "rungs": rungs,
        "best": best,
        "best_at": best["alone_at"],
        "colours": colours([one["member"] for one in members]),
    }


def _change(value: float) -> str:
    """A difference of metrics with its sign, to four decimals.

    Example:
        >>> _change(-0.009), _change(0.00001)
        ('−0.0090', '±0')
    """
    return f"{value:+.4f}".replace("-", "−") if round(abs(value), 4) else "±0"


def _part(value: float, most: float) -> float:
    return round(100 * max(0.0, value) / most, 1) if most > 0 else 0.0
