"""Who collaborates on a ranking: what each member is worth and costs, and who put which product on a customer's list.

What is said of a version comes from its manifest alone; only contributions need its members in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shoploom.apps.products import iso, line
from shoploom.ensemble.court import BLEND, FUSED
from shoploom.ensemble.fused import DEPTH, Contribution, Fused
from shoploom.errors import NotFoundError, UsageError, unknown_name
from shoploom.evaluation.numbers import percent
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.served import Recommendation, Served
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Repeats, Task

LISTED = 10
"""Length of the list whose contributions are shown."""
RANKING = "ranking"
UNTRIED = (
    "no ensemble was tried: that needs two members, 60 customers who came back after the cut, and a training "
    "that knows ensembles"
)


def ensembles(engine: Engine, customer_id: str | None = None) -> dict[str, Any]:
    """Every task of the serving version; rankings with what is known about their ensemble.

    Args:
        engine: The serving engine.
        customer_id: Of a known customer, whose lists are explained for each ranking.

    Raises:
        NotFoundError: If the customer is unknown.
    """
    served = engine.current
    found = of_version(served.manifest, max_ms=engine.max_ms)
    for name, view in found.items():
        view["dropped"] = _dropped(engine, name)
        if customer_id is not None and view["shape"] == RANKING and name in served.members:
            view["customer"] = contributions(served, name, customer_id)
    return {"model_version": served.version, "max_ms": engine.max_ms, "tasks": found}


def ensemble(engine: Engine, task: str, customer_id: str | None = None) -> dict[str, Any]:
    """One task of the serving version, as in ``ensembles``.

    Raises:
        NotFoundError: If the version does not have the task, or the customer is unknown.
        UsageError: If a customer's list is asked of a task that does not rank.
    """
    served = engine.current
    view = of_version(served.manifest, max_ms=engine.max_ms, only=task)[task]
    found = {"model_version": served.version, "max_ms": engine.max_ms, **view, "dropped": _dropped(engine, task)}
    return found if customer_id is None else found | {"customer": contributions(served, task, customer_id)}


def of_version(
    manifest: Mapping[str, Any], *, max_ms: float | None = None, only: str | None = None
) -> dict[str, dict[str, Any]]:
    """What a version's manifest says about who answers each task.

    Args:
        manifest: As the registry gives it.
        max_ms: Limit of the service; None: none.
        only: A task; None: all of them.

    Returns:
        By task: ``served_by``, ``together`` (an ensemble answers), ``reason``, ``missing``, ``note`` (why no ensemble
        answers) and, where an ensemble was tried, ``fusion``, ``fusions``, ``members``, ``rungs``, ``expected``.

    Raises:
        NotFoundError: If the version does not have the task that is asked for.
    """
    entries: Mapping[str, Mapping[str, Any]] = manifest.get("tasks") or {}
    if only is not None and only not in entries:
        raise NotFoundError(unknown_name("task", only, entries))
    budget = (manifest.get("config") or {}).get("train", {}).get("max_ms")
    return {
        name: _view(name, entry, max_ms=max_ms, budget_ms=budget)
        for name, entry in entries.items()
        if only in (None, name)
    }


def serving_rung(panel: Mapping[str, Any], max_ms: float | None) -> Mapping[str, Any]:
    """The rung that answers within a limit, as ``Fused.rung`` chooses it among those that the version keeps."""
    kept = [one for one in panel["rungs"] if set(one["members"]) <= set(panel["serves"])]
    kept.sort(key=lambda one: -one["value"])
    within = [one for one in kept if max_ms is None or one["ms"] <= max_ms]
    found: Mapping[str, Any] = within[0] if within else min(kept, key=lambda one: one["ms"])
    return found


def expectation(view: Mapping[str, Any]) -> str | None:
    """Who answers within the limit, what that costs in time and quality, in a sentence; None without an ensemble."""
    if not view["together"]:
        return None
    found, metric = view["expected"], view["metric"]
    who = f"{len(found['members'])} of {found['of']} members answer together ({', '.join(found['members'])})"
    text = f"{view['task']}: {who}, about {found['ms']:.1f} ms; expected {metric} {found['value']:.4f}"
    if found["difference"] and found["best"]:
        text += f" instead of {found['best']:.4f} ({percent(100 * found['difference'] / found['best'])})"
    if view["max_ms"] is not None and found["ms"] > view["max_ms"]:
        text += (
            f"; even this takes longer than {view['max_ms']:g} ms, so a member that is not reached in time is left out "
            "of an answer"
        )
    return text


def contributions(served: Served, task: str, customer_id: str, *, k: int = LISTED) -> dict[str, Any]:
    """A customer's list with who put each product there: its rank with each member, and each one's share of the score.

    The list is what the members rank, before the shop's rules and settings arrange it. All members of the serving rung
    are heard, however long they take.

    Args:
        served: The version that answers.
        task: A ranking.
        customer_id: Of a known customer.
        k: Length of the list.

    Raises:
        NotFoundError: If the task or the customer is unknown.
        UsageError: If the task is no ranking.
    """
    if served.require(task).shape != RANKING:
        known = [name for name, one in served.tasks.items() if one.shape == RANKING]
        raise UsageError(f"{task} is no ranking, so no member puts products on a list; ask for {' or '.join(known)}")
    row, state = served.state.known_customer(customer_id), served.state
    repeats: Repeats = "exclude" if task == "new_for_you" else "auto"
    found = served.recommend(customer_id, k=k, repeats=repeats)
    told, names, dropped = _told(served, task, row, found, repeats, k)
    items = [
        {**line(state, one.item), "position": place, "score": round(one.score, 6), "ranks": _ranks(one.ranks),
         "shares": one.shares}
        for place, one in enumerate(told, start=1)
    ]  # fmt: skip
    return {
        "customer_id": customer_id,
        "as_of": iso(found.when),
        "depth": DEPTH,
        "members": list(names),
        "shares": {name: round(float(np.mean([one.shares.get(name, 0.0) for one in told])), 4) for name in names},
        "dropped": dropped,
        "note": _note(served, task, found),
        "items": items,
    }


def _told(
    served: Served, task: str, row: int, found: Recommendation, repeats: Repeats, k: int
) -> tuple[Sequence[Contribution], Sequence[str], list[str]]:
    """Contributions, whose they may be, and members that failed."""
    member = served.members[task]
    ranked = list(zip(found.items, found.scores, strict=True))
    if found.cold_start or found.fallback or found.beside:
        return [Contribution(item, score, {}, {}) for item, score in ranked], (), []
    if not isinstance(member, Fused):
        name = type(member).name
        own = ranked[: len(ranked) - found.filled]
        told = [Contribution(item, score, {name: rank}, {name: 1.0}) for rank, (item, score) in enumerate(own, start=1)]
        return [*told, *(Contribution(item, score, {}, {}) for item, score in ranked[len(own) :])], (name,), []
    rung = member.rung
    unhurried = Fused(member.members, [rung])
    cases = Cases(
        np.array([row], dtype=np.int32),
        when=np.array([found.when]),
        k=k,
        repeats=repeats,
        allowed=served.state.allowed(Filters()),
    )
    told = unhurried.contributions(served.state.shop, cases)[0]
    listed = {one.item for one in told}
    rest = [Contribution(item, score, {}, {}) for item, score in ranked if item not in listed]
    return [*told, *rest[: k - len(told)]], rung.members, sorted(name for name, _ in unhurried.dropped)


def _view(name: str, entry: Mapping[str, Any], *, max_ms: float | None, budget_ms: float | None) -> dict[str, Any]:
    task: Task | None = TASKS.load(name)() if name in TASKS else None
    panel, served_by = entry.get("panel"), entry.get("served_by")
    together = served_by == FUSED and panel is not None
    view: dict[str, Any] = {
        "task": name,
        "title": getattr(task, "title", name),
        "shape": getattr(task, "shape", None),
        "metric": entry.get("metric") or getattr(task, "metric", None),
        "lower_is_better": bool(entry.get("lower_is_better")),
        "served_by": served_by,
        "together": together,
        "reason": entry.get("reason"),
        "missing": entry.get("missing"),
        "budget_ms": budget_ms,
        "max_ms": max_ms,
    }
    view["note"] = None if together else _why_alone(view, entry)
    return view if panel is None else view | _panel(panel, max_ms, budget_ms, together=together)


def _panel(
    panel: Mapping[str, Any], max_ms: float | None, budget_ms: float | None, *, together: bool
) -> dict[str, Any]:
    """Fusions best first, members most important first, the ladder largest first, what to expect of who answers."""
    full = panel["fusions"][panel["fusion"]]
    rung, best = serving_rung(panel, max_ms), serving_rung(panel, None)
    fusions = sorted(panel["fusions"].items(), key=lambda one: -one[1])
    ladder = sorted(panel["rungs"], key=lambda one: -len(one["members"]))
    change = round(rung["value"] - best["value"], 6)
    return {
        "fusion": panel["fusion"],
        "fusions": [{"fusion": name, "value": value} for name, value in fusions],
        "members": [
            {"member": name, **one, "difference": round(one["without"] - full, 6)}
            for name, one in panel["members"].items()
        ],
        "rungs": [
            _rung(one, panel, max_ms, budget_ms, together=together) | {"serves": together and one is rung}
            for one in ladder
        ],
        "expected": {**rung, "of": len(panel["serves"]), "best": best["value"], "difference": change},
    }


def _rung(
    rung: Mapping[str, Any],
    panel: Mapping[str, Any],
    max_ms: float | None,
    budget_ms: float | None,
    *,
    together: bool,
) -> dict[str, Any]:
    """With ``kept``, whether the version has it, and ``above``: the service's limit or the training's budget."""
    kept = together and set(rung["members"]) <= set(panel["serves"])
    most = max_ms if kept else budget_ms
    above = ("limit" if kept else "budget") if most is not None and rung["ms"] > most else None
    return {**rung, "kept": kept, "above": above}


def _why_alone(view: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    if view["missing"]:
        return f"off for this shop: {view['missing']}"
    who = "a blend of two members answers" if view["served_by"] == BLEND else f"{view['served_by']} answers alone"
    text = f"{who}: {view['reason'] or 'the version does not say why'}"
    if view["shape"] != RANKING:
        return text
    if entry.get("panel") is None:
        return f"{text}; {UNTRIED}"
    judged = (entry.get("metrics") or {}).get(FUSED, {}).get(view["metric"])
    reached = f": {view['metric']} {judged[0]:.4f}" if judged else ""
    return f"{text}; the ensemble that was tried is not surely better{reached}"


def _note(served: Served, task: str, found: Recommendation) -> str | None:
    """What has to be known to read a customer's list."""
    if found.cold_start:
        return "nothing is known about this customer yet, so everybody's favourites are shown and no member is asked"
    if found.fallback:
        return found.reason
    if found.beside:
        return (
            "this customer has bought nothing yet, so what was looked at and products like it are put among the ranking"
        )
    if not isinstance(served.members[task], Fused):
        return f"{type(served.members[task]).name} answers alone, so the whole list is its own"
    if found.filled:
        return f"the last {found.filled} are popular products, because the members list too few"
    return None


def _ranks(ranks: Mapping[str, int]) -> dict[str, int | None]:
    return {name: rank or None for name, rank in ranks.items()}


def _dropped(engine: Engine, task: str) -> list[dict[str, Any]]:
    """Who was left out of how many answers since the engine started."""
    counts = dict(engine.dropped[task]) if task in engine.dropped else {}
    return [{"member": member, "reason": reason, "count": count} for (member, reason), count in sorted(counts.items())]
