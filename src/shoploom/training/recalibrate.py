"""Makes probabilities mean what they say, from cases that the model has not learned from.

Four ways behind one interface: ``isotonic`` (any rising curve; many cases), ``platt`` (slope and shift of the logit),
``temperature`` (slope alone), ``online`` (slope and shift, moved case by case as outcomes come in). ``BySegment`` gives
each segment a curve of its own where it has cases enough.
"""

# Shapes: n cases, S stages, K knots

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.errors import DataError
from shoploom.plugins import PluginTable

CALIBRATORS = PluginTable(
    "calibrator",
    "shoploom.calibrators",
    {
        "isotonic": "shoploom.training.recalibrate:Isotonic",
        "platt": "shoploom.training.recalibrate:Platt",
        "temperature": "shoploom.training.recalibrate:Temperature",
        "online": "shoploom.training.recalibrate:Online",
    },
)
SMALLEST = 1e-7


class Calibrator(Protocol):
    """A curve from probability to probability. Instances are made without arguments."""

    name: ClassVar[str]

    def fit(self, probabilities: F64, labels: NDArray[Any]) -> Self:
        """Learn from n cases, in the order of their time."""
        ...

    def __call__(self, probabilities: F64) -> F64:
        """(n,) better probabilities."""
        ...

    def arrays(self) -> dict[str, F64]:
        """For storage."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, F64]) -> Self:
        """The inverse of ``arrays``."""
        ...


class Isotonic:
    """The rising step curve with the least squared error (pool adjacent violators), straight between steps.

    References:
        Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates",
        section 3.2.
    """

    name: ClassVar[str] = "isotonic"

    def __init__(self, inputs: F64 | None = None, outputs: F64 | None = None) -> None:
        self.inputs = np.zeros(0) if inputs is None else inputs
        self.outputs = np.zeros(0) if outputs is None else outputs

    def fit(self, probabilities: F64, labels: NDArray[Any]) -> Self:
        """Steps sit at the mean probability of their cases."""
        _check(probabilities, labels)
        inputs, place = np.unique(probabilities, return_inverse=True)
        weight = np.bincount(place).astype(np.float64)
        mean = np.bincount(place, np.asarray(labels, dtype=float)) / weight
        block = pooled(mean, weight)
        total = np.bincount(block, weight)
        self.inputs = np.bincount(block, weight * inputs) / total
        self.outputs = np.bincount(block, weight * mean) / total
        return self

    def __call__(self, probabilities: F64) -> F64:
        """Interpolated; beyond the ends the end's value."""
        if not len(self.inputs):
            return probabilities
        return np.asarray(np.interp(probabilities, self.inputs, self.outputs))

    def arrays(self) -> dict[str, F64]:
        """Knots."""
        return {"inputs": self.inputs, "outputs": self.outputs}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, F64]) -> Self:
        """From knots."""
        return cls(arrays["inputs"], arrays["outputs"])


def pooled(mean: F64, weight: F64) -> NDArray[np.int64]:
    """(n,) number of the block that each point falls into: neighbours that do not rise share one.

    Example:
        >>> pooled(np.array([0.1, 0.5, 0.3, 0.9]), np.ones(4)).tolist()
        [0, 1, 1, 2]
    """
    starts: list[int] = []
    means: list[float] = []
    weights: list[float] = []
    for place, (value, amount) in enumerate(zip(mean.tolist(), weight.tolist(), strict=True)):
        starts.append(place)
        means.append(value)
        weights.append(amount)
        while len(means) > 1 and means[-2] >= means[-1]:
            both = weights[-2] + weights[-1]
            means[-2] = (weights[-2] * means[-2] + weights[-1] * means[-1]) / both
            weights[-2] = both
            del starts[-1], means[-1], weights[-1]
    return np.repeat(np.arange(len(starts)), np.diff([*starts, len(mean)]))


class Platt:
    """sigmoid(a z + b) of the logit z, by Newton's method, with the targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2).

    References:
        Platt 1999, "Probabilistic outputs for support vector machines", section 2.2; Lin et al. 2007.
    """

    name: ClassVar[str] = "platt"

    def __init__(self, slope: float = 1.0, shift: float = 0.0) -> None:
        self.slope = slope
        self.shift = shift

    def fit(self, probabilities: F64, labels: NDArray[Any]) -> Self:
        """Both numbers."""
        self.slope, self.shift = _fit_line(probabilities, labels, shifted=True)
        return self

    def __call__(self, probabilities: F64) -> F64:
        """Rising as long as the slope is above 0."""
        return _sigmoid(self.slope * _logit(probabilities) + self.shift)

    def arrays(self) -> dict[str, F64]:
        """Slope and shift."""
        return {"line": np.array([self.slope, self.shift])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, F64]) -> Self:
        """From slope and shift."""
        return cls(float(arrays["line"][0]), float(arrays["line"][1]))


