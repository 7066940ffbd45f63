"""The court: who serves a task, judged on the same held-out cases, the shared model beside its cheap rivals."""

# Shapes: B cases, U units

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, Flags
from shoploom.ensemble.fusion import blended, chosen
from shoploom.ensemble.outcomes import confusions, outcome_curves
from shoploom.metrics.calibration import reliability
from shoploom.metrics.significance import Difference, Estimate, Samples, holm
from shoploom.tasks.base import Cases, Measured, Numbers, Prediction, Task

SHARED, SPECIALIST, BLEND, FUSED = "shared", "specialist", "blend", "fused"
TOGETHER = (BLEND, FUSED)
"""Answers that members give together."""
GRID = tuple(weight / 10 for weight in range(1, 10))
TOLERATED_BIAS = 0.10
BIAS_COST = 0.5
"""Each point of bias beyond 10 % counts as half a point of WAPE: else a forecast that is far too low wins it."""


@dataclass(frozen=True)
class Slice:
    """The main metric of each member over some of the cases."""

    cases: int
    members: dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """What the court found about one task.

    Args:
        task, title, metric, lower_is_better: Of the task.
        served_by: The member that answers from now on.
        reason: Why, in a sentence.
        cases: Number of cases judged on.
        members: Every metric of every member, with its interval.
        differences: Main metric of the shared model minus that of each rival, with p-values after Holm's correction.
        blend: Members and weight of the blend, if one was tried.
        slices: Main metric by kind of case.
        calibration: Mean prediction, observed rate and count per bin of the served member; binary tasks only.
        coverage: How often the 80 % interval of the served member holds; None without one.
        curves: ROC and precision-recall points by member; binary tasks only.
        confusion: Of the served member, by attribute; tasks with classes only.
    """

    task: str
    title: str
    metric: str
    lower_is_better: bool
    served_by: str
    reason: str
    cases: int
    members: dict[str, dict[str, Estimate]]
    differences: dict[str, Difference]
    blend: tuple[str, str, float] | None = None
    slices: dict[str, Slice] = field(default_factory=dict)
    calibration: dict[str, list[float]] | None = None
    coverage: float | None = None
    curves: dict[str, dict[str, list[float]]] | None = None
    confusion: dict[str, dict[str, Any]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The task's part of the evaluation report, ready for JSON."""
        members = {
            name: {metric: one.to_dict() for metric, one in metrics.items()} for name, metrics in self.members.items()
        }
        slices = {
            name: {"cases": one.cases, "members": {who: _plain(value) for who, value in one.members.items()}}
            for name, one in self.slices.items()
        }
        return {
            "title": self.title,
            "metric": self.metric,
            "lower_is_better": self.lower_is_better,
            "served_by": self.served_by,
            "reason": self.reason,
            "cases": self.cases,
            "missing": None,
            "members": members,
            "differences": {name: one.to_dict() for name, one in self.differences.items()},
            "blend": list(self.blend) if self.blend else None,
            "slices": slices,
            "calibration": self.calibration,
            "coverage": self.coverage,
            "curves": self.curves,
            "confusion": self.confusion,
        }


def judge(
    task: Task,
    cases: Cases,
    predictions: Mapping[str, Prediction],
    *,
    slices: Mapping[str, Flags] | None = None,
    blend: bool = True,
    fused: Prediction | None = None,
    barred: Collection[str] = (),
) -> Verdict:
    """Measure all members on the same cases and decide who serves.

    The best main metric serves, the shared model where it ties. What the members say together is judged like a
    member: a blend of the shared model and its best rival, its weight chosen on one half of the units and scored on
    the other, or the cross-fitted lists of an ensemble. Either way it is judged on cases that it was not tuned on. A
    visitor waits for a ranking, and members that answer together take as long as all of them: there they serve only
    if they are better than each alone by more than chance. (What is not, did not hold on later weeks either.)

    Args:
        task: What is decided.
        cases: With their truth.
        predictions: By member; the shared model's under ``shared``, if there is one.
        slices: Masks (B,) over the cases to be looked at one by one.
        blend: Whether to try a blend; not where ``fused`` is given.
        fused: What an ensemble of the members answers.
        barred: Members that do not serve alone, however good they look on these cases.

    Raises:
        ValueError: If there is nobody to judge, or no case.
    """
    if not predictions:
        raise ValueError(f"task {task.name}: no member has predicted anything; fit at least one")
    if not len(cases):
        raise ValueError(f"task {task.name}: there are no cases to judge on; use a longer history")
    answers = dict(predictions)
    measured = {name: task.measure(cases, one) for name, one in answers.items()}
    mixture = _mixture(task, cases, answers, measured) if blend and fused is None else None
    if fused is not None:
        answers[FUSED], measured[FUSED] = fused, task.measure(cases, fused)
    if mixture is not None:
        answers[BLEND], pair = mixture
        measured[BLEND] = task.measure(cases, answers[BLEND])
    samples = {name: Samples.of(one) for name, one in measured.items()}
    eligible = {name: one for name, one in measured.items() if name not in barred} or measured
    served = _best(task, eligible)
    if served in TOGETHER and task.shape == "ranking":
        single = _best(task, {name: one for name, one in eligible.items() if name not in TOGETHER} or measured)
        parts = pair[:2] if served == BLEND else (single,)
        served = served if _surely_better(task, samples, served, parts) else single
    differences = _differences(task, samples)
    return Verdict(
        task=task.name,
        title=task.title,
        metric=task.metric,
        lower_is_better=task.lower_is_better,
        served_by=served,
        reason=_reason(task, served, measured, differences),
        cases=len(cases),
        members={name: one.estimates() for name, one in samples.items()},
        differences=differences,
        blend=pair if mixture is not None else None,
        slices=_slices(task, cases, measured, slices or {}),
        calibration=_calibration(task, cases, answers[served]),
        coverage=_coverage(measured[served]),
        curves=outcome_curves(cases, answers) if task.shape == "binary" else None,
        confusion=confusions(cases, answers[served]) if task.shape in ("binary", "classes") else None,
    )


def _best(task: Task, measured: Mapping[str, Measured]) -> str:
    """The member with the best main metric, the shared model where it ties."""
    return min(measured, key=lambda name: (_loss(task, measured[name].values()), name != SHARED))


def _surely_better(task: Task, samples: Mapping[str, Samples], name: str, others: Sequence[str]) -> bool:
    """Whether a member's interval against each of the others leaves out 0 on the good side."""
    changes = [samples[name].minus(samples[other])[task.metric] for other in others]
    return all(one.high < 0 if task.lower_is_better else one.low > 0 for one in changes)


def unit_ids(cases: Cases, measured: Measured) -> NDArray[np.integer]:
    """(U,) the customer or item of each unit: one per case, or one per product where cases are its blocks."""
    return cases.units if measured.units == len(cases) else np.unique(cases.units)


def _mixture(
    task: Task, cases: Cases, answers: Mapping[str, Prediction], measured: Mapping[str, Measured]
) -> tuple[Prediction, tuple[str, str, float]] | None:
    """The cross-fitted blend of the shared model and its best rival, and the weight chosen on all cases."""
    rivals = [name for name in answers if name != SHARED]
    if SHARED not in answers or not rivals:
        return None
    best = min(rivals, key=lambda name: _loss(task, measured[name].values()))
    mixed = {weight: blended(answers[SHARED], answers[best], weight) for weight in GRID}
    scored = {weight: task.measure(cases, one) for weight, one in mixed.items()}
    ids = unit_ids(cases, measured[SHARED])
    half = _half(ids)
    if half.all() or not half.any():
        return None

    def weight_for(units: F64) -> float:
        losses = {weight: _loss(task, one.statistic(units)) for weight, one in scored.items()}
        return min(losses, key=lambda weight: losses[weight])

    on_first, on_second = weight_for(half.astype(float)), weight_for((~half).astype(float))
    crossed = chosen(mixed[on_second], mixed[on_first], _half(cases.units))
    return crossed, (SHARED, best, weight_for(np.ones(len(ids))))


def _half(ids: NDArray[np.integer]) -> Flags:
    """A fixed half of all ids, by the top bit of a multiplicative hash (Knuth)."""
    mixed = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(2654435761) % np.uint64(2**32)
    return np.asarray(mixed >= np.uint64(2**31))


def _loss(task: Task, values: Mapping[str, float]) -> float:
    """What serving minimises: the main metric, with a fine on bias beyond what is tolerated."""
    value = values[task.metric]
    if np.isnan(value):
        return float("inf")
    excess = max(0.0, abs(values.get("bias", 0.0)) - TOLERATED_BIAS)
    return (value if task.lower_is_better else -value) + BIAS_COST * excess


def _differences(task: Task, samples: Mapping[str, Samples]) -> dict[str, Difference]:
    if SHARED not in samples:
        return {}
    rivals = {name: one for name, one in samples.items() if name != SHARED}
    found = {name: samples[SHARED].minus(one)[task.metric] for name, one in rivals.items()}
    corrected = holm([one.p_value for one in found.values()])
    return {
        name: Difference(one.value, one.low, one.high, p_value)
        for (name, one), p_value in zip(found.items(), corrected, strict=True)
    }


def _reason(task: Task, served: str, measured: Mapping[str, Measured], differences: Mapping[str, Difference]) -> str:
    values = {name: one.values() for name, one in measured.items()}
    own = f"{task.metric} {values[served][task.metric]:.4f}"
    if "bias" in values[served]:
        own += f" at a bias of {values[served]['bias']:+.1%}"
    if len(measured) == 1:
        return f"{served} is the only member: {own}"
    if SHARED not in measured:
        return f"{served} is the best of {len(measured)} members: {own}; no shared model was judged"
    spared = ""
    for name in TOGETHER:
        if name != served and name in values and _loss(task, values[name]) < _loss(task, values[served]):
            spared = f"; {name} ({values[name][task.metric]:.4f}) takes longer, and is not better by more than chance"
    alone = [name for name in measured if name not in TOGETHER]
    if served == FUSED:
        best = min(alone, key=lambda name: _loss(task, values[name]))
        beside = _beside(task, FUSED, values, differences)
        return f"the ensemble is better than each member: {own}; {best} alone {values[best][task.metric]:.4f}; {beside}"
    if served == SHARED:
        rival = min((name for name in alone if name != SHARED), key=lambda name: _loss(task, values[name]))
        best = f"the shared model is the best of {len(alone)}"
        return f"{best}: {own}; {_beside(task, rival, values, differences)}{spared}"
    return f"{served} beats the shared model: {own}; {_beside(task, served, values, differences)}{spared}"


def _beside(
    task: Task, rival: str, values: Mapping[str, Mapping[str, float]], differences: Mapping[str, Difference]
) -> str:
    one = differences[rival]
    sure = "" if one.low > 0 or one.high < 0 else ", which may be chance"
    return (
        f"shared {values[SHARED][task.metric]:.4f} minus {rival} {values[rival][task.metric]:.4f} "
        f"is {one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]{sure}"
    )


def _slices(task: Task, cases: Cases, measured: Mapping[str, Measured], masks: Mapping[str, Flags]) -> dict[str, Slice]:
    found: dict[str, Slice] = {}
    for name, mask in masks.items():
        if not mask.any():
            continue
        inside = cases.units[mask]
        members: dict[str, float] = {}
        for member, one in measured.items():
            ids = unit_ids(cases, one)
            weights = mask if one.units == len(cases) else np.isin(ids, inside)
            members[member] = one.statistic(weights.astype(float))[task.metric]
        found[name] = Slice(int(mask.sum()), members)
    return found


def _calibration(task: Task, cases: Cases, answer: Prediction) -> dict[str, list[float]] | None:
    if task.shape != "binary" or not isinstance(answer, Numbers) or cases.truth is None:
        return None
    assert cases.truth.numbers is not None
    curve = reliability(cases.truth.numbers, answer.columns["probability"])
    return {
        "predicted": curve.predicted.tolist(),
        "observed": curve.observed.tolist(),
        "count": [float(one) for one in curve.count],
    }


def _coverage(measured: Measured) -> float | None:
    found = measured.values().get("coverage_p10_p90")
    return _plain(found) if found is not None else None


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
