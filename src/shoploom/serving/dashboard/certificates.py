"""What the page about the certificate shows: gains beside the margin, kinds of customers, who helps whom, costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoploom.evaluation.certificate import FOLDER, Certificate, Line, latest_certificate

LEAST_REACH, MOST_REACH = 0.01, 0.25
"""The axis of gains ends between these parts of the twin's metric."""
TONES = {"better": "good", "no worse": "good", "worse": "bad", "open": ""}


def page(workspace: Path) -> dict[str, Any]:
    """The latest certificate, or nothing where none was made."""
    made = latest_certificate(workspace / FOLDER)
    if made is None:
        return {"made": None}
    tasks = made.tasks
    reach = reach_of(tasks)
    return {
        "made": made,
        "age_days": made.age_days(),
        "reach": reach,
        "tasks": [_row(one, reach) for one in tasks],
        "kinds": [_row(one, reach) for one in made.lines if one.slice],
        "grouped": [_row(one, reach) for one in made.grouped if not one.slice],
        "affinity": _heat(made),
        "counts": {word: sum(one.verdict == word for one in tasks) for word in TONES},
    }


def reach_of(lines: Sequence[Line]) -> float:
    """How far the axis goes to either side, as a part of the twin's metric.

    Wide intervals of few customers are cut off, so that they do not hide all others.
    """
    ends = sorted(max(abs(one.low), abs(one.high)) / max(abs(one.twin), 1e-9) for one in lines)
    usual = ends[int(0.8 * (len(ends) - 1))] if ends else 0.0
    return min(max(usual * 1.1, LEAST_REACH), MOST_REACH)


def _row(line: Line, reach: float) -> dict[str, Any]:
    """A line with the places of its gain, interval and margin on the axis in percent; ``beyond``: where it goes on."""
    whole = max(abs(line.twin), 1e-9) * reach

    def at(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / whole)), 2)

    low, high = at(line.low), at(line.high)
    beyond = [side for side, past in (("left", line.low < -whole), ("right", line.high > whole)) if past]
    return {
        "line": line,
        "percent": f"{signed(100 * line.gain / max(abs(line.twin), 1e-9))} %",
        "tone": TONES[line.verdict],
        "at": at(line.gain),
        "left": low,
        "width": round(high - low, 2),
        "beyond": " ".join(f"beyond-{side}" for side in beyond),
        "margin": at(-line.margin),
    }


def _heat(made: Certificate) -> list[tuple[str, list[tuple[str, float]]]]:
    """By task what a step for it does to each other one in thousandths, and how strong its colour is, from -1 to 1."""
    names, values = list(made.affinity), [abs(one) for row in made.affinity.values() for one in row.values()]
    most = max(values, default=0.0) or 1.0

    def cell(one: float | None) -> tuple[str, float]:
        return ("", 0.0) if one is None else (signed(1000 * one), one / most)

    return [(name, [cell(made.affinity[name].get(other)) for other in names]) for name in names]


def signed(value: float) -> str:
    """One decimal with its sign.

    Example:
        >>> signed(1.26), signed(-0.04), signed(-2.0)
        ('+1.3', '0.0', '−2.0')
    """
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}".replace("-", "−")
