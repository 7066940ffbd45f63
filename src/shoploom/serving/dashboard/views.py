"""What each page shows, gathered from ``apps`` and the registry; no HTML here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from shoploom.apps import customers, demand, models, predictions, pricing, products, recommend
from shoploom.errors import NotFoundError
from shoploom.evaluation.verdicts import SHARED, best_rival, verdict
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState
from shoploom.serving.dashboard import charts
from shoploom.tasks import TASKS
from shoploom.tasks.base import Repeats

LISTED = 25
SEVERITIES = ("error", "warning", "info")


def overview(engine: Engine) -> dict[str, Any]:
    """The front page: how the shop does, what serves, and whether the data can be trusted."""
    served = engine.current
    state = served.state
    report = _json(engine.registry.folder(served.version) / "report.json")
    starts, amounts = revenue(state)
    found = engine.status()
    tasks = [task_view(name, one) for name, one in (report.get("tasks") or _from_manifest(served.manifest)).items()]
    return {
        "status": found,
        "as_of": products.iso(state.shop.end),
        "caveat": (report.get("shop") or {}).get("caveat"),
        "tasks": [one for one in tasks if not one["missing"]],
        "off": [one for one in tasks if one["missing"]],
        "versions": models.versions(engine)["versions"],
        "can_roll_back": _can_roll_back(engine),
        "has_report": (engine.registry.folder(served.version) / "report.html").exists(),
        "quality": quality(engine.workspace.reports_dir),
        "revenue": charts.embedded(charts.weekly(starts, amounts)),
        "last_week": amounts[-1] if amounts else None,
        "week_before": amounts[-2] if len(amounts) > 1 else None,
        "popular": products.popular(engine, k=6, days=28.0, filters=Filters())["items"],
    }


def customer_list(engine: Engine, text: str) -> dict[str, Any]:
    """Customers with what is predicted for each."""
    served = engine.current
    found = customers.search(engine, text, k=LISTED)["customers"]
    rows = [served.state.shop.customers.row(one["customer_id"]) for one in found]
    for task, key in (("churn", "churn"), ("spend", "expected")):
        if task in served.members and rows:
            for one, answer in zip(found, served.predict(task, rows), strict=True):
                one[key] = answer
    return {"rows": found, "query": text, "total": len(served.state.shop.customers), "tasks": set(served.members)}


def customer_page(engine: Engine, customer_id: str) -> dict[str, Any]:
    """Everything about one customer."""
    served = engine.current
    state = served.state
    row = state.known_customer(customer_id)
    known = customers.customer(engine, customer_id, history=60)
    asked: dict[str, Any] = {
        task: served.predict(task, [row])[0] for task in ("churn", "spend") if task in served.members
    }
    profile = predictions.profile(served, customer_id, row) if "profile" in served.members else []
    starts, amounts = spend(state, row)
    return {
        "customer": known,
        "visits": visits(known["history"]),
        "profile": sorted(profile, key=lambda one: -one["confidence"]),
        "favourites": customers.favourites(state, row, most=6),
        "spending": charts.embedded(charts.weekly(starts, amounts)) if any(amounts) else None,
        "horizon_days": state.shop.clock.horizon_days,
        "served_by": {task: type(member).name for task, member in served.members.items()},
        "categories": top_categories(state),
        **asked,
        **recommendations(engine, customer_id),
    }


def recommendations(
    engine: Engine, customer_id: str, *, repeats: Repeats = "auto", category: str | None = None
) -> dict[str, Any]:
    """The list on a customer's page."""
    filters = Filters(category=category or None)
    found = recommend.recommend(engine, customer_id, k=12, repeats=repeats, filters=filters)
    return {"list": found, "repeats": repeats, "category": category or ""}


def product_list(engine: Engine, text: str) -> dict[str, Any]:
    """Products that fit a search; the best sellers without one."""
    found = products.search(engine, text, k=LISTED)["items"]
    return {"rows": found, "query": text, "total": len(engine.current.state.shop.items)}


def product_page(engine: Engine, product_id: str) -> dict[str, Any]:
    """Everything about one product."""
    served = engine.current
    state = served.state
    found = products.product(engine, product_id, similar_k=8)
    row = state.known_product(product_id)
    outlook = _outlook(engine, product_id)
    past = outlook["history"] if outlook else demand.history(state, row, 26)
    ahead = outlook["forecast"] if outlook else []
    answer = _price(engine, served, product_id)
    return {
        "product": found,
        "outlook": outlook,
        "demand_figure": charts.embedded(charts.demand(past, ahead)) if past or ahead else None,
        "promoted": [one for one in ahead if one["promotions"]],
        "any_promotion": any(one["promotions"] for one in [*past, *ahead]),
        "block_days": state.shop.clock.block_days,
        "price": answer,
        "price_scale": price_scale(answer) if answer else None,
        "similar_basis": served.similar_items.basis,
    }


