"""All members and a stack of them: weights are learned on later impressions that the members have not seen.

The stack of a stage is a logistic regression on the members' logits, with weights of at least 0 that are drawn towards
equal shares; then the probabilities are calibrated, segment by segment, and kept coherent along the chain.
"""

# Shapes: n impressions, S stages, M members

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from shoploom.data.arrays import F64
from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel import FUNNEL
from shoploom.ensemble.funnel.base import FunnelMember, chained
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.errors import DataError
from shoploom.metrics.calibration import SegmentCalibration, by_segment
from shoploom.metrics.classification import auc
from shoploom.training.recalibrate import ChainCalibration

HELD_SHARE = 0.15
PRIOR = 50.0
"""Strength of the pull to equal shares, in units of the log loss summed over cases."""
SMALLEST = 1e-6


class FusedFunnel:
    """Members, weights and calibration.

    Args:
        members: Unfitted; by default one of each in the table.
        segment: Field by which probabilities are calibrated apart; None: all together.
        calibrator: Name in ``CALIBRATORS``.
        share: Latest share of the impressions on which weights and calibration are learned.
    """

    name: ClassVar[str] = "fused"

    def __init__(
        self,
        members: Sequence[FunnelMember] | None = None,
        *,
        segment: str | None = None,
        calibrator: str = "platt",
        share: float = HELD_SHARE,
    ) -> None:
        found = [FUNNEL.load(name)() for name in FUNNEL] if members is None else members
        self.members: dict[str, FunnelMember] = {one.name: one for one in found}
        self.segment = segment
        self.calibrator = calibrator
        self.share = share
        self.weights: F64 = np.zeros((0, 0))
        self.calibration = ChainCalibration([])
        self.held_auc: dict[str, list[float]] = {}

    def fit(self, rows: Impressions, *, seed: int = 0, refit: bool = True) -> None:
        """Fit the members on the earlier part, weights and calibration on the later one, then the members on all.

        Args:
            rows: Impressions whose outcome is known.
            seed: Of whatever is drawn.
            refit: Whether the members learn from the later part, too, in the end.

        Raises:
            DataError: If all impressions are of one moment, or only one part has any that went on.
        """
        early, late = rows.split_by_time(self.share)
        if not len(early) or not len(late) or not early.reached[:, 0].any() or not late.reached[:, 0].any():
            raise DataError(
                f"cannot hold later impressions out: {len(early)} earlier and {len(late)} later ones, and both need "
                f"some that reached {rows.stages[0]!r}; give a log of at least two days"
            )
        self._fit_members(early, seed)
        answers = self.predictions(late)
        self.held_auc = {
            name: [auc(late.reached[:, stage], one[:, stage]) for stage in range(len(rows.stages))]
            for name, one in answers.items()
        }
        columns = [stack_weights(_logits(answers, stage), late.reached[:, stage]) for stage in range(len(rows.stages))]
        self.weights = np.column_stack(columns)
        self.calibration = ChainCalibration.fit(
            self._stacked(answers), late.reached, self._segments(late), kind=self.calibrator
        )
        if refit:
            self._fit_members(rows, seed)

    def predictions(self, rows: Impressions) -> dict[str, F64]:
        """(n, S) of every member."""
        return {name: member.predict(rows) for name, member in self.members.items()}

    def predict(self, rows: Impressions) -> F64:
        """(n, S) stacked, calibrated, coherent."""
        return self.fused(rows, self.predictions(rows))

    def fused(self, rows: Impressions, answers: Mapping[str, F64]) -> F64:
        """The same from what the members have answered already."""
        return self.calibration(self._stacked(answers), self._segments(rows))

    def report(self, rows: Impressions, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Calibration of each stage on labelled impressions, overall and by segment, ready for JSON.

        Args:
            rows: Labelled.
            names: Of the segments; by default their codes.
        """
        found, segments = self.predict(rows), self._segments(rows)
        called = names or [str(code) for code in range(int(segments.max(initial=0)) + 1)]
        table: list[dict[str, Any]] = []
        for place, stage in enumerate(rows.stages):
            lines: list[SegmentCalibration] = by_segment(rows.reached[:, place], found[:, place], segments, called)
            table += [{"stage": stage, **line.to_dict()} for line in lines]
        return table

    def _fit_members(self, rows: Impressions, seed: int) -> None:
        for member in self.members.values():
            member.fit(rows, seed=seed)

    def _stacked(self, answers: Mapping[str, F64]) -> F64:
        columns = [
            _sigmoid(_logits(answers, stage) @ weights[:-1] + weights[-1])
            for stage, weights in enumerate(self.weights.T)
        ]
        return chained(np.column_stack(columns))

    def _segments(self, rows: Impressions) -> NDArray[np.integer[Any]]:
        return np.zeros(len(rows), dtype=np.int64) if self.segment is None else rows.field(self.segment)

    def save(self, folder: Path) -> None:
        """Each member in a folder of its own, the rest beside them."""
        curves, arrays = self.calibration.state()
        about = {
            "members": list(self.members),
            "segment": self.segment,
            "calibrator": self.calibrator,
            "share": self.share,
            "curves": curves,
            "held_auc": self.held_auc,
        }
        save_state(folder, about, {f"curve.{name}": one for name, one in arrays.items()} | {"weights": self.weights})
        for name, member in self.members.items():
            member.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved ensemble."""
        about, arrays = load_state(folder)
        members = [FUNNEL.load(name).load(folder / name) for name in about["members"]]
        one = cls(members, segment=about["segment"], calibrator=about["calibrator"], share=about["share"])
        parts = {name.removeprefix("curve."): value for name, value in arrays.items() if name.startswith("curve.")}
        one.calibration = ChainCalibration.from_state(about["curves"], parts)
        one.weights, one.held_auc = arrays["weights"], about["held_auc"]
        return one


def stack_weights(logits: F64, labels: NDArray[Any], *, prior: float = PRIOR) -> F64:
    """(M + 1,) non-negative weights of M members and, last, a shift.

    Minimises the summed log loss of sigmoid(X w + b) plus prior / 2 times the squared distance of w from equal shares
    1 / M: with few cases the members are averaged, with many the best combination is found.

    Args:
        logits: (n, M).
        labels: (n,) 0 or 1.
        prior: Strength of the pull.
    """
    count = logits.shape[1]
    equal = np.full(count, 1.0 / count)
    if not 0 < float(np.sum(labels)) < len(labels):
        return np.append(equal, 0.0)
    truth = np.asarray(labels, dtype=float)

    def loss(weights: F64) -> tuple[float, F64]:
        linear = logits @ weights[:-1] + weights[-1]
        miss = _sigmoid(linear) - truth
        pull = weights[:-1] - equal
        value = float((np.logaddexp(0.0, linear) - truth * linear).sum() + prior / 2 * pull @ pull)
        return value / len(truth), np.append(logits.T @ miss + prior * pull, miss.sum()) / len(truth)

    bounds = [(0.0, None)] * count + [(None, None)]
    start = np.append(equal, 0.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return np.asarray(found.x, dtype=np.float64)


def _logits(answers: Mapping[str, F64], stage: int) -> F64:
    table = np.column_stack([np.clip(one[:, stage], SMALLEST, 1 - SMALLEST) for one in answers.values()])
    return np.asarray(np.log(table) - np.log1p(-table))


def _sigmoid(logits: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0))))
