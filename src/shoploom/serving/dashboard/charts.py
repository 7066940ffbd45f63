"""Figures for Plotly's JavaScript, as plain dicts; colours are CSS variables, so they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from markupsafe import Markup

Figure = dict[str, Any]


def embedded(figure: Figure) -> Markup:
    """A figure as JSON that is safe inside a ``<script type="application/json">``."""
    text = orjson.dumps(figure, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def weekly(starts: Sequence[str | None], values: Sequence[float], *, prefix: str = "") -> Figure:
    """Bars over time."""
    bars = {
        "type": "bar",
        "x": list(starts),
        "y": [round(one, 2) for one in values],
        "marker": {"color": "var(--ours)"},
        "hovertemplate": f"%{{x|%-d %b %Y}}<br><b>{prefix}%{{y:,.0f}}</b><extra></extra>",
    }
    return {"data": [bars], "layout": {"bargap": 0.25, "yaxis": {"rangemode": "tozero", "tickprefix": prefix}}}


def demand(history: Sequence[dict[str, Any]], forecast: Sequence[dict[str, Any]]) -> Figure:
    """Pieces sold, the forecast with its interval, and the promotion plan behind both."""
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "sold",
            "x": [one["start"] for one in history],
            "y": [one["pieces"] for one in history],
            "line": {"color": "var(--ink)", "width": 2},
            "marker": {"size": 5},
            "hovertemplate": "%{x|%-d %b %Y}<br><b>%{y:,.0f} sold</b><extra></extra>",
        }
    ]
    if forecast:
        data += _band(forecast)
    blocks = [*history, *forecast]
    return {
        "data": data,
        "layout": {
            "yaxis": {"rangemode": "tozero"},
            "shapes": [_promotion(one) for one in blocks if one["promotions"]],
            "hovermode": "x",
        },
    }


def _band(forecast: Sequence[dict[str, Any]]) -> list[Figure]:
    starts = [one["start"] for one in forecast]
    data: list[Figure] = []
    if "p10" in forecast[0] and "p90" in forecast[0]:
        quiet = {"type": "scatter", "mode": "lines", "x": starts, "line": {"width": 0}, "hoverinfo": "skip"}
        data = [
            quiet | {"y": [one["p90"] for one in forecast], "showlegend": False},
            quiet
            | {
                "y": [one["p10"] for one in forecast],
                "fill": "tonexty",
                "fillcolor": "var(--band)",
                "name": "8 of 10 weeks fall in here",
            },
        ]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "expected",
        "x": starts,
        "y": [one["mean"] for one in forecast],
        "customdata": [[one.get("p10"), one.get("p90")] for one in forecast],
        "line": {"color": "var(--ours)", "width": 2.5},
        "marker": {"size": 6},
        "hovertemplate": "%{x|%-d %b %Y}<br><b>%{y:,.1f} expected</b><br>%{customdata[0]:,.0f} to "
        "%{customdata[1]:,.0f}<extra></extra>",
    }
    return [*data, line]


def _promotion(block: dict[str, Any]) -> Figure:
    strength = min(1.0, max(block["promotions"].values()))
    return {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": block["start"],
        "x1": block["end"],
        "y0": 0,
        "y1": 1,
        "fillcolor": "var(--promotion)",
        "opacity": round(0.25 + 0.75 * strength, 2),
        "line": {"width": 0},
        "layer": "below",
    }
