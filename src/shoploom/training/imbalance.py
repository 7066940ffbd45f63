"""Few of one class, many of another: weights, resampling, focal loss, and what each of them changes.

None of them adds information. Weights and resampling move the threshold and break the probabilities (``corrected``
mends them); they help a model that is judged at a fixed threshold, seldom one that is judged by AUC. So ``compare``
prints every measure for every method, before and after.
"""

# Shapes: n rows, V classes

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shoploom.data.arrays import F64
from shoploom.errors import DataError, UsageError, unknown_name
from shoploom.metrics.calibration import expected_calibration_error
from shoploom.metrics.classification import auc, average_precision, brier, log_loss, macro_f1

Codes = NDArray[np.integer[Any]]
Rows = NDArray[np.int64]
BETA: Final = 0.999
GAMMA: Final = 2.0


def effective_weights(codes: Codes, *, num_classes: int, beta: float = BETA) -> F64:
    """(V,) weight per class, one over its effective number of examples (1 − βⁿ) / (1 − β); they add up to V.

    Args:
        codes: (n,) classes from 0 on.
        num_classes: V; a class without an example gets the weight of one with a single example.
        beta: 0 weighs all classes alike, towards 1 it becomes one over their number.

    Raises:
        UsageError: If ``beta`` is not in [0, 1).

    References:
        Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", arXiv:1901.05555, Eq. (2) and
        section 4.1 (the sum).

    Example:
        >>> effective_weights(np.array([0] * 90 + [1] * 10), num_classes=2, beta=0.0).tolist()
        [1.0, 1.0]
    """
    if not 0 <= beta < 1:
        raise UsageError(f"beta is {beta}; wanted 0 or more and less than 1, such as 0.999")
    counts = np.maximum(np.bincount(codes, minlength=num_classes), 1)
    weights = (1 - beta) / (1 - beta**counts)
    return np.asarray(weights * num_classes / weights.sum(), dtype=np.float64)


def inverse_weights(codes: Codes, *, num_classes: int) -> F64:
    """(V,) weight per class, one over its number of examples; they add up to V.

    Example:
        >>> inverse_weights(np.array([0, 0, 0, 1]), num_classes=2).tolist()
        [0.5, 1.5]
    """
    weights = 1.0 / np.maximum(np.bincount(codes, minlength=num_classes), 1)
    return np.asarray(weights * num_classes / weights.sum(), dtype=np.float64)


