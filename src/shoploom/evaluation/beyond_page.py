"""The part of a task's page about quality beyond accuracy, laid out from the report's ``beyond``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from markupsafe import Markup

from shoploom.evaluation import charts
from shoploom.evaluation.definitions import DEFINITIONS, Definition
from shoploom.evaluation.numbers import number
from shoploom.evaluation.verdicts import OURS, Report, main_value

KINDS: Final = {
    "customers": {
        "new": "First bought within the last horizon.",
        "occasional": "All others.",
        "loyal": "An order per two weeks lately.",
    },
    "products": {
        "head": "The best sellers that make 80 % of sales.",
        "tail": "All others.",
        "new": "First sold within the last horizon, or not yet.",
    },
}
"""What the kinds of customers and products are."""
TRADE_OFF: Final = "coverage@10"


@dataclass(frozen=True)
class Cell:
    """A number as it is shown, and its 95 % interval, empty without one."""

    text: str
    interval: str


@dataclass(frozen=True)
class Kind:
    """A kind of customer or product: its name, what it is, and how many cases it concerns."""

    name: str
    text: str
    cases: int


@dataclass(frozen=True)
class KindTable:
    """A metric by kind: ``rows`` have a cell per kind for each member."""

    title: str
    kinds: list[Kind]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class BeyondPage:
    """What the page says about the lists of a task beyond their accuracy.

    Args:
        cases, catalogue: Number of lists, and of sellable products.
        groups: Questions, with the number of columns of each.
        columns: What is measured.
        rows: By member a cell per column, the best main metric first.
        bought: The same of what the customers then bought.
        customers, products: The main metric by kind of customer, recall by kind of product; None where not measured.
        plot: Accuracy over coverage.
    """

    cases: int
    catalogue: int
    groups: list[tuple[str, int]]
    columns: list[Definition]
    rows: list[tuple[str, list[Cell]]]
    bought: list[Cell]
    customers: KindTable | None
    products: KindTable | None
    plot: Markup


def beyond_page(task: Report, order: Sequence[str]) -> BeyondPage | None:
    """Lay out a task's ``beyond``; None where it has none.

    Args:
        task: The task's part of a report without NaN.
        order: Members in the order of their rows.
    """
    found: Report | None = task.get("beyond")
    if not found or not found.get("members"):
        return None
    members: Report = found["members"]
    ordered = [name for name in order if name in members] + [name for name in members if name not in order]
    names = [name for name in DEFINITIONS if any(_value(one, name) is not None for one in members.values())]
    columns = [DEFINITIONS[name] for name in names]
    segments = found.get("segments", {})
    return BeyondPage(
        cases=found["cases"],
        catalogue=found["catalogue"],
        groups=[(group, len(list(those))) for group, those in groupby(columns, key=lambda one: one.group)],
        columns=columns,
        rows=[(one, [_cell(members[one], name) for name in names]) for one in ordered],
        bought=[_cell(found.get("bought", {}), name) for name in names],
        customers=_kinds("customers", segments, ordered),
        products=_kinds("products", segments, ordered),
        plot=_plot(task, members),
    )


def _value(metrics: Report, name: str) -> float | None:
    value: float | None = metrics.get(name, {}).get("value")
    return value


def _cell(metrics: Report, name: str) -> Cell:
    return _shown(metrics.get(name, {}), DEFINITIONS[name].show)


def _shown(one: Report, show: Callable[[float | None], str]) -> Cell:
    low, high = one.get("low"), one.get("high")
    return Cell(show(one.get("value")), "" if low is None or high is None else f"{show(low)} – {show(high)}")


def _kinds(about: str, segments: Report, members: Sequence[str]) -> KindTable | None:
    if not segments.get(about, {}).get("parts"):
        return None
    parts: Report = segments[about]["parts"]
    return KindTable(
        title=f"{segments[about]['metric']} by kind of {about.removesuffix('s')}",
        kinds=[Kind(name, KINDS[about].get(name, ""), part["cases"]) for name, part in parts.items()],
        rows=[(one, [_shown(part["members"].get(one, {}), number) for part in parts.values()]) for one in members],
    )


def _plot(task: Report, members: Report) -> Markup:
    points = {}
    for member, metrics in members.items():
        x, y = _value(metrics, TRADE_OFF), main_value(task, member)
        if x is not None and y is not None:
            points[member] = (100 * x, y)
    return charts.scatter(points, strong=OURS, label=f"{task['metric']} over {TRADE_OFF} in percent, by member")
