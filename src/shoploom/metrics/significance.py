"""How sure a number is: bootstrap intervals, paired differences, and Holm's correction for many of them.

Resamples are drawn from a fixed seed, so that two calls agree to the last digit and two predictions of the same
units see the same resamples: that makes their difference a paired one.
"""

# Shapes: R rounds

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from shoploom.metrics.statistics import Statistic, Values

ROUNDS, SEED = 300, 7


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """``value``, ``low`` and ``high``, None where undefined, ready for JSON."""
        return {name: _finite(getattr(self, name)) for name in ("value", "low", "high")}


@dataclass(frozen=True)
class Difference:
    """One prediction minus another on the same units: an estimate and a two-sided bootstrap p-value."""

    value: float
    low: float
    high: float
    p_value: float

    def to_dict(self) -> dict[str, float | None]:
        """All four numbers, None where undefined."""
        return {name: _finite(getattr(self, name)) for name in ("value", "low", "high", "p_value")}


class Resampled(Protocol):
    """Metrics over independent units, as ``Task.measure`` returns them."""

    @property
    def statistic(self) -> Statistic:
        """Metrics as a function of unit weights."""
        ...

    @property
    def units(self) -> int:
        """Number of units."""
        ...


@dataclass(frozen=True)
class Samples:
    """Metrics over the resamples of one prediction's units.

    Args:
        names: Of the M metrics.
        values: (M,) the estimates.
        rounds: (R, M) the metrics of each resample.
        units: Number of units; the same units have the same resamples.
    """

    names: list[str]
    values: list[float]
    rounds: Values
    units: int

    @classmethod
    def of(cls, measured: Resampled, *, rounds: int = ROUNDS, seed: int = SEED) -> Samples:
        """Draw units with replacement, ``rounds`` times."""
        point = measured.statistic(np.ones(measured.units))
        draws = np.random.default_rng(seed)
        rows = [list(measured.statistic(_counts(draws, measured.units)).values()) for _ in range(rounds)]
        table = np.array(rows, dtype=float).reshape(rounds, len(point))
        return cls(list(point), list(point.values()), table, measured.units)

    def estimates(self) -> dict[str, Estimate]:
        """Every metric with the 2.5 % and 97.5 % percentiles of its resamples."""
        return {name: Estimate(self.values[at], *_interval(self.rounds[:, at])) for at, name in enumerate(self.names)}

    def minus(self, other: Samples) -> dict[str, Difference]:
        """These minus others, metric by metric.

        The p-value is twice the smaller share of resamples on either side of 0, never below 2 / (R + 1).

        Raises:
            ValueError: If the two are not about equally many units.
        """
        if self.units != other.units:
            raise ValueError(f"predictions of {self.units} and of {other.units} units cannot be compared in pairs")
        found: dict[str, Difference] = {}
        for at, name in enumerate(self.names):
            if name in other.names:
                column = other.names.index(name)
                changes = self.rounds[:, at] - other.rounds[:, column]
                found[name] = Difference(self.values[at] - other.values[column], *_interval(changes), _p_value(changes))
        return found


def bootstrap(measured: Resampled, *, rounds: int = ROUNDS, seed: int = SEED) -> dict[str, Estimate]:
    """Every metric with the 2.5 % and 97.5 % percentiles of its resamples."""
    return Samples.of(measured, rounds=rounds, seed=seed).estimates()


def paired(mine: Resampled, other: Resampled, *, rounds: int = ROUNDS, seed: int = SEED) -> dict[str, Difference]:
    """Mine minus other, metric by metric, both measured on the same resamples of the same units.

    To compare many predictions, draw the ``Samples`` of each once.

    Raises:
        ValueError: If the two are not about equally many units.
    """
    if mine.units != other.units:
        raise ValueError(f"predictions of {mine.units} and of {other.units} units cannot be compared in pairs")
    drawn = Samples.of(mine, rounds=rounds, seed=seed)
    return drawn.minus(Samples.of(other, rounds=rounds, seed=seed))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: below 0.05 together keeps the chance of any false alarm among all below 5 %.

    References:
        Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=lambda row: p_values[row])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def _counts(draws: np.random.Generator, units: int) -> Values:
    if not units:
        return np.zeros(0)
    return np.bincount(draws.integers(0, units, units), minlength=units).astype(np.float64)


def _interval(samples: Values) -> tuple[float, float]:
    known = samples[~np.isnan(samples)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _p_value(changes: Values) -> float:
    known = changes[~np.isnan(changes)]
    fewer = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (fewer + 1) / (len(known) + 1)))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
