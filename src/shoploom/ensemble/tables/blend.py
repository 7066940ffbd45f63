"""Logits of several members as one: a weight per member and label, learned on rows that no member had seen."""

# Shapes: M members, N rows, K classes

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64

MOST_NUMBERS = 1_000_000
"""Of so many rows times classes a few weights are known well enough."""
DRAW = 1e-3
"""Pull of the weights towards being equal, against members that agree on everything."""


def fit_weights(logits: Sequence[F64], codes: NDArray[np.int64]) -> F64:
    """(M,) weights, none negative, under which softmax(sum of weight * logits) has the lowest mean log loss.

    The sum of weights is free, so it is the (inverse) temperature of all together.

    Args:
        logits: M times (N, K), each standing for rows that its member had not seen.
        codes: (N,) true classes.

    References:
        Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence", section 2, for the product;
        Genest and Zidek 1986, "Combining Probability Distributions", for weights in it.
    """
    from scipy.optimize import minimize

    step = max(1, round(logits[0].size / MOST_NUMBERS))
    logits, codes = [one[::step] for one in logits], codes[::step]
    stacked = np.stack([one - one.mean(axis=1, keepdims=True) for one in logits])
    spread = np.maximum(stacked.std(axis=(1, 2)), 1e-9)
    scaled = stacked / spread[:, None, None]
    rows = np.arange(len(codes))

    def loss(weights: F64) -> tuple[float, F64]:
        mixed = np.tensordot(weights, scaled, 1)
        mixed -= mixed.max(axis=1, keepdims=True)
        raised = np.exp(mixed)
        norm = raised.sum(axis=1, keepdims=True)
        value = float((np.log(norm[:, 0]) - mixed[rows, codes]).mean())
        error = raised / norm
        error[rows, codes] -= 1.0
        slope = np.einsum("mnk,nk->m", scaled, error) / len(codes)
        gap = weights - weights.mean()
        return value + DRAW * float(gap @ gap), slope + 2 * DRAW * gap

    start = np.full(len(stacked), 2.0 / len(stacked))
    found = minimize(loss, start, jac=True, bounds=[(0.0, None)] * len(stacked), method="L-BFGS-B").x
    return np.asarray(found / spread)


def blended(logits: Mapping[str, F64], weights: Mapping[str, float]) -> F64:
    """(N, K) probabilities."""
    mixed = sum(weights[name] * (one - one.mean(axis=1, keepdims=True)) for name, one in logits.items())
    found = np.asarray(mixed)
    raised = np.exp(found - found.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
