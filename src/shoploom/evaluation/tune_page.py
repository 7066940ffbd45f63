"""The report of a search for settings: what matters, how the trials went, and every trial in a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from shoploom.evaluation import charts
from shoploom.evaluation.numbers import duration, number, words
from shoploom.evaluation.report import finite


def write_tune_report(found: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``tune.html`` and ``tune.json``; returns both paths.

    Args:
        found: ``Tuning.to_dict()``, with the shop's name under ``shop``.
        folder: Made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = finite(found)
    page, data = folder / "tune.html", folder / "tune.json"
    data.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    page.write_text(render(content), encoding="utf-8")
    return page, data


def render(found: Mapping[str, Any]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("shoploom.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, words=words, duration=duration)
    best: list[float | None] = []
    for trial in found["trials"]:
        known = [one for one in (*best[-1:], trial["score"]) if one is not None]
        best.append(min(known) if known else None)
    scores = {"trials": [trial["score"] for trial in found["trials"]], "best so far": best}
    return environment.get_template("tune.html").render(
        found=found,
        settings=list(found["best"]),
        seconds=sum(trial["seconds"] for trial in found["trials"]),
        importance=charts.bars(
            {name: (value, None) for name, value in found["importance"].items()}, label="importance of each setting"
        ),
        history=charts.lines(scores, label="score by trial"),
    )
