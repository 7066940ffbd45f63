"""Spend: how much will an active customer pay within the horizon?"""

from __future__ import annotations

import numpy as np

from shoploom.data.arrays import F64, Lines, ShopArrays
from shoploom.metrics.statistics import Statistic, means, ratios, together
from shoploom.tasks.base import Cases, Measured, Prediction, Shape, Space, Truth, Unit
from shoploom.tasks.churn import horizon_spend, missing_customers, numbers_of, true_numbers


class Spend:
    """The amount of an active customer's purchases within the horizon, 0 without any.

    WAPE rewards medians, which add up to far too little: read it together with ``bias``.
    """

    name = "spend"
    title = "How much will each customer spend?"
    unit: Unit = "customer"
    shape: Shape = "amount"
    space: Space = "customer"
    metric = "wape"
    lower_is_better = True
    rivals: tuple[str, ...] = ("usual_spend", "linear_spend", "lightgbm_spend")
    hides: frozenset[str] = frozenset()

    def missing(self, shop: ShopArrays) -> str | None:
        """Active customers with purchases of some worth are needed."""
        found = missing_customers(shop)
        if found is None and float(shop.lines.amount[shop.lines.purchase].sum()) <= 0:
            return "the purchases have no amounts"
        return found

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The future is hidden by the cut already."""
        return shop

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The active customers of ``past`` with what they pay in ``future``."""
        units = past.active_customers()
        return Cases(units, truth=Truth(numbers=horizon_spend(past, future)[units]))

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """None: labels lie in the horizons of earlier cuts."""
        return None

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Every active customer."""
        return Cases(shop.active_customers())

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """WAPE and bias of the mean, mean absolute error, rank correlation; pinball and coverage of quantiles."""
        truth, columns = true_numbers(cases), numbers_of(cases, prediction)
        error = columns["mean"] - truth
        parts: list[Statistic] = [
            ratios({"wape": (np.abs(error), truth), "bias": (error, truth)}),
            means({"mae": np.abs(error)}),
            _spearman(truth, columns["mean"]),
        ]
        if "p10" in columns and "p90" in columns:
            parts.append(_quantiles(truth, columns["p10"], columns["p90"]))
        return Measured(together(*parts), len(cases))


def _quantiles(truth: F64, low: F64, high: F64) -> Statistic:
    under, over = truth - low, truth - high
    loss = (np.maximum(0.1 * under, -0.9 * under) + np.maximum(0.9 * over, -0.1 * over)) / 2
    inside = ((truth >= low) & (truth <= high)).astype(float)
    return together(ratios({"pinball": (loss, truth)}), means({"coverage_p10_p90": inside}))


def _spearman(truth: F64, guess: F64) -> Statistic:
    """Rank correlation with whole-number weights counting as repeated rows, ties averaged."""
    groups = [np.unique(one, return_inverse=True)[1] for one in (truth, guess)]

    def statistic(weights: F64) -> dict[str, float]:
        ranks = [_average_ranks(group, weights) for group in groups]
        total = weights.sum()
        centred = [one - weights @ one / total for one in ranks]
        product = weights @ (centred[0] * centred[1])
        scale = np.sqrt((weights @ centred[0] ** 2) * (weights @ centred[1] ** 2))
        return {"spearman": float(product / scale) if scale > 0 else float("nan")}

    return statistic


def _average_ranks(group: np.ndarray[tuple[int], np.dtype[np.int64]], weights: F64) -> F64:
    sizes = np.bincount(group, weights)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[group])
