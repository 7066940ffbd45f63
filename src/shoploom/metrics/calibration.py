"""Whether probabilities mean what they say: reliability curve, expected calibration error, PCOC, by segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Mean prediction, observed rate and number of cases of each bin, bins without cases left out."""

    predicted: Values
    observed: Values
    count: NDArray[np.int64]


def reliability(labels: NDArray[Any], probabilities: Values, *, bins: int = 10) -> Reliability:
    """The reliability curve over bins with equally many cases; equal predictions share a bin.

    Example:
        >>> reliability(np.array([0, 1]), np.array([0.2, 0.8]), bins=2).observed.tolist()
        [0.0, 1.0]
    """
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.unique(np.quantile(probabilities, inner)) if len(probabilities) else np.zeros(0)
    place = np.searchsorted(edges, probabilities, side="left")
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    predicted = np.bincount(place, probabilities, bins)[kept] / count[kept]
    observed = np.bincount(place, np.asarray(labels, dtype=float), bins)[kept] / count[kept]
    return Reliability(predicted, observed, count[kept])


def expected_calibration_error(labels: NDArray[Any], probabilities: Values, *, bins: int = 10) -> float:
    """Mean distance between predicted and observed rate over the bins of ``reliability``, weighed by cases.

    References:
        Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning", section 4 (ECE); bins
        here hold equally many cases instead of being equally wide.
    """
    curve = reliability(labels, probabilities, bins=bins)
    total = max(1, int(curve.count.sum()))
    return float(curve.count @ np.abs(curve.predicted - curve.observed)) / total


def pcoc(labels: NDArray[Any], probabilities: Values) -> float:
    """Predicted over observed sum: 1 is calibrated in the large, above 1 promises too much; NaN without a positive."""
    observed = float(np.sum(labels))
    return float(probabilities.sum()) / observed if observed else float("nan")


@dataclass(frozen=True)
class SegmentCalibration:
    """How far the probabilities of one segment can be taken at their word.

    Args:
        segment: Its name.
        cases: Number of rows.
        observed: Share of label 1.
        predicted: Mean probability.
        ece: Expected calibration error, a distance of rates.
        pcoc: Predicted over observed; NaN without a positive.
    """

    segment: str
    cases: int
    observed: float
    predicted: float
    ece: float
    pcoc: float

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Ready for JSON, None where undefined."""
        whole = {name: getattr(self, name) for name in ("segment", "cases", "observed", "predicted", "ece")}
        return whole | {"pcoc": self.pcoc if np.isfinite(self.pcoc) else None}


def by_segment(
    labels: NDArray[Any],
    probabilities: Values,
    segment: NDArray[np.integer[Any]],
    names: Sequence[str],
    *,
    bins: int = 10,
) -> list[SegmentCalibration]:
    """Calibration of all rows together (``all``, first) and of each segment that has rows.

    Args:
        labels: (B,) 0 or 1.
        probabilities: (B,) in [0, 1].
        segment: (B,) positions in ``names``.
        names: Of the segments.
        bins: Of the expected calibration error.

    Example:
        >>> rows = by_segment(np.array([0, 1]), np.array([0.5, 0.5]), np.array([0, 1]), ["phone", "web"])
        >>> [(one.segment, one.ece, one.pcoc) for one in rows]
        [('all', 0.0, 1.0), ('phone', 0.5, nan), ('web', 0.5, 0.5)]
    """
    found = [_calibration("all", np.asarray(labels), probabilities, bins)]
    for place, name in enumerate(names):
        rows = segment == place
        if rows.any():
            found.append(_calibration(name, np.asarray(labels)[rows], probabilities[rows], bins))
    return found


def _calibration(name: str, labels: NDArray[Any], probabilities: Values, bins: int) -> SegmentCalibration:
    return SegmentCalibration(
        name,
        len(labels),
        float(labels.mean()) if len(labels) else float("nan"),
        float(probabilities.mean()) if len(labels) else float("nan"),
        expected_calibration_error(labels, probabilities, bins=bins),
        pcoc(labels, probabilities),
    )
