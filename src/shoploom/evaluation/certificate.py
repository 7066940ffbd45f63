"""The no-harm certificate: is any task worse off for being trained together with the others?

A joint model and a model per task alone (its single-task twin) are trained under the same seeds and asked the same
cases. Per task and kind of customer the certificate states the paired gain, whether it is shown to be no worse than a
margin, and whether it is shown to be better or worse, with Holm's correction over all of its tests. Knows nothing of
how models are trained.
"""

# Shapes: S seeds, R bootstrap rounds, U units

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from shoploom.data.arrays import Flags
from shoploom.data.atomic import write_text
from shoploom.errors import WorkspaceError
from shoploom.metrics.significance import Resampled, holm

MARGIN = 0.005
"""Part of the twin's metric by which the joint model may be worse and still count as not worse."""
FOLDER, LATEST = "certificates", "latest.json"
SURE = 0.05
ROUNDS, SEED = 300, 11
LEAST_UNITS = 30
"""Kinds with fewer customers are not looked at, and a task that fewer units speak for stays open."""
Verdict = Literal["better", "no worse", "worse", "open"]


@dataclass(frozen=True)
class Pair:
    """A task's metric of the joint model beside its twin's, one measurement per seed.

    Args:
        task: Name.
        metric: Name of the main metric.
        lower_is_better: Whether less of it is better.
        joint, twin: (S,) measured on the same units, seed by seed.
        slices: (U,) masks of units by kind; empty where cases are not about customers.
    """

    task: str
    metric: str
    lower_is_better: bool
    joint: Sequence[Resampled]
    twin: Sequence[Resampled]
    slices: Mapping[str, Flags] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One test of the certificate.

    Args:
        task, slice: What was compared; a slice of "" is everybody.
        metric, lower_is_better: How.
        units: Independent customers or products.
        joint, twin: Mean metric over the seeds.
        gain: By how much the joint model is better; negative where it is worse.
        low, high: 95 % interval of the gain.
        margin: How much worse would count as no worse.
        p_no_worse, p_better, p_worse: One-sided, with Holm's correction over the lines of the certificate.
        verdict: ``better`` and ``worse`` at 5 %; ``no worse`` than the margin at 5 %; ``open``: neither is shown.
    """

    task: str
    slice: str
    metric: str
    lower_is_better: bool
    units: int
    joint: float
    twin: float
    gain: float
    low: float
    high: float
    margin: float
    p_no_worse: float
    p_better: float
    p_worse: float
    verdict: Verdict = "open"


@dataclass(frozen=True)
class Cost:
    """What a training took: wall seconds, processor seconds and trained values, means over the seeds."""

    seconds: float
    cpu_seconds: float
    parameters: int


@dataclass(frozen=True)
class Certificate:
    """What is proven about one configuration on one shop's data.

    Args:
        lines: All tests.
        seeds: Of the trainings.
        cost: By training: ``joint`` and each task's twin.
        affinity: By task, how much a step for it helps each other task; see ``training.affinity``.
        groups: Tasks that belong together by affinity.
        grouped: Like ``lines``, for models of one group each in place of the joint one; empty if none were trained.
        created_at: Moment in UTC, ISO 8601.
        data_fingerprint, config: What was trained on, and how.
        routes: By harmed task the tasks that its specialist is trained on.
        missing: Why other tasks are not there.
    """

    lines: list[Line]
    seeds: list[int]
    cost: dict[str, Cost]
    affinity: dict[str, dict[str, float]] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=list)
    grouped: list[Line] = field(default_factory=list)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0).isoformat())
    data_fingerprint: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    routes: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[Line]:
        """The lines about whole tasks."""
        return [one for one in self.lines if not one.slice]

    @property
    def harmed(self) -> list[str]:
        """Tasks that are shown to be worse off."""
        return [one.task for one in self.tasks if one.verdict == "worse"]

    @property
    def shares(self) -> dict[str, float]:
        """Parameters and processor time of the joint training over the sums of the twins'."""
        joint, twins = self.cost["joint"], [one for name, one in self.cost.items() if name != "joint"]
        return {
            "parameters": joint.parameters / max(1, sum(one.parameters for one in twins)),
            "cpu_seconds": joint.cpu_seconds / max(1e-9, sum(one.cpu_seconds for one in twins)),
        }

    def age_days(self, now: datetime | None = None) -> float:
        """Days since it was made."""
        return ((now or datetime.now(UTC)) - datetime.fromisoformat(self.created_at)).total_seconds() / 86_400

    def summary(self) -> str:
        """One sentence for a report.

        Example:
            >>> Certificate([], [0], {"joint": Cost(1.0, 1.0, 1)}).summary()
            '0 of 0 tasks are worse than their single-task twins: 0 better, 0 no worse, 0 open (1 seed)'
        """
        counts = {
            word: sum(one.verdict == word for one in self.tasks) for word in ("worse", "better", "no worse", "open")
        }
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) != 1 else ''}"
        return (
            f"{counts['worse']} of {len(self.tasks)} tasks are worse than their single-task twins: "
            f"{counts['better']} better, {counts['no worse']} no worse, {counts['open']} open ({seeds})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"shares": self.shares, "harmed": self.harmed, "summary": self.summary()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        for name in ("lines", "grouped"):
            known[name] = [Line(**one) for one in raw.get(name, [])]
        known["cost"] = {name: Cost(**one) for name, one in raw["cost"].items()}
        return cls(**known)


def write_certificate(made: Certificate, folder: Path) -> Path:
    """Write it under its date and as the latest one; the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made.to_dict(), indent=1, allow_nan=False) + "\n"
    path = folder / f"certificate-{made.created_at.replace(':', '').replace('+0000', 'Z')}.json"
    for one in (path, folder / LATEST):
        write_text(one, text)
    return path


def latest_certificate(folder: Path) -> Certificate | None:
    """The latest certificate of a workspace's folder of certificates; None if none was made.

    Raises:
        WorkspaceError: If the file is no certificate.
    """
    path = folder / LATEST
    if not path.is_file():
        return None
    try:
        return Certificate.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{path} is no certificate ({error}); delete it, or make it anew: shoploom certify"
        ) from error


def compared(pairs: Sequence[Pair], *, margin: float = MARGIN, rounds: int = ROUNDS) -> list[Line]:
    """The lines of a certificate: every task, then each kind of customer, with verdicts.

    Args:
        pairs: One per task.
        margin: As a part of the twin's metric.
        rounds: Bootstrap rounds.
    """
    found: list[Line] = []
    for pair in pairs:
        found.append(_line(pair, "", None, margin, rounds))
        found += [
            _line(pair, name, mask, margin, rounds)
            for name, mask in pair.slices.items()
            if LEAST_UNITS <= mask.sum() < len(mask)
        ]
    found = [one for one in found if np.isfinite(one.gain)]
    no_worse, better, worse = (
        holm([getattr(one, name) for one in found]) for name in ("p_no_worse", "p_better", "p_worse")
    )
    lines = [
        replace(one, p_no_worse=no_worse[at], p_better=better[at], p_worse=worse[at]) for at, one in enumerate(found)
    ]
    return [replace(one, verdict=_verdict(one)) for one in lines]


def _verdict(line: Line) -> Verdict:
    if line.units < LEAST_UNITS:
        return "open"
    if line.p_better < SURE:
        return "better"
    if line.p_no_worse < SURE:
        return "no worse"
    return "worse" if line.p_worse < SURE else "open"


def _line(pair: Pair, name: str, mask: Flags | None, margin: float, rounds: int) -> Line:
    sign = -1.0 if pair.lower_is_better else 1.0
    units = pair.joint[0].units
    weight = np.ones(units) if mask is None else mask.astype(float)
    joint, twin = (_values(models, pair.metric, weight) for models in (pair.joint, pair.twin))
    draws = np.random.default_rng(SEED)
    resampled = np.array(
        [
            sign * float(np.mean(_values(pair.joint, pair.metric, counts) - _values(pair.twin, pair.metric, counts)))
            for counts in (
                weight * np.bincount(draws.integers(0, units, units), minlength=units) for _ in range(rounds)
            )
        ]
    )
    gain, error, freedom = spread(sign * (joint - twin), resampled)
    allowed = margin * abs(float(twin.mean()))
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return Line(
        task=pair.task,
        slice=name,
        metric=pair.metric,
        lower_is_better=pair.lower_is_better,
        units=int(weight.sum()),
        joint=float(joint.mean()),
        twin=float(twin.mean()),
        gain=gain,
        low=gain - reach,
        high=gain + reach,
        margin=allowed,
        p_no_worse=tail(gain + allowed, error, freedom),
        p_better=tail(gain, error, freedom),
        p_worse=tail(-gain, error, freedom),
    )


def spread(gains: NDArray[np.float64], resampled: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean gain over seeds, its standard error, and the degrees of freedom of its t distribution.

    The error has two parts: which customers happened to be asked (variance of the mean gain over resamples) and which
    random numbers training drew (variance between seeds over their number). With one seed the second is unknown and
    left out, which makes the certificate too sure.

    Args:
        gains: (S,) by seed.
        resampled: (R,) mean gain of each resample of the units.

    References:
        Welch 1947, "The generalization of Student's problem", and Satterthwaite 1946 for the degrees of freedom.

    Example:
        >>> spread(np.array([0.1, 0.3]), np.array([0.2, 0.2, 0.2]))  # only seeds differ: sd 0.1414 over sqrt(2)
        (0.2, 0.1, 1.0)
    """
    asked = float(np.nanvar(resampled, ddof=1))
    seeds = len(gains)
    drawn = float(np.var(gains, ddof=1)) / seeds if seeds > 1 else 0.0
    freedom = (asked + drawn) ** 2 / (drawn**2 / (seeds - 1)) if drawn > 0 else 1e6
    return float(np.mean(gains)), round(float(np.sqrt(asked + drawn)), 12), round(min(freedom, 1e6), 6)


def tail(value: float, error: float, freedom: float) -> float:
    """Probability of a value at least as large by chance alone, were the truth 0.

    Example:
        >>> round(tail(1.959964, 1.0, 1e6), 4), tail(0.1, 0.0, 4.0), tail(-0.1, 0.0, 4.0)
        (0.025, 0.0, 1.0)
    """
    if error == 0.0:
        return 0.0 if value > 0 else 1.0
    return float(stats.t.sf(value / error, freedom))


def _values(models: Sequence[Resampled], metric: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([one.statistic(weights)[metric] for one in models])
