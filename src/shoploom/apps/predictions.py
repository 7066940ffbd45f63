"""Any task by its name: churn, spend, profile, category and whatever a plugin adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoploom.apps.products import line
from shoploom.config import ClockConfig
from shoploom.inference.engine import Engine
from shoploom.inference.served import Served
from shoploom.tasks.base import Task

MEANINGS = {
    "churn": "probability of no purchase in the next {days} days",
    "spend": "{currency} in the next {days} days",
    "demand": "pieces per {block} days, for the next {days} days",
    "price": "shelf price in {currency}",
}
"""Unit and horizon of the numbers of tasks; a task that is not here says what its shape tells."""
_BY_SHAPE = {"ranking": "the highest score first", "classes": "probability of each value"}


def predict(engine: Engine, task: str, ids: Sequence[str]) -> dict[str, Any]:
    """The task's answer for some customers or products, whichever the task is about.

    Raises:
        NotFoundError: If the task is not served, or an id is unknown; the message names it.
    """
    served = engine.current
    unit = served.require(task).unit
    find = served.state.known_customer if unit == "customer" else served.state.known_product
    rows = [find(one) for one in ids]
    answers = served.predict(task, rows)
    return {
        "model_version": served.version,
        "task": task,
        "question": served.tasks[task].title,
        "served_by": type(served.members[task]).name,
        "horizon_days": served.state.shop.clock.horizon_days,
        "predictions": [
            {f"{unit}_id": one, **_shaped(served, task, answer)} for one, answer in zip(ids, answers, strict=True)
        ],
    }


def meaning(task: Task, *, clock: ClockConfig, currency: str) -> str:
    """What a task's numbers are: their unit and horizon, in words.

    Example:
        >>> from shoploom.tasks.demand import Demand
        >>> meaning(Demand(), clock=ClockConfig(), currency="EUR")
        'pieces per 7 days, for the next 56 days'
    """
    if task.name in MEANINGS:
        return MEANINGS[task.name].format(days=clock.horizon_days, block=clock.block_days, currency=currency)
    shape = _BY_SHAPE.get(task.shape)
    return f"{task.title} ({shape})" if shape else task.title


def profile(served: Served, customer_id: str, row: int, *, task: str = "profile") -> list[dict[str, Any]]:
    """Per attribute the likeliest value with its probability, all values, and what the shop knows already."""
    known = served.state.attributes(customer_id)
    found = []
    for name, values in served.predict(task, [row])[0].items():
        best = max(values, key=lambda one: values[one])
        found.append(
            {
                "attribute": name,
                "value": best,
                "confidence": round(values[best], 4),
                "known": known.get(name),
                "probabilities": {value: round(share, 4) for value, share in values.items()},
            }
        )
    return found


def _shaped(served: Served, task: str, answer: dict[str, Any]) -> dict[str, Any]:
    shape = served.tasks[task].shape
    if shape == "ranking":
        lines = [line(served.state, row) for row in answer["items"]]
        pairs = zip(lines, answer["scores"], strict=True)
        return {"items": [one | {"score": round(score, 6)} for one, score in pairs]}
    if shape == "classes":
        best = {name: max(values, key=lambda one: values[one]) for name, values in answer.items()}
        return {
            "classes": {
                name: {
                    "value": best[name],
                    "confidence": round(values[best[name]], 4),
                    "probabilities": _top(values),
                }
                for name, values in answer.items()
            }
        }
    return {name: _rounded(value) for name, value in answer.items()}


def _top(values: dict[str, float], most: int = 20) -> dict[str, float]:
    best = sorted(values, key=lambda one: -values[one])[:most]
    return {one: round(values[one], 4) for one in best}


def _rounded(value: Any) -> Any:
    return [round(one, 4) for one in value] if isinstance(value, list) else round(value, 4)
