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
NEAREST = 8
"""Classes of each row that can win by offsets; looking at all of them takes twenty times as long."""
PARTS = 5
CLEARLY = 1e-4
"""Gain in F1 for which a greater strength is taken."""
LEAST = 1e-12


def lifted(probabilities: F64, offsets: F64) -> NDArray[np.int64]:
    """(N,) argmax of log p + offset."""
    return np.asarray((np.log(np.maximum(probabilities, LEAST)) + offsets).argmax(axis=1))


def choose_offsets(probabilities: F64, codes: NDArray[np.int64], *, seed: int = 0) -> F64:
    """(K,) offsets of log probabilities for the highest macro F1.

    Two rules compete: none; and minus a strength times the log share of the class, plus an offset of its own for each
    class with enough rows. The second is the mean of what several parts of the rows would choose, which is steadier.
    Rules are chosen on parts of the rows and judged on the others, part by part: a class that is named where there is
    none counts as an F1 of zero, and only few rows show how often that happens.

    Args:
        probabilities: (N, K) for rows that the model had not seen.
        codes: (N,) true classes.
        seed: Of the parts.

    References:
        Menon et al. 2021, "Long-tail Learning via Logit Adjustment", arXiv:2007.07314, Eq. (9); Lipton et al. 2014,
        arXiv:1402.1892, on why the best threshold for F1 lies below one half.
    """
    logs = np.log(np.maximum(probabilities, LEAST))
    part = np.random.default_rng([seed, 23]).permutation(len(codes)) % PARTS
    plain, raised, chosen = [], [], []
    for one in np.unique(part):
        own = part == one
        offsets = _by_class(logs[~own], codes[~own])
        plain.append(_f1(codes[own], logs[own].argmax(axis=1), logs.shape[1]))
        raised.append(_f1(codes[own], (logs[own] + offsets).argmax(axis=1), logs.shape[1]))
        chosen.append(offsets)
    return np.mean(chosen, axis=0) if np.mean(raised) > np.mean(plain) else np.zeros(logs.shape[1])


def _by_share(logs: F64, codes: NDArray[np.int64]) -> F64:
    """Minus a strength times the log share; classes of few rows are lifted no further than those of ``FEWEST_ROWS``."""
    count = logs.shape[1]
    shares = np.maximum(np.bincount(codes, minlength=count), FEWEST_ROWS) / max(1, len(codes))
    parts = np.array_split(np.random.default_rng(1).permutation(len(codes)), PARTS - 1)
    best, found = -np.inf, np.zeros(count)
    for strength in STRENGTHS:
        predicted = (logs - strength * np.log(shares)).argmax(axis=1)
        value = float(np.mean([_f1(codes[one], predicted[one], count) for one in parts if len(one)]))
        if value > best + CLEARLY:
            best, found = value, -strength * np.log(shares)
    return found


def _by_class(logs: F64, codes: NDArray[np.int64]) -> F64:
    """Coordinate ascent from the offsets by share, on the few likeliest classes of each row."""
    count = logs.shape[1]
    offsets = _by_share(logs, codes)
    near = np.argsort(-(logs + offsets), axis=1)[:, :NEAREST]
    values = np.take_along_axis(logs, near, axis=1)
    predicted = near[:, 0].copy()
    truths = np.bincount(codes, minlength=count).astype(float)
    hits = np.bincount(codes[predicted == codes], minlength=count).astype(float)
    named = np.bincount(predicted, minlength=count).astype(float)
    rows_of = [np.flatnonzero((near == one).any(axis=1)) for one in range(count)]
    for _ in range(SWEEPS):
        moved = False
        for one in np.flatnonzero(truths >= FEWEST_ROWS):
            rows = rows_of[one]
            lifted_values = values[rows] + offsets[near[rows]]
            is_one = near[rows] == one
            own = lifted_values[is_one]
            lifted_values[is_one] = -np.inf
            best = lifted_values.argmax(axis=1)
            at = np.arange(len(rows))
            other, rival = near[rows, best], lifted_values[at, best]
            before, true = predicted[rows], codes[rows]
            rest_hits = (hits - np.bincount(true[before == true], minlength=count)).astype(np.float64)
            rest_named = (named - np.bincount(before, minlength=count)).astype(np.float64)

            def outcome(
                step: float,
                *,
                own: F64 = own,
                rival: F64 = rival,
                one: int = int(one),
                other: NDArray[np.int64] = other,
                true: NDArray[np.int64] = true,
                rest: tuple[F64, F64] = (rest_hits, rest_named),
            ) -> tuple[float, NDArray[np.int64], F64, F64]:
                now = np.where(own + step > rival, one, other)
                right = rest[0] + np.bincount(true[now == true], minlength=count)
                said = rest[1] + np.bincount(now, minlength=count)
                return _mean_f1(right, truths + said), now, right, said

            value, step = _mean_f1(hits, truths + named), 0.0
            for tried in STEPS:
                reached = outcome(tried)[0]
                if reached > value + 1e-12:
                    value, step = reached, tried
            if step:
                _, predicted[rows], hits, named = outcome(step)
                offsets[one] += step
                moved = True
        if not moved:
            break
    return offsets


def _mean_f1(hits: F64, seen: F64) -> float:
    """Of the classes that occur, 2 TP / (2 TP + FP + FN)."""
    return float((2 * hits[seen > 0] / seen[seen > 0]).mean())


def _f1(codes: NDArray[np.int64], predicted: NDArray[np.int64], count: int) -> float:
    return macro_f1(codes, predicted, count)(np.ones(len(codes)))