class Temperature:
    """sigmoid(z / T): one number, nothing moves across one half.

    References:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 4.2.
    """

    name: ClassVar[str] = "temperature"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def fit(self, probabilities: F64, labels: NDArray[Any]) -> Self:
        """The temperature with the least log loss."""
        slope, _ = _fit_line(probabilities, labels, shifted=False)
        self.temperature = 1.0 / max(slope, 1e-3)
        return self

    def __call__(self, probabilities: F64) -> F64:
        """Flatter for T above 1."""
        return _sigmoid(_logit(probabilities) / self.temperature)

    def arrays(self) -> dict[str, F64]:
        """The temperature."""
        return {"temperature": np.array([self.temperature])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, F64]) -> Self:
        """From the temperature."""
        return cls(float(arrays["temperature"][0]))


class Online:
    """Slope and shift that follow the stream: a running logistic regression with second-order steps.

    After each batch, H <- keep H + sum x x^T p (1 - p) and w <- w - H^-1 sum (p - y) x with x = (z, 1): a recursive
    Newton step in which cases of long ago weigh less. ``learn`` may go on for ever; memory is six numbers.

    Args:
        keep: Weight of the past after each batch, in (0, 1]; 1 / (1 - keep) batches are remembered.
        batch: Cases at a time in ``fit``.
    """

    name: ClassVar[str] = "online"

    def __init__(self, *, keep: float = 0.98, batch: int = 2000) -> None:
        self.keep = keep
        self.batch = batch
        self.weights: F64 = np.array([1.0, 0.0])
        self.curve: F64 = np.diag([10.0, 10.0])

    def fit(self, probabilities: F64, labels: NDArray[Any]) -> Self:
        """One pass in the order of time."""
        _check(probabilities, labels)
        for at in range(0, len(labels), self.batch):
            self.learn(probabilities[at : at + self.batch], labels[at : at + self.batch])
        return self

    def learn(self, probabilities: F64, labels: NDArray[Any]) -> None:
        """One batch whose outcome is known."""
        rows = np.column_stack([_logit(probabilities), np.ones(len(probabilities))])
        now = _sigmoid(rows @ self.weights)
        self.curve = self.keep * self.curve + (rows * (now * (1 - now))[:, None]).T @ rows
        step = np.linalg.solve(self.curve + 1e-6 * np.eye(2), rows.T @ (now - np.asarray(labels, dtype=float)))
        self.weights = self.weights - np.clip(step, -1.0, 1.0)

    def __call__(self, probabilities: F64) -> F64:
        """As of now."""
        return _sigmoid(self.weights[0] * _logit(probabilities) + self.weights[1])

    def arrays(self) -> dict[str, F64]:
        """All that ``learn`` needs to go on."""
        return {"weights": self.weights, "curve": self.curve, "settings": np.array([self.keep, self.batch])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, F64]) -> Self:
        """Go on from there."""
        one = cls(keep=float(arrays["settings"][0]), batch=int(arrays["settings"][1]))
        one.weights, one.curve = np.asarray(arrays["weights"]), np.asarray(arrays["curve"])
        return one


class BySegment:
    """A curve for all, and one for each segment that has cases enough; a segment without takes the one for all.

    Args:
        kind: Name in ``CALIBRATORS``.
        least: Positive and negative cases that a segment needs, each.
    """

    def __init__(self, kind: str = "platt", *, least: int = 50) -> None:
        self.kind = kind
        self.least = least
        self.common: Calibrator = CALIBRATORS.load(kind)()
        self.own: dict[int, Calibrator] = {}

    def fit(self, probabilities: F64, labels: NDArray[Any], segment: NDArray[np.integer[Any]]) -> Self:
        """Learn all curves from n cases in the order of time; ``segment`` (n,) holds codes."""
        self.common.fit(probabilities, labels)
        self.own = {}
        for code in np.unique(segment).tolist():
            rows = segment == code
            positive = int(np.sum(labels[rows]))
            if min(positive, int(rows.sum()) - positive) >= self.least:
                self.own[int(code)] = CALIBRATORS.load(self.kind)().fit(probabilities[rows], labels[rows])
        return self

    def __call__(self, probabilities: F64, segment: NDArray[np.integer[Any]]) -> F64:
        """(n,) by the curve of each case's segment."""
        found = self.common(probabilities).copy()
        for code, curve in self.own.items():
            rows = segment == code
            found[rows] = curve(probabilities[rows])
        return found

    def state(self) -> tuple[dict[str, Any], dict[str, F64]]:
        """Settings and arrays for storage."""
        arrays = {f"common.{name}": one for name, one in self.common.arrays().items()}
        for code, curve in self.own.items():
            arrays |= {f"{code}.{name}": one for name, one in curve.arrays().items()}
        return {"kind": self.kind, "least": self.least, "own": sorted(self.own)}, arrays

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Mapping[str, F64]) -> Self:
        """The inverse of ``state``."""
        one = cls(settings["kind"], least=settings["least"])
        kind = CALIBRATORS.load(one.kind)

        def part(prefix: str) -> Calibrator:
            chosen = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
            curve: Calibrator = kind.from_arrays(chosen)
            return curve

        one.common = part("common.")
        one.own = {code: part(f"{code}.") for code in settings["own"]}
        return one