def oversampled(codes: Codes, *, share: float = 1.0, seed: int = 0) -> Rows:
    """Row numbers, shuffled, in which every class stands at least ``share`` times as often as the largest one.

    Every row stays; rows of small classes are repeated evenly, the rest of the need is drawn without replacement.

    Raises:
        UsageError: If ``share`` is not in (0, 1].

    Example:
        >>> np.bincount(np.array([0, 0, 0, 0, 1])[oversampled(np.array([0, 0, 0, 0, 1]))]).tolist()
        [4, 4]
    """
    _check_share(share)
    draws = np.random.default_rng(seed)
    values, counts = np.unique(codes, return_counts=True)
    rows = []
    for value, count in zip(values, counts, strict=True):
        own = np.flatnonzero(codes == value)
        wanted = max(int(count), round(share * counts.max()))
        rows += [own] * (wanted // count) + [draws.choice(own, wanted % count, replace=False)]
    return draws.permutation(np.concatenate(rows)).astype(np.int64)


def undersampled(codes: Codes, *, share: float = 1.0, seed: int = 0) -> Rows:
    """Row numbers, shuffled, in which no class stands more than 1 / ``share`` times as often as the smallest one.

    Raises:
        UsageError: If ``share`` is not in (0, 1].

    Example:
        >>> np.bincount(np.array([0, 0, 0, 0, 1])[undersampled(np.array([0, 0, 0, 0, 1]), share=0.5)]).tolist()
        [2, 1]
    """
    _check_share(share)
    draws = np.random.default_rng(seed)
    values, counts = np.unique(codes, return_counts=True)
    most = round(counts.min() / share)
    rows = [draws.permutation(np.flatnonzero(codes == value))[:most] for value in values]
    return draws.permutation(np.concatenate(rows)).astype(np.int64)


def corrected(probabilities: F64, *, trained: float, real: float) -> F64:
    """Probabilities as they would be had the model not been trained on resampled or weighted rows.

    Args:
        probabilities: (n,) of a model trained where positives made up (or weighed) the share ``trained``.
        trained: That share, in (0, 1).
        real: The share in the world.

    References:
        Elkan 2001, "The Foundations of Cost-Sensitive Learning", Theorem 2.

    Example:
        >>> corrected(np.array([0.5]), trained=0.5, real=0.1).round(3).tolist()
        [0.1]
    """
    odds = probabilities / np.maximum(1 - probabilities, 1e-12)
    odds = odds * (real / (1 - real)) / (trained / (1 - trained))
    return np.asarray(odds / (1 + odds), dtype=np.float64)


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = GAMMA, alpha: float | None = None) -> Tensor:
    """Binary cross-entropy that turns down what is easy: −α_t (1 − p_t)^γ log p_t, per row.

    Args:
        logits: (n,) float.
        target: (n,) 0 or 1.
        gamma: 0 is the ordinary loss.
        alpha: Weight of the positives, 1 − alpha that of the negatives; None: both 1.

    Returns:
        (n,) losses in nats.

    References:
        Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002, Eq. (4) and (5).

    Example:
        >>> focal_loss(torch.tensor([0.0]), torch.tensor([1.0]), gamma=2.0)  # a quarter of ln 2
        tensor([0.1733])
    """
    target = target.to(logits.dtype)
    surprise = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = _power(-torch.expm1(-surprise), gamma) * surprise
    if alpha is None:
        return loss
    return torch.where(target > 0.5, alpha, 1 - alpha) * loss


def focal_class_loss(logits: Tensor, codes: Tensor, *, gamma: float = GAMMA, weight: Tensor | None = None) -> Tensor:
    """The same for several classes: −w_c (1 − p_c)^γ log p_c of the true class c.

    Args:
        logits: (n, V).
        codes: (n,) true classes.
        gamma: 0 is the ordinary loss.
        weight: (V,) weight per class, such as ``effective_weights``.

    Returns:
        (n,) losses in nats.
    """
    surprise = functional.cross_entropy(logits, codes, reduction="none")
    loss = _power(-torch.expm1(-surprise), gamma) * surprise
    return loss if weight is None else weight[codes] * loss


class Fit(Protocol):
    """Learns a binary label; returns a function from features to probabilities."""

    def __call__(self, features: F64, labels: F64, *, weight: F64, gamma: float) -> Callable[[F64], F64]:
        """``weight`` (n,) of each row; ``gamma`` of the focal loss, 0 for the ordinary one."""
        ...


@dataclass(frozen=True)
class Prepared:
    """What a method does to a training: which rows, their weights, the loss, and the share of positives that it shows.

    Args:
        rows: Row numbers.
        weight: (len(rows),).
        gamma: Of the focal loss.
        shown: Weighted share of positives, by which probabilities are mended.
    """

    rows: Rows
    weight: F64
    gamma: float
    shown: float


def _nothing(labels: Codes, seed: int) -> Prepared:
    return _prepared(labels, np.arange(len(labels)))


def _inverse(labels: Codes, seed: int) -> Prepared:
    return _prepared(labels, np.arange(len(labels)), inverse_weights(labels, num_classes=2)[labels])


def _effective(labels: Codes, seed: int) -> Prepared:
    return _prepared(labels, np.arange(len(labels)), effective_weights(labels, num_classes=2)[labels])


def _over(labels: Codes, seed: int) -> Prepared:
    return _prepared(labels, oversampled(labels, seed=seed))


