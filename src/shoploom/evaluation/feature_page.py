"""The report on features: one HTML page with a chart and a table, and its JSON twin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from shoploom.evaluation import charts
from shoploom.evaluation.numbers import number, words
from shoploom.evaluation.report import finite

MOST_BARS: Final = 25


def write_feature_report(study: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``features-TASK.html`` and ``.json``; returns both paths.

    Args:
        study: ``FeatureStudy.to_dict()``, with the shop's name under ``shop``.
        folder: Made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = finite(study)
    page, data = (folder / f"features-{study['task']}.{ending}" for ending in ("html", "json"))
    data.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    page.write_text(render(content), encoding="utf-8")
    return page, data


def render(study: Mapping[str, Any]) -> str:
    """The page."""
    features = study["features"]
    environment = Environment(
        loader=PackageLoader("shoploom.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, words=words)
    strongest = sorted(features, key=lambda one: -one["gain"])[:MOST_BARS]
    return environment.get_template("features.html").render(
        study=study,
        features=features,
        num_kept=len(study["kept"]),
        permutation=charts.bars(
            {one["name"]: (one["permutation"], None) for one in features[:MOST_BARS]},
            label="permutation importance by feature",
        ),
        gains=charts.bars(
            {one["name"]: (one["gain"], one["null_gain"]) for one in strongest},
            label="gain by feature beside the gain with shuffled labels",
        ),
    )
