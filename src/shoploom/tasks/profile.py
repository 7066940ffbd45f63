"""Profile: what is a customer like, where nobody has said so?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Attribute, Flags, Lines, ShopArrays
from shoploom.metrics.classification import class_log_loss, macro_f1
from shoploom.tasks.base import Cases, Classes, Measured, Prediction, Shape, Space, Truth, Unit
from shoploom.tasks.baskets import known_customers

BALANCE = 0.7
"""0 leaves the values as frequent as they are, 1 makes them equal."""
HELD_PERCENT = 20


class Profile:
    """A probability for each value of each customer attribute, from behaviour alone.

    Customers, not time, are held out: a fixed fifth of the labelled ones, chosen by a hash of their id, so that it
    is the same fifth in every run. Ask ``cases`` of the shop as it was before ``hold_out``.
    """

    name = "profile"
    title = "What is this customer like?"
    unit: Unit = "customer"
    shape: Shape = "classes"
    space: Space = "customer"
    metric = "macro_f1"
    lower_is_better = False
    rivals: tuple[str, ...] = ("majority", "logistic_profile", "lightgbm_profile")
    hides: frozenset[str] = frozenset()

    def missing(self, shop: ShopArrays) -> str | None:
        """Attributes with a few values and some labelled customers on both sides of the hash are needed."""
        if not shop.attributes:
            return "the customers table has no attribute with 2 to 30 values"
        labelled = _labelled(shop)
        held = held_customers(shop)
        if labelled.sum() - held.sum() < 10:
            return f"only {int(labelled.sum())} customers with purchases have attributes; at least 20 are needed"
        return None

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The shop without the attributes of the held customers, marked in ``shop.held``."""
        held = held_customers(shop)
        hidden = {
            name: Attribute(one.values, np.where(held, np.int32(-1), one.codes))
            for name, one in shop.attributes.items()
        }
        return replace(shop, attributes=hidden, held=shop.held | {self.name: held})

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The held customers with what is known about them."""
        del future  # an attribute has no date
        if self.name in past.held:
            raise ValueError("the attributes are hidden already; ask for cases before hold_out")
        units = np.flatnonzero(held_customers(past)).astype(np.int32)
        return Cases(units, truth=Truth(codes={name: one.codes[units] for name, one in past.attributes.items()}))

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """Customers with purchases and a known attribute, but those that are held out."""
        units = np.flatnonzero(_labelled(shop)).astype(np.int32)
        return Cases(units, truth=Truth(codes={name: one.codes[units] for name, one in shop.attributes.items()}))

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Every customer with a purchase."""
        return Cases(np.flatnonzero(known_customers(shop)).astype(np.int32))

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """Macro F1, accuracy and log loss, averaged over the attributes, and the macro F1 of each."""
        if not isinstance(prediction, Classes):
            raise TypeError(f"profile is measured on Classes, not on {type(prediction).__name__}")
        if cases.truth is None or not cases.truth.codes:
            raise ValueError("the cases have no truth; measure needs cases made from labelled customers")
        parts = {
            name: _Scores(codes, prediction.probabilities[name])
            for name, codes in cases.truth.codes.items()
            if (codes >= 0).any()
        }

        def statistic(weights: F64) -> dict[str, float]:
            each = {name: one(weights) for name, one in parts.items()}
            columns = np.array(list(each.values()))
            overall = [float(np.nanmean(column)) for column in columns.T]
            found = dict(zip(("macro_f1", "accuracy", "log_loss"), overall, strict=True))
            return found | {f"{name} macro_f1": values[0] for name, values in each.items()}

        return Measured(statistic, len(cases))


def held_customers(shop: ShopArrays, *, percent: int = HELD_PERCENT) -> Flags:
    """(C,) Labelled customers with a purchase whose id falls into the held part of a 64-bit BLAKE2 hash."""
    held = np.zeros(len(shop.customers), dtype=bool)
    for row in np.flatnonzero(_labelled(shop)):
        digest = blake2b(shop.customers.ids[row].encode(), digest_size=8, key=b"profile").digest()
        held[row] = int.from_bytes(digest, "big") % 100 < percent
    return held


def _labelled(shop: ShopArrays) -> Flags:
    known = np.zeros(len(shop.customers), dtype=bool)
    for one in shop.attributes.values():
        known |= one.codes >= 0
    return known & known_customers(shop)


def balanced(codes: NDArray[np.integer], values: int) -> F64:
    """(n,) weights between none and equal classes: macro F1 asks for the rare values, log loss for the common ones."""
    shares = np.bincount(codes, minlength=values) / max(1, len(codes))
    return np.asarray(np.maximum(shares, 1e-9)[codes] * values) ** -BALANCE


class _Scores:
    """(macro F1, accuracy, log loss) of one attribute for weights of all cases; unknown values are left out."""

    def __init__(self, codes: I32, probabilities: F64) -> None:
        self.rows = np.flatnonzero(codes >= 0)
        truth, guess = codes[self.rows], probabilities[self.rows].argmax(axis=1)
        self.right = (truth == guess).astype(float)
        self.loss = class_log_loss(truth, probabilities[self.rows])
        self.f1: Callable[[F64], float] = macro_f1(truth, guess, probabilities.shape[1])

    def __call__(self, weights: F64) -> tuple[float, float, float]:
        own = weights[self.rows]
        total = own.sum()
        if not total:
            return float("nan"), float("nan"), float("nan")
        return self.f1(own), float(own @ self.right / total), float(own @ self.loss / total)
