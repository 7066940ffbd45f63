"""Where an answer is right and wrong: ROC and precision-recall curves, confusion matrices, ready for the report."""

# Shapes: B cases, V classes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.metrics.classification import RankedLabels, confusion
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction

POINTS: Final = 101
"""Points of a curve at most: more are not seen."""
MOST_CLASSES: Final = 12
"""Classes of a matrix; the rarer ones share the last row and column."""
THRESHOLD: Final = 0.5


def outcome_curves(cases: Cases, answers: Mapping[str, Prediction]) -> dict[str, dict[str, list[float]]] | None:
    """By member ROC and precision-recall points of a binary task; None where there is nothing to draw.

    Args:
        cases: With their truth, 0 or 1.
        answers: By member.
    """
    labels = None if cases.truth is None else cases.truth.numbers
    if labels is None or not 0 < labels.sum() < len(labels):
        return None
    found = {}
    for name, answer in answers.items():
        if isinstance(answer, Numbers) and "probability" in answer.columns:
            ranked = RankedLabels(labels, answer.columns["probability"])
            (false, true), (recall, precision) = _thinned(*ranked.roc()), _thinned(*ranked.precision_recall())
            found[name] = {"false_positives": false, "true_positives": true, "recall": recall, "precision": precision}
    return found or None


def confusions(cases: Cases, answer: Prediction) -> dict[str, dict[str, Any]] | None:
    """By attribute (``answer`` for a binary task) the classes and the counts, true classes in rows."""
    if cases.truth is None:
        return None
    if isinstance(answer, Classes):
        return {
            name: _matrix(values, cases.truth.codes[name], answer.probabilities[name].argmax(axis=1))
            for name, values in answer.values.items()
            if name in cases.truth.codes and (cases.truth.codes[name] >= 0).any()
        } or None
    labels = cases.truth.numbers
    if not isinstance(answer, Numbers) or "probability" not in answer.columns or labels is None:
        return None
    guess = (answer.columns["probability"] >= THRESHOLD).astype(np.int64)
    return {"answer": _matrix(("no", "yes"), labels.astype(np.int64), guess)}


def _matrix(values: Sequence[str], truth: NDArray[Any], guess: NDArray[np.int64]) -> dict[str, Any]:
    known = truth >= 0
    counts = confusion(truth[known], guess[known], len(values))
    if len(values) > MOST_CLASSES:
        order = np.argsort(-counts.sum(axis=1), kind="stable")
        kept, rest = order[: MOST_CLASSES - 1], order[MOST_CLASSES - 1 :]
        place = np.empty(len(values), dtype=np.int64)
        place[kept], place[rest] = np.arange(len(kept)), len(kept)
        counts = confusion(place[truth[known]], place[guess[known]], MOST_CLASSES)
        right = int((truth[known] == guess[known])[np.isin(truth[known], rest)].sum())
        values = (*(values[int(one)] for one in kept), f"{len(rest)} others")
        return {"values": list(values), "counts": counts.tolist(), "right_among_others": right}
    return {"values": list(values), "counts": counts.tolist(), "right_among_others": None}


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """At most ``POINTS`` points, evenly along the horizontal axis, both ends included."""
    if len(x) > POINTS:
        wanted = np.searchsorted(x, np.linspace(x[0], x[-1], POINTS))
        rows = np.unique(np.concatenate([[0], wanted.clip(0, len(x) - 1), [len(x) - 1]]))
        x, y = x[rows], y[rows]
    return [round(float(one), 5) for one in x], [round(float(one), 5) for one in y]
