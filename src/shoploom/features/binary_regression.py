"""Logistic regression on many rows of a ranker's features: logs, gaps as columns of their own, Newton in strips.

Memory is bounded by a strip, whatever the number of rows.
"""

# Shapes: n rows, F features, P columns (kept features, then one per feature that has gaps, then 1)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, Flags

STRIP: Final = 20_000
CLIP: Final = 5.0
"""Standard deviations; a live customer may be unlike all seen."""
MOST_ROUNDS: Final = 15
ENOUGH: Final = 1e-6
"""Change of the mean loss at which the fit ends."""


@dataclass(frozen=True)
class Columns:
    """Features as a linear model reads them: signed logs in standard deviations, 0 where they are NaN.

    Args:
        kept: (F,) features that are known in some row.
        gaps: (F,) features that are NaN in some rows; whether they are is a column, too.
        mean, scale: (F,) of the signed logs.
    """

    kept: Flags
    gaps: Flags
    mean: F32
    scale: F32

    @classmethod
    def fit(cls, features: F32) -> Columns:
        """From the rows to learn from."""
        known = np.isfinite(features)
        count = known.sum(axis=0)
        logs = np.where(known, _logs(features), 0.0)
        mean = logs.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        spread = np.sqrt(np.maximum((logs**2).sum(axis=0, dtype=np.float64) / np.maximum(count, 1) - mean**2, 0.0))
        kept = (count > 0) & (spread > 1e-6)
        gaps = (count > 0) & (count < len(features))
        return cls(kept, gaps, mean.astype(np.float32), np.where(kept, spread, 1.0).astype(np.float32))

    def __call__(self, features: F32) -> F32:
        """(n, P) float32."""
        known = np.isfinite(features)
        values = np.clip((_logs(features) - self.mean) / self.scale, -CLIP, CLIP)
        values = np.where(known, values, 0.0)[:, self.kept]
        parts = [values, ~known[:, self.gaps], np.ones((len(features), 1))]
        return np.concatenate([np.asarray(one, dtype=np.float32) for one in parts], axis=1)


@dataclass(frozen=True)
class BinaryRegression:
    """A logistic model of such features.

    Args:
        columns: How features are read.
        weights: (P,) the last one is the bias.
    """

    columns: Columns
    weights: F64

    @classmethod
    def fit(cls, features: F32, labels: NDArray[np.integer], *, penalty: float) -> BinaryRegression:
        """Minimise the mean log loss plus penalty / 2 times the squared weights, by Newton's method with halved steps.

        Args:
            features: (n, F), NaN for unknown.
            labels: (n,) 0 or 1, both of them.
            penalty: On all weights but the bias.
        """
        columns = Columns.fit(features)
        rate = float(labels.mean())
        size = int(columns.kept.sum() + columns.gaps.sum()) + 1
        weights: F64 = np.zeros(size)
        weights[-1] = np.log(rate / (1 - rate))
        ridge = np.full(size, penalty)
        ridge[-1] = 1e-9
        step: F64 = np.zeros(size)
        before = np.inf
        for _ in range(MOST_ROUNDS):
            loss, slope, curve = _derivatives(columns, features, labels, weights)
            loss += 0.5 * float(ridge @ weights**2)
            if loss > before:  # too far: halfway back
                step = step / 2
                weights = weights + step
                continue
            if before - loss < ENOUGH:
                break
            before = loss
            step = np.asarray(np.linalg.solve(curve + np.diag(ridge), slope + ridge * weights), dtype=np.float64)
            weights = weights - step
        return cls(columns, weights)

    def __call__(self, features: F32) -> F64:
        """(n,) probabilities."""
        parts = [
            _sigmoid(self.columns(features[at : at + STRIP]) @ self.weights) for at in range(0, len(features), STRIP)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For storage."""
        columns = self.columns
        read = {"kept": columns.kept, "gaps": columns.gaps, "mean": columns.mean, "scale": columns.scale}
        return read | {"weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> BinaryRegression:
        """The inverse of ``arrays``; other entries do not matter."""
        kept, gaps = arrays["kept"].astype(np.bool_), arrays["gaps"].astype(np.bool_)
        return cls(Columns(kept, gaps, arrays["mean"], arrays["scale"]), arrays["weights"])


def _logs(features: F32) -> F32:
    return np.asarray(np.sign(features) * np.log1p(np.abs(features)), dtype=np.float32)


def _sigmoid(logits: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0))))


def _derivatives(columns: Columns, features: F32, labels: NDArray[np.integer], weights: F64) -> tuple[float, F64, F64]:
    """Mean log loss, its gradient (P,) and its Hessian (P, P)."""
    loss, slope, curve = 0.0, np.zeros(len(weights)), np.zeros((len(weights), len(weights)))
    for at in range(0, len(features), STRIP):
        values, truth = columns(features[at : at + STRIP]), labels[at : at + STRIP]
        logits = values @ weights
        probability = _sigmoid(logits)
        loss += float((np.logaddexp(0.0, logits) - truth * logits).sum())
        slope += values.T @ (probability - truth)
        bend = np.maximum(probability * (1 - probability), 1e-6).astype(np.float32)
        curve += (values * bend[:, None]).T @ values
    return loss / len(features), slope / len(features), curve / len(features)
