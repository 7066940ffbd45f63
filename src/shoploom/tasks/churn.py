"""Churn: which active customers will stay away for a whole horizon?"""

from __future__ import annotations

import numpy as np

from shoploom.data.arrays import F64, Lines, ShopArrays
from shoploom.metrics.classification import RankedLabels, brier, log_loss
from shoploom.metrics.statistics import Statistic, means, together
from shoploom.tasks.base import Cases, Measured, Numbers, Prediction, Shape, Space, Truth, Unit


class Churn:
    """The probability that an active customer buys nothing within the horizon.

    Active means a purchase in the last ``clock.active_days``. The label is 1 without any purchase after the cut.
    """

    name = "churn"
    title = "Who is about to leave?"
    unit: Unit = "customer"
    shape: Shape = "binary"
    space: Space = "customer"
    metric = "auc"
    lower_is_better = False
    rivals: tuple[str, ...] = ("few_trips", "logistic", "lightgbm_churn")
    hides: frozenset[str] = frozenset()

    def missing(self, shop: ShopArrays) -> str | None:
        """Active customers are needed, and a horizon of history from which they can be told to have left."""
        return missing_customers(shop)

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The future is hidden by the cut already."""
        return shop

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The active customers of ``past``; 1 for those without a purchase in ``future``."""
        units = past.active_customers()
        bought = np.bincount(future.customer[_counted(past, future)], minlength=len(past.customers))
        return Cases(units, truth=Truth(numbers=(bought[units] == 0).astype(float)))

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """None: labels lie in the horizons of earlier cuts."""
        return None

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Every active customer."""
        return Cases(shop.active_customers())

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """AUC (ties count one half), average precision, Brier score and log loss."""
        label, probability = true_numbers(cases), numbers_of(cases, prediction)["probability"]
        ranked = RankedLabels(label, probability)

        def areas(weights: F64) -> dict[str, float]:
            return {"auc": ranked.auc(weights), "ap": ranked.average_precision(weights)}

        losses: Statistic = means({"brier": brier(label, probability), "log_loss": log_loss(label, probability)})
        return Measured(together(areas, losses), len(cases))


def horizon_spend(past: ShopArrays, future: Lines) -> F64:
    """(C,) Amount of each known customer's purchases in ``future``, to the cent."""
    kept = _counted(past, future)
    sums = np.bincount(future.customer[kept], future.amount[kept].astype(float), minlength=len(past.customers))
    return np.asarray(np.round(sums, 2), dtype=np.float64)


def missing_customers(shop: ShopArrays) -> str | None:
    """What keeps a shop from being asked about its customers' next horizon."""
    if not len(shop.active_customers()):
        return f"no customer bought anything in the last {shop.clock.active_days} days"
    span = shop.end - float(shop.lines.time[shop.lines.purchase].min())
    if span < 2 * shop.clock.horizon_days:
        return f"{span:.0f} days of purchases; two horizons of {shop.clock.horizon_days} days are needed to learn from"
    return None


def true_numbers(cases: Cases) -> F64:
    """The (B,) truth of a task with one number per case."""
    if cases.truth is None or cases.truth.numbers is None:
        raise ValueError("the cases have no truth; measure needs cases made with the future's lines")
    return cases.truth.numbers


def numbers_of(cases: Cases, prediction: Prediction) -> dict[str, F64]:
    """The columns of a prediction with one number per case."""
    if not isinstance(prediction, Numbers):
        raise TypeError(f"this task is measured on Numbers, not on {type(prediction).__name__}")
    wrong = {name: len(values) for name, values in prediction.columns.items() if len(values) != len(cases)}
    if wrong:
        raise ValueError(f"{len(cases)} cases but columns of length {wrong}; predict one number per case")
    return prediction.columns


def _counted(past: ShopArrays, future: Lines) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return future.purchase & (future.customer >= 0) & (future.customer < len(past.customers))