def task_view(name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """One task of the court: its members as dots with intervals on one axis, best first."""
    metric, lower = task.get("metric"), bool(task.get("lower_is_better"))
    rows = [
        {"member": member, **values[metric], "serves": member == task.get("served_by"), "ours": member == SHARED}
        for member, values in (task.get("members") or {}).items()
        if metric in values and values[metric]["value"] is not None
    ]
    rows.sort(key=lambda one: one["value"] if lower else -one["value"])
    low, high = _span(rows)
    for one in rows:
        left, right = (one[key] if one[key] is not None else one["value"] for key in ("low", "high"))
        one["left"], one["dot"] = _percent(left, low, high), _percent(one["value"], low, high)
        one["width"] = round(_percent(right, low, high) - one["left"], 2)
    rival = best_rival(task)
    return {
        "name": name,
        "title": task.get("title") or name,
        "metric": metric,
        "lower": lower,
        "rows": rows,
        "served_by": task.get("served_by"),
        "reason": task.get("reason"),
        "missing": task.get("missing"),
        "cases": task.get("cases"),
        "verdict": verdict(task, rival) if rival and SHARED in (task.get("members") or {}) else None,
        "rival": rival,
    }


def quality(folder: Path) -> dict[str, Any] | None:
    """The last quality report: how many findings of which severity, the worst ones first."""
    found = _json(folder / "quality.json")
    if not found:
        return None
    findings = sorted(found.get("findings", []), key=lambda one: _severity(one.get("severity")))
    counts = {name: sum(_severity(one.get("severity")) == at for one in findings) for at, name in enumerate(SEVERITIES)}
    return {"counts": counts, "findings": findings, "has_page": (folder / "quality.html").exists()}


def revenue(state: ShopState) -> tuple[list[str | None], list[float]]:
    """Start and revenue of each block of the last year."""
    shop, lines = state.shop, state.facts.lines
    length, blocks = shop.clock.block_days, min(52, shop.num_blocks)
    block = np.floor((lines.time - shop.end) / length).astype(np.int64) + blocks
    kept = lines.goods & (block >= 0) & (block < blocks)
    amounts = np.bincount(block[kept], lines.amount[kept], minlength=blocks)
    return [products.iso(shop.end + (at - blocks) * length) for at in range(blocks)], amounts.tolist()


def spend(state: ShopState, row: int) -> tuple[list[str | None], list[float]]:
    """Start and spend of a customer per block of the last year."""
    shop, lines = state.shop, state.history(row)
    length, blocks = shop.clock.block_days, min(52, shop.num_blocks)
    block = np.floor((lines.time - shop.end) / length).astype(np.int64) + blocks
    kept = lines.purchase & (block >= 0) & (block < blocks)
    amounts = np.bincount(block[kept], lines.amount[kept], minlength=blocks)
    return [products.iso(shop.end + (at - blocks) * length) for at in range(blocks)], amounts.tolist()


def visits(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events, newest first, put together by order or day and kind."""
    found = []
    for _, group in groupby(history, key=lambda one: (one["order"], one["time"][:10], one["type"])):
        lines = list(group)
        total = round(sum(one["amount"] for one in lines), 2)
        found.append({"time": lines[0]["time"], "type": lines[0]["type"], "lines": lines, "amount": total})
    return found[:8]


def top_categories(state: ShopState, most: int = 12) -> list[str]:
    """Coarse categories with most sales lately, for the filter of a list."""
    counts: dict[str, float] = {}
    buyers = state.facts.buyers()
    for row in np.argsort(-buyers, kind="stable")[:2000].tolist():
        path = state.catalogue.line(row)["category"]
        if path and buyers[row] > 0:
            counts[path[0]] = counts.get(path[0], 0.0) + float(buyers[row])
    return sorted(counts, key=lambda one: -counts[one])[:most]


def price_scale(answer: Mapping[str, Any]) -> dict[str, float] | None:
    """Where the interval, the estimate and the shelf price lie on one axis, in percent."""
    if "mean" not in answer:
        return None
    known = [answer[one] for one in ("p10", "mean", "p90", "shelf_price") if answer.get(one) is not None]
    low, high = min(known), max(known)
    pad = max(0.15 * (high - low), 0.01)
    marks = {
        name: _percent(answer[name], low - pad, high + pad)
        for name in ("p10", "mean", "p90", "shelf_price")
        if answer.get(name) is not None
    }
    return marks


def _outlook(engine: Engine, product_id: str) -> dict[str, Any] | None:
    try:
        return demand.forecast(engine, product_id)
    except NotFoundError:
        return None


def _price(engine: Engine, served: Served, product_id: str) -> dict[str, Any] | None:
    return pricing.price(engine, product_id) if "price" in served.members else None


def _from_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's tasks in the form of the report's."""
    found = {}
    for name, one in (manifest.get("tasks") or {}).items():
        task = TASKS.load(name) if name in TASKS else None
        members = {
            member: {
                metric: dict(zip(("value", "low", "high"), values, strict=False)) for metric, values in measured.items()
            }
            for member, measured in (one.get("metrics") or {}).items()
        }
        found[name] = {
            **one,
            "title": getattr(task, "title", name),
            "metric": getattr(task, "metric", None),
            "lower_is_better": getattr(task, "lower_is_better", False),
            "members": members,
        }
    return found


def _span(rows: list[dict[str, Any]]) -> tuple[float, float]:
    values = [one[key] for one in rows for key in ("low", "value", "high") if one[key] is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2) if math.isfinite(value) else 0.0


def _severity(name: Any) -> int:
    return SEVERITIES.index(name) if name in SEVERITIES else len(SEVERITIES) - 1


def _can_roll_back(engine: Engine) -> bool:
    history = engine.registry.history()
    return len({one["to"] for one in history}) > 1


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
