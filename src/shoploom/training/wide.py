"""Fits the wide paths of trained heads: convex problems with few labels, solved to the end after joint training."""

# Shapes: n labelled customers, G categories, V values

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.features.multinomial import multinomial
from shoploom.features.pipeline import ShopView
from shoploom.model.heads.wide_classes import WideClassesHead
from shoploom.model.multitask import MultiTaskModel
from shoploom.tasks.base import Task
from shoploom.tasks.profile import balanced

STRENGTH = 2.0
"""Inverse of the L2 penalty on the mean loss."""
FEWEST_ROWS = 10


@torch.no_grad()
def fit_wide_paths(model: MultiTaskModel, shop: ShopArrays, view: ShopView, tasks: dict[str, Task]) -> None:
    """Give every ``WideClassesHead`` of a model its wide weights, from all labels of the shop."""
    for name, task in tasks.items():
        head = model.heads[name]
        cases = task.labelled(shop) if isinstance(head, WideClassesHead) and head.num_wide else None
        if cases is None or cases.truth is None or not isinstance(head, WideClassesHead):
            continue
        wide = view.tastes(shop, cases.units)
        tables = {}
        for attribute, codes in cases.truth.codes.items():
            known = codes >= 0
            values = len(shop.attributes[attribute].values)
            if known.sum() >= FEWEST_ROWS and len(np.unique(codes[known])) > 1:
                tables[attribute] = _regression(wide[known], codes[known].astype(np.int64), values)
        head.fit_wide(tables)


def _regression(features: F64, codes: NDArray[np.int64], values: int) -> tuple[F64, F64]:
    """Weights (V, G) and biases (V,) of a multinomial regression on standardised features."""
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    weights, biases = multinomial(
        (features - centre) / spread, codes, values, strength=STRENGTH, weight=balanced(codes, values)
    )
    weights /= spread
    return weights, biases - weights @ centre
