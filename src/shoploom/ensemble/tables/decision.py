"""From probabilities to one class each, for the mean F1 of all classes rather than for the share of right answers."""

# Shapes: N rows, K classes

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64
from shoploom.metrics.classification import macro_f1

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
STEPS = (-0.8, -0.4, -0.2, -0.1, 0.1, 0.2, 0.4, 0.8)
FEWEST_ROWS = 30
"""Classes of fewer rows get no offset of their own: what it wins is chance."""
SWEEPS = 3
PARTS = 5
LEAST = 1e-12


def lifted(probabilities: F64, offsets: F64) -> NDArray[np.int64]:
    """(N,) argmax of log p + offset."""
    return np.asarray((np.log(np.maximum(probabilities, LEAST)) + offsets).argmax(axis=1))


def choose_offsets(probabilities: F64, codes: NDArray[np.int64], *, seed: int = 0) -> F64:
    """(K,) offsets of log probabilities for the highest macro F1.

    Three rules compete: none; minus a strength times the log share of the class (one number, so safe for rare
    classes); and that plus an offset for each class with enough rows. Each is chosen on parts of the rows and judged
    on the others, and the winner is chosen again on all rows.

    Args:
        probabilities: (N, K) for rows that the model had not seen.
        codes: (N,) true classes.
        seed: Of the parts.

    References:
        Menon et al. 2021, "Long-tail Learning via Logit Adjustment", arXiv:2007.07314, Eq. (9); Lipton et al. 2014,
        arXiv:1402.1892, on why the best threshold for F1 lies below one half.
    """
    part = np.random.default_rng([seed, 23]).permutation(len(codes)) % PARTS
    rules = (_none, _by_share, _by_class)
    scores = []
    for rule in rules:
        predicted = np.empty(len(codes), dtype=np.int64)
        for one in range(PARTS):
            own = part == one
            predicted[own] = lifted(probabilities[own], rule(probabilities[~own], codes[~own]))
        scores.append(_f1(codes, predicted, probabilities.shape[1]))
    return rules[int(np.argmax(scores))](probabilities, codes)


def _none(probabilities: F64, codes: NDArray[np.int64]) -> F64:
    del codes
    return np.zeros(probabilities.shape[1])


def _by_share(probabilities: F64, codes: NDArray[np.int64]) -> F64:
    count = probabilities.shape[1]
    shares = np.maximum(np.bincount(codes, minlength=count), 1.0) / len(codes)
    all_offsets = [-one * np.log(shares) for one in STRENGTHS]
    return max(all_offsets, key=lambda one: _f1(codes, lifted(probabilities, one), count))


def _by_class(probabilities: F64, codes: NDArray[np.int64]) -> F64:
    count = probabilities.shape[1]
    offsets = _by_share(probabilities, codes)
    best = _f1(codes, lifted(probabilities, offsets), count)
    frequent = np.flatnonzero(np.bincount(codes, minlength=count) >= FEWEST_ROWS)
    for _ in range(SWEEPS):
        before = best
        for one in frequent:
            tried = []
            for step in STEPS:
                moved = offsets.copy()
                moved[one] += step
                tried.append((_f1(codes, lifted(probabilities, moved), count), step))
            value, step = max(tried)
            if value > best:
                best = value
                offsets[one] += step
        if best <= before:
            break
    return offsets


def _f1(codes: NDArray[np.int64], predicted: NDArray[np.int64], count: int) -> float:
    return macro_f1(codes, predicted, count)(np.ones(len(codes)))
