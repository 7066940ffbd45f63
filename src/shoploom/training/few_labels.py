"""Few labels, many rows without: self-training and consistency, as plain functions over a fit / predict protocol.

Both believe that rows which lie together belong together. Where that is not so they teach a model its own mistakes:
compare with ``fit`` on the labelled rows alone, on validation rows, before using them.
"""

# Shapes: n labelled rows, m unlabelled rows, F features, V classes

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.errors import DataError, UsageError

Predict = Callable[[F64], F64]
"""(rows, F) features to (rows, V) probabilities."""
Noise = Callable[[F64, Generator], F64]
"""Features to slightly different ones of the same meaning."""


class FitSoft(Protocol):
    """Learns from shares of classes."""

    def __call__(self, features: F64, targets: F64, *, weight: F64) -> Predict:
        """``targets`` (rows, V) add up to 1 in each row; ``weight`` (rows,)."""
        ...


@dataclass(frozen=True)
class SelfTrained:
    """What self-training ended with.

    Args:
        predict: The last model.
        labels: (m,) class that each unlabelled row was given, -1 for none.
        added: Rows that had a label after each round.
    """

    predict: Predict
    labels: NDArray[np.int64]
    added: tuple[int, ...]


def self_train(
    fit: FitSoft,
    features: F64,
    codes: NDArray[Any],
    unlabelled: F64,
    *,
    num_classes: int,
    threshold: float = 0.9,
    rounds: int = 10,
    share: float = 0.2,
    weight: float = 1.0,
) -> SelfTrained:
    """Label the surest unlabelled rows with the model's own answer, learn from them too, and again.

    In each round every class gets at most ``share`` of the unlabelled rows anew, in the shares that the labelled rows
    have, so that the larger class does not swallow the smaller one. Labels are given anew from scratch in every round:
    what the next model is not sure of any more is dropped.

    Args:
        fit: The learner.
        features: (n, F) labelled rows.
        codes: (n,) their classes.
        unlabelled: (m, F).
        num_classes: V.
        threshold: Least probability of a label that is given.
        rounds: Most rounds; ends when no more rows are added.
        share: See above; 1 takes all that is sure at once.
        weight: Of a given label beside a known one.

    Raises:
        DataError: If a class has no labelled row.
        UsageError: If threshold or share are out of range.

    References:
        Lee 2013, "Pseudo-Label"; the growing number per class is curriculum labelling, Cascante-Bonilla et al. 2021,
        arXiv:2001.06001, section 3.
    """
    if not 1 / num_classes <= threshold <= 1 or not 0 < share <= 1:
        raise UsageError(
            f"threshold is {threshold} and share {share}; wanted a threshold from {1 / num_classes:g} (a guess) to 1 "
            "and a share above 0 and at most 1"
        )
    priors = _priors(codes, num_classes)
    known = np.eye(num_classes)[codes]
    predict = fit(features, known, weight=np.ones(len(codes)))
    labels = np.full(len(unlabelled), -1, dtype=np.int64)
    added: list[int] = []
    for number in range(rounds):
        most = np.ceil(min(1.0, share * (number + 1)) * len(unlabelled) * priors).astype(int)
        labels = _surest(predict(unlabelled), threshold, most)
        given = np.flatnonzero(labels >= 0)
        if not len(given):
            added.append(0)
            break
        predict = fit(
            np.concatenate([features, unlabelled[given]]),
            np.concatenate([known, np.eye(num_classes)[labels[given]]]),
            weight=np.concatenate([np.ones(len(codes)), np.full(len(given), weight)]),
        )
        added.append(len(given))
        if share * (number + 1) >= 1 and len(added) > 1 and added[-1] == added[-2]:
            break
    return SelfTrained(predict, labels, tuple(added))


def consistent_targets(
    predict: Predict, features: F64, noise: Noise, *, copies: int = 4, temperature: float = 0.5, seed: int = 0
) -> F64:
    """(m, V) what a model says on average about noisy copies of each row, sharpened: p^(1/T) / Σ p^(1/T).

    References:
        Berthelot et al. 2019, "MixMatch", arXiv:1905.02249, Eq. (6) and (7).
    """
    draws = np.random.default_rng(seed)
    mean = np.mean([predict(noise(features, draws)) for _ in range(copies)], axis=0)
    sharp = np.maximum(mean, 1e-12) ** (1 / temperature)
    return np.asarray(sharp / sharp.sum(axis=1, keepdims=True))


def consistency_train(
    fit: FitSoft,
    features: F64,
    codes: NDArray[Any],
    unlabelled: F64,
    noise: Noise,
    *,
    num_classes: int,
    rounds: int = 5,
    weight: float = 1.0,
    copies: int = 4,
    temperature: float = 0.5,
    seed: int = 0,
) -> Predict:
    """Learn to say the same of noisy copies of a row, labelled or not.

    In each round unlabelled rows get ``consistent_targets`` of the last model, and the next model learns them from
    *other* noisy copies; their weight grows from round to round up to ``weight``, as the answers become better.

    Args:
        fit: The learner.
        features: (n, F) labelled rows.
        codes: (n,) their classes.
        unlabelled: (m, F).
        noise: Makes copies.
        num_classes: V.
        rounds: How often.
        weight: Of all unlabelled rows together beside all labelled ones. On two moons 1 helps (75 to 82 %) and 20
            hurts (75 to 66 %): the first model's mistakes are then learned by heart.
        copies: Noisy copies per answer.
        temperature: Below 1 makes answers surer.
        seed: Of the noise.

    Raises:
        DataError: If a class has no labelled row.
    """
    _priors(codes, num_classes)
    draws = np.random.default_rng([seed, 1])
    known = np.eye(num_classes)[codes]
    predict = fit(features, known, weight=np.ones(len(codes)))
    for number in range(rounds):
        guessed = consistent_targets(
            predict, unlabelled, noise, copies=copies, temperature=temperature, seed=seed + number
        )
        each = weight * (number + 1) / rounds * len(codes) / len(unlabelled)
        predict = fit(
            np.concatenate([features, noise(features, draws), noise(unlabelled, draws)]),
            np.concatenate([known, known, guessed]),
            weight=np.concatenate([np.full(2 * len(codes), 0.5), np.full(len(unlabelled), each)]),
        )
    return predict


def _priors(codes: NDArray[Any], num_classes: int) -> F64:
    counts = np.bincount(codes, minlength=num_classes)
    if (counts == 0).any():
        empty = ", ".join(str(one) for one in np.flatnonzero(counts == 0))
        raise DataError(f"no labelled row of class {empty}; every class needs one at least")
    return np.asarray(counts / counts.sum())


def _surest(probabilities: F64, threshold: float, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m,) class of the rows that are sure, at most ``most[v]`` of class v, surest first; -1 for the others."""
    best, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    labels = np.full(len(best), -1, dtype=np.int64)
    for value, number in enumerate(most):
        rows = np.flatnonzero((best == value) & (sure >= threshold))
        labels[rows[np.argsort(-sure[rows], kind="stable")][:number]] = value
    return labels