class ChainCalibration:
    """Calibrates every stage of a funnel and keeps the chain: no stage is likelier than the one before.

    Args:
        stages: One ``BySegment`` for each, in order.
    """

    def __init__(self, stages: Sequence[BySegment]) -> None:
        self.stages = list(stages)

    @classmethod
    def fit(
        cls,
        probabilities: F64,
        reached: NDArray[Any],
        segment: NDArray[np.integer[Any]],
        *,
        kind: str = "platt",
        least: int = 50,
    ) -> Self:
        """Learn from (n, S) probabilities and outcomes; a stage with one class only is left as it is."""
        found = []
        for stage in range(probabilities.shape[1]):
            curve = BySegment(kind, least=least)
            if 0 < reached[:, stage].sum() < len(reached):
                curve.fit(probabilities[:, stage], reached[:, stage], segment)
            found.append(curve)
        return cls(found)

    def __call__(self, probabilities: F64, segment: NDArray[np.integer[Any]]) -> F64:
        """(n, S)."""
        columns = [curve(probabilities[:, place], segment) for place, curve in enumerate(self.stages)]
        return np.asarray(np.minimum.accumulate(np.column_stack(columns), axis=1))

    def state(self) -> tuple[list[dict[str, Any]], dict[str, F64]]:
        """Settings and arrays for storage."""
        settings: list[dict[str, Any]] = []
        arrays: dict[str, F64] = {}
        for place, curve in enumerate(self.stages):
            own, parts = curve.state()
            settings.append(own)
            arrays |= {f"{place}/{name}": one for name, one in parts.items()}
        return settings, arrays

    @classmethod
    def from_state(cls, settings: Sequence[Mapping[str, Any]], arrays: Mapping[str, F64]) -> Self:
        """The inverse of ``state``."""
        found = []
        for place, own in enumerate(settings):
            prefix = f"{place}/"
            parts = {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
            found.append(BySegment.from_state(own, parts))
        return cls(found)


def _fit_line(probabilities: F64, labels: NDArray[Any], *, shifted: bool) -> tuple[float, float]:
    _check(probabilities, labels)
    truth = np.asarray(labels, dtype=float)
    positive = float(truth.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (len(truth) - positive + 2)
    target = np.where(truth > 0, high, low)
    logits = _logit(probabilities)
    rows = np.column_stack([logits, np.ones(len(logits))])[:, : 2 if shifted else 1]
    weights: F64 = np.array([1.0, 0.0])[: rows.shape[1]]
    before = np.inf
    step: F64 = np.zeros(len(weights))
    for _ in range(60):
        linear = rows @ weights
        loss = float((np.logaddexp(0.0, linear) - target * linear).sum())
        if loss > before + 1e-12:
            step = step / 2
            weights = weights + step
            continue
        if before - loss < 1e-10 * max(1.0, loss):
            break
        before = loss
        now = _sigmoid(linear)
        curve = (rows * (now * (1 - now))[:, None]).T @ rows + 1e-9 * np.eye(len(weights))
        step = np.asarray(np.linalg.solve(curve, rows.T @ (now - target)))
        weights = weights - step
    return float(weights[0]), float(weights[1]) if shifted else 0.0


def _check(probabilities: F64, labels: NDArray[Any]) -> None:
    if len(probabilities) != len(labels) or not len(labels):
        raise DataError(
            f"calibration needs as many outcomes as probabilities, at least one; given {len(probabilities)} "
            f"probabilities and {len(labels)} outcomes: hold some labelled cases out of training"
        )


def _logit(probabilities: F64) -> F64:
    clipped = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _sigmoid(logits: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0))))
