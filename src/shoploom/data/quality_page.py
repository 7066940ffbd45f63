"""The quality report as one HTML file: template, styles and chart inside, nothing to load."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

WIDTH, HEIGHT = 960, 150


def render(report: Mapping[str, Any]) -> str:
    """The page of a report, as ``QualityReport.to_dict`` gives it."""
    environment = Environment(
        loader=PackageLoader("shoploom.data", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    numbers = {
        kind: sum(one["severity"] == kind for one in report["findings"]) for kind in ("error", "warning", "info")
    }
    return environment.get_template("quality.html").render(
        report=report, bars=_bars(report["weeks"]), numbers=numbers, width=WIDTH, height=HEIGHT
    )


def _bars(weeks: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Rectangles of the chart of rows by week."""
    if not weeks:
        return []
    top = max(rows for _, rows, _ in weeks) or 1
    step = WIDTH / len(weeks)
    return [
        {
            "x": round(number * step, 1),
            "width": round(max(1.0, step * 0.8), 1),
            "y": round(HEIGHT * (1 - rows / top), 1),
            "height": round(HEIGHT * rows / top, 1),
            "label": f"week of {week}: {rows:,} rows, {purchases:,} purchases",
        }
        for number, (week, rows, purchases) in enumerate(weeks)
    ]


def _moment(text: str | None) -> str:
    return "never" if text is None else f"{datetime.fromisoformat(text):%d %b %Y, %H:%M} UTC"