def _under(labels: Codes, seed: int) -> Prepared:
    return _prepared(labels, undersampled(labels, seed=seed))


def _focal(labels: Codes, seed: int) -> Prepared:
    return _prepared(labels, np.arange(len(labels)), gamma=GAMMA)


METHODS: Final[Mapping[str, Callable[[Codes, int], Prepared]]] = {
    "none": _nothing,
    "class_weights": _inverse,
    "effective_number": _effective,
    "oversampling": _over,
    "undersampling": _under,
    "focal": _focal,
}


def prepare(method: str, labels: NDArray[Any], *, seed: int = 0) -> Prepared:
    """Rows, weights and loss of a method by name.

    Raises:
        UsageError: If the method is unknown.
        DataError: If there is one class only.
    """
    if method not in METHODS:
        raise UsageError(unknown_name("method against imbalance", method, METHODS))
    codes = np.asarray(labels, dtype=np.int64)
    if not 0 < codes.sum() < len(codes):
        raise DataError(f"all {len(codes)} labels are alike; there is no second class to balance against")
    return METHODS[method](codes, seed)


def compare(
    fit: Fit,
    train: tuple[F64, NDArray[Any]],
    valid: tuple[F64, NDArray[Any]],
    *,
    methods: tuple[str, ...] = tuple(METHODS),
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Measures of every method on the same validation rows; ``none`` is the "before".

    Args:
        fit: The learner.
        train: (n, F) features and (n,) labels.
        valid: Likewise; untouched by any method.
        methods: Names from ``METHODS``.
        seed: Of the resampling.

    Returns:
        By method: ``auc``, ``ap``, ``log_loss``, ``brier``, ``ece``; at a threshold of 0.5 ``macro_f1``, ``recall``,
        ``precision``; ``log_loss_mended`` and ``ece_mended`` after ``corrected``.
    """
    found = {}
    labels = np.asarray(valid[1], dtype=np.float64)
    real = float(np.mean(train[1]))
    for method in methods:
        one = prepare(method, train[1], seed=seed)
        targets = np.asarray(train[1], dtype=np.float64)[one.rows]
        predict = fit(train[0][one.rows], targets, weight=one.weight, gamma=one.gamma)
        probabilities = np.clip(predict(valid[0]), 1e-9, 1 - 1e-9)
        mended = corrected(probabilities, trained=one.shown, real=real)
        found[method] = _measures(labels, probabilities) | {
            "log_loss_mended": float(log_loss(labels, mended).mean()),
            "ece_mended": expected_calibration_error(labels, mended),
        }
    return found


def _measures(labels: F64, probabilities: F64) -> dict[str, float]:
    guess, truth = (probabilities >= 0.5).astype(np.int64), labels.astype(np.int64)
    hits = float((guess * truth).sum())
    return {
        "auc": auc(labels, probabilities),
        "ap": average_precision(labels, probabilities),
        "log_loss": float(log_loss(labels, probabilities).mean()),
        "brier": float(brier(labels, probabilities).mean()),
        "ece": expected_calibration_error(labels, probabilities),
        "macro_f1": macro_f1(truth, guess, 2)(np.ones(len(truth))),
        "recall": hits / max(1, int(truth.sum())),
        "precision": hits / max(1, int(guess.sum())),
    }


def _prepared(labels: Codes, rows: Rows, weight: F64 | None = None, gamma: float = 0.0) -> Prepared:
    weight = np.ones(len(rows)) if weight is None else weight
    return Prepared(rows, weight, gamma, float(weight @ labels[rows] / weight.sum()))


def _power(base: Tensor, gamma: float) -> Tensor:
    """``base ** gamma`` with a finite slope at 0 for exponents below 1, too."""
    return base.clamp_min(1e-12) ** gamma


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}; wanted more than 0 and at most 1, where 1 makes all classes equal")
