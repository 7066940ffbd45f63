"""Multinomial regression on few rows: one convex problem, solved to the end."""

# Shapes: n rows, F features, V values

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64

NEVER = -30.0
"""Bias of values that no row has."""


def multinomial(
    features: F64, codes: NDArray[np.int64], values: int, *, strength: float, weight: F64
) -> tuple[F64, F64]:
    """Weights (V, F) and biases (V,) that minimise the mean weighted log loss plus |weights|^2 / (2 strength).

    Args:
        features: (n, F) standardised.
        codes: (n,) at least two different ones.
        values: V.
        strength: Inverse of the L2 penalty on the mean loss.
        weight: (n,)
    """
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(C=strength / len(codes), max_iter=500)
    model.fit(features, codes, sample_weight=weight)
    found, bias = model.coef_, model.intercept_
    if len(found) == 1:  # two values share one row: the logit of the second
        found, bias = np.concatenate([np.zeros_like(found), found]), np.array([0.0, float(bias[0])])
    weights, biases = np.zeros((values, features.shape[1])), np.full(values, NEVER)
    weights[model.classes_], biases[model.classes_] = found, bias
    return weights, biases
