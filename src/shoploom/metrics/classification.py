"""Metrics of probabilities and classes: AUC, average precision, Brier score, log loss, macro F1; their curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]
SMALLEST = 1e-6
"""Probabilities are raised to this before a logarithm."""


class RankedLabels:
    """Binary labels sorted by score once, tied scores grouped; then each set of weights is quick.

    Args:
        labels: (B,) 0 or 1.
        scores: (B,) Higher means label 1 is likelier.

    Example:
        >>> RankedLabels(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.5])).auc(np.ones(3))
        0.75
    """

    def __init__(self, labels: NDArray[Any], scores: NDArray[Any]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])[: len(ordered)]
        self.labels = labels[self.order].astype(float)

    def auc(self, weights: Values) -> float:
        """Area under the ROC curve: the chance that a positive ranks above a negative, ties counting one half."""
        positive, negative = self._groups(weights)
        below = negative.sum() - np.cumsum(negative)
        pairs = float(positive.sum() * negative.sum())
        return float(positive @ (below + negative / 2)) / pairs if pairs else float("nan")

    def average_precision(self, weights: Values) -> float:
        """Step-wise area under the precision-recall curve: sum of (R_n - R_{n-1}) P_n over tied groups n."""
        positive, negative = self._groups(weights)
        found, seen, total = np.cumsum(positive), np.cumsum(positive + negative), float(positive.sum())
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return float(positive @ precision) / total if total else float("nan")

    def roc(self) -> tuple[Values, Values]:
        """False and true positive rates at every threshold, from none to all; the area below is ``auc``.

        Example:
            >>> rates = RankedLabels(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.5])).roc()
            >>> [one.tolist() for one in rates]
            [[0.0, 0.0, 1.0], [0.0, 0.5, 1.0]]
        """
        positive, negative = self._groups(np.ones(len(self.order)))
        return _shares(negative), _shares(positive)

    def precision_recall(self) -> tuple[Values, Values]:
        """Recall and precision at every threshold, most certain first; the area of its steps is the average precision.

        Example:
            >>> pairs = RankedLabels(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.5])).precision_recall()
            >>> [one.round(3).tolist() for one in pairs]
            [[0.5, 1.0], [1.0, 0.667]]
        """
        positive, negative = self._groups(np.ones(len(self.order)))
        found, seen = np.cumsum(positive), np.cumsum(positive + negative)
        return _shares(positive)[1:], np.asarray(found / np.maximum(seen, 1))

    def _groups(self, weights: Values) -> tuple[Values, Values]:
        if not len(self.order):
            return np.zeros(0), np.zeros(0)
        ordered = weights[self.order]
        positive = np.add.reduceat(ordered * self.labels, self.starts)
        return positive, np.add.reduceat(ordered, self.starts) - positive


def _shares(counts: Values) -> Values:
    """Running shares of a total, from 0 on; NaN of nothing."""
    total = float(counts.sum())
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    return np.asarray(sums / total if total else np.full(len(sums), np.nan))


def auc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Area under the ROC curve; NaN with one class only. Tied scores share evenly."""
    return RankedLabels(labels, scores).auc(np.ones(len(labels)))


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Average precision; NaN without a positive."""
    return RankedLabels(labels, scores).average_precision(np.ones(len(labels)))


def brier(labels: NDArray[Any], probabilities: Values) -> Values:
    """(B,) Squared error of the probability; the mean is the Brier score."""
    return np.asarray((probabilities - labels) ** 2, dtype=np.float64)


def log_loss(labels: NDArray[Any], probabilities: Values) -> Values:
    """(B,) Minus the log of the probability given to what happened, in nats."""
    given = np.where(np.asarray(labels) > 0, probabilities, 1 - probabilities)
    return np.asarray(-np.log(np.clip(given, SMALLEST, 1.0)), dtype=np.float64)


def class_log_loss(codes: Codes, probabilities: Values) -> Values:
    """(B,) The same for several classes: ``probabilities`` is (B, V), ``codes`` the true columns."""
    return np.asarray(-np.log(np.clip(probabilities[np.arange(len(codes)), codes], SMALLEST, 1.0)), dtype=np.float64)


def confusion(truth: Codes, predicted: Codes, num_classes: int) -> NDArray[np.int64]:
    """(V, V) how often each true class (row) was taken for each class (column).

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    flat = truth.astype(np.int64) * num_classes + predicted
    return np.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)


def macro_f1(truth: Codes, predicted: Codes, num_classes: int) -> Callable[[Values], float]:
    """Mean F1 of the classes that occur in the truth or in the predictions, as a function of row weights.

    F1 of a class is 2 TP / (2 TP + FP + FN).

    Example:
        >>> macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)(np.ones(3))
        0.6666666666666666
    """
    right = truth == predicted

    def score(weights: Values) -> float:
        hits = np.bincount(truth[right], weights[right], num_classes)
        seen = np.bincount(truth, weights, num_classes) + np.bincount(predicted, weights, num_classes)
        return float((2 * hits[seen > 0] / seen[seen > 0]).mean()) if (seen > 0).any() else float("nan")

    return score
