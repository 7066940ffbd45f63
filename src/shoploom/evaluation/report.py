"""The evaluation report: one HTML page that a manager can read, and its JSON twin for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shoploom.evaluation import charts
from shoploom.evaluation.beyond_page import BeyondPage, beyond_page
from shoploom.evaluation.numbers import duration, moment, number, percent, signed, whole, words
from shoploom.evaluation.verdicts import OURS, SHARED, Report, best_rival, main_metric, verdict

TOTAL = "total"


@dataclass(frozen=True)
class Row:
    """A member's main metric, placed on the task's axis: ``left``, ``width`` and ``dot`` are percent."""

    member: str
    value: float | None
    low: float | None
    high: float | None
    left: float
    width: float
    dot: float
    serves: bool


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: each row of ``cells`` has a true class's counts with their share of the row."""

    name: str
    values: list[str]
    cells: list[list[tuple[int, float]]]


@dataclass(frozen=True)
class TaskPage:
    """What the page says about one task."""

    name: str
    report: Report
    rows: list[Row]
    best_rival: str | None
    difference: Mapping[str, float] | None
    verdict: str
    metrics: list[str]
    slices: list[tuple[str, int, list[float | None]]]
    slice_members: list[str]
    curve: Markup
    calibration: Markup
    roc: Markup
    precision: Markup
    confusion: list[Confusion]
    beyond: BeyondPage | None

    @property
    def missing(self) -> str | None:
        """Why the task is switched off."""
        reason: str | None = self.report.get("missing")
        return reason


def write_report(report: Report, folder: Path) -> None:
    """Write ``report.html`` and ``report.json`` into a folder.

    Args:
        report: Shop, data, version, tasks (metrics with intervals, differences, slices, calibration, coverage;
            ``beyond`` for ranked lists), learning curves, cost and warnings; see ``docs/architecture.md``.
        folder: An existing directory.
    """
    content = finite(report)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render(content), encoding="utf-8")


def render(report: Report) -> str:
    """The HTML page of a report without NaN."""
    pages = [task_page(name, task, report) for name, task in report["tasks"].items()]
    overview, zero = gains(pages)
    seconds = report.get("cost", {}).get("seconds", {})
    environment = Environment(
        loader=PackageLoader("shoploom.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, signed=signed, percent=percent, whole=whole, duration=duration, moment=moment, words=words
    )
    return environment.get_template("report.html").render(
        report=report,
        tasks=[page for page in pages if not page.missing],
        missing=[page for page in pages if page.missing],
        overview=overview,
        zero=zero,
        findings=report["data"].get("quality", {}).get("findings", []),
        ours=OURS,
        total=seconds.get(TOTAL, sum(seconds.values())),
        seconds={stage: spent for stage, spent in seconds.items() if stage != TOTAL},
        parameters=report.get("cost", {}).get("parameters", {}),
    )


def task_page(name: str, task: Report, report: Report) -> TaskPage:
    """Everything that the page shows about one task."""
    members: Report = task.get("members", {})
    rival = best_rival(task)
    candidates = (SHARED, task.get("served_by"), rival)
    shown = list(dict.fromkeys(one for one in candidates if one is not None and one in members))
    rows = _rows(task)
    calibration = task.get("calibration") or {"predicted": [], "observed": [], "count": []}
    return TaskPage(
        name=name,
        report=task,
        rows=rows,
        best_rival=rival,
        difference=task.get("differences", {}).get(rival),
        verdict=verdict(task, rival),
        metrics=list(dict.fromkeys(metric for values in members.values() for metric in values)),
        slices=[
            (label, part["cases"], [part["members"].get(one) for one in shown])
            for label, part in (task.get("slices") or {}).items()
        ],
        slice_members=shown,
        curve=charts.lines(
            {"training": _curve(report, name, "train"), "validation": _curve(report, name, "valid")},
            label=f"learning curve of {name}",
        ),
        calibration=charts.calibration(**calibration, label=f"calibration of {name}"),
        roc=_outcomes(task, shown, "false_positives", "true_positives", f"ROC curve of {name}", (0.0, 0.0, 1.0, 1.0)),
        precision=_outcomes(task, shown, "recall", "precision", f"precision and recall of {name}"),
        confusion=[_confusion(one, matrix) for one, matrix in (task.get("confusion") or {}).items()],
        beyond=beyond_page(task, [row.member for row in rows]),
    )


def gains(pages: Sequence[TaskPage]) -> tuple[list[Row], float]:
    """The shared model beside each task's best rival, in percent of the rival's value; more is always better.

    Returns:
        A row per task that has both, and where 0 lies on their common axis, in percent.
    """
    found: dict[str, tuple[float, float, float]] = {}
    for page in pages:
        base = main_metric(page.report, page.best_rival)["value"] if page.best_rival else None
        if not base or page.difference is None or None in page.difference.values():
            continue
        scale = (-100.0 if page.report.get("lower_is_better") else 100.0) / abs(base)
        ends = sorted((page.difference["low"] * scale, page.difference["high"] * scale))
        found[page.name] = (page.difference["value"] * scale, ends[0], ends[1])
    axis = charts.Axis(*charts.spread([0.0, *(end for values in found.values() for end in values)]), 0.0, 100.0)
    rows = [
        Row(name, value, low, high, axis.place(low), axis.place(high) - axis.place(low), axis.place(value), False)
        for name, (value, low, high) in found.items()
    ]
    return rows, axis.place(0.0)


def finite(value: Any) -> Any:
    """The same nested value with None for NaN and infinities, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _rows(task: Report) -> list[Row]:
    values = {name: main_metric(task, name) for name in task.get("members", {})}
    known = [one for value in values.values() for one in value.values() if one is not None]
    axis = charts.Axis(*charts.spread(known), 0.0, 100.0)
    rows = []
    for name, value in values.items():
        at, low, high = value["value"], value["low"], value["high"]
        left = 0.0 if low is None else axis.place(low)
        width = 0.0 if low is None or high is None else axis.place(high) - left
        dot = 0.0 if at is None else axis.place(at)
        rows.append(Row(name, at, low, high, left, width, dot, name == task.get("served_by")))
    worst = -math.inf
    sign = -1.0 if task.get("lower_is_better") else 1.0
    return sorted(rows, key=lambda row: worst if row.value is None else sign * row.value, reverse=True)


def _outcomes(
    task: Report, shown: Sequence[str], x: str, y: str, label: str, ideal: charts.Box | None = None
) -> Markup:
    """Two columns of the members' curves as one picture; the rivals first, so that the served one is on top."""
    known: Report = task.get("curves") or {}
    served = task.get("served_by")
    names = sorted((name for name in shown if name in known), key=lambda name: name == served)[-2:]
    return charts.curves({name: (known[name][x], known[name][y]) for name in names}, label=label, ideal=ideal)


def _confusion(name: str, matrix: Report) -> Confusion:
    rows = matrix["counts"]
    cells = [[(count, count / max(1, sum(row))) for count in row] for row in rows]
    return Confusion(name, list(matrix["values"]), cells)


def _curve(report: Report, task: str, part: str) -> list[float | None]:
    curve: list[float | None] = report.get("curves", {}).get(task, {}).get(part, [])
    return curve
