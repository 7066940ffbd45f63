"""What the profile members share: a customer's tastes as numbers, and the loop over attributes.

Tastes are square roots of spend shares by category (by product where the shop has no categories), beside the habits
of ``features.engineered``.
"""

# Shapes: B customers, F features, V values

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Attribute, ShopArrays
from shoploom.ensemble.members.majority import value_shares
from shoploom.ensemble.members.storage import Arrays
from shoploom.features.basket_features import category_codes
from shoploom.features.engineered import category_shares, customer_table, most_spent
from shoploom.tasks.base import Cases, Classes

MOST_GROUPS = 300
FEWEST_ROWS = 10
"""With fewer labelled customers, or one value only, an attribute is answered by the shares."""


@dataclass(frozen=True)
class Tastes:
    """Turns customers into (B, F) features.

    Args:
        codes: (I,) group of each item, 0 unknown.
        columns: Groups with the most spend, the order of the features.
    """

    codes: I32
    columns: NDArray[np.int64]

    @classmethod
    def fit(cls, shop: ShopArrays) -> Tastes:
        """Choose the groups."""
        codes = category_codes(shop.catalogue, levels=1)[:, 0]
        if not codes.any():
            codes = np.arange(1, len(shop.items) + 1, dtype=np.int32)
        return cls(codes, most_spent(shop, codes, MOST_GROUPS))

    def __call__(self, shop: ShopArrays, customers: NDArray[Any]) -> F64:
        """(B, F) tastes, then habits."""
        shares = category_shares(shop, customers, self.codes, self.columns)
        return np.concatenate([shares, customer_table(shop, customers).logs()], axis=1)

    def arrays(self) -> Arrays:
        """For storage."""
        return {"codes": self.codes, "columns": self.columns}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Tastes:
        """The inverse of ``arrays``."""
        return cls(arrays["codes"], arrays["columns"])


Learner = Callable[[str, F64, NDArray[np.int64], int], None]


def learn_each(shop: ShopArrays, tastes: Tastes, learn: Learner) -> None:
    """Call ``learn(attribute, features, codes, number of values)`` for each attribute with enough known customers."""
    bought = np.bincount(shop.lines.customer[shop.lines.purchase & (shop.lines.customer >= 0)])
    active = np.zeros(len(shop.customers), dtype=bool)
    active[: len(bought)] = bought > 0
    known = np.flatnonzero(active & np.any([one.codes >= 0 for one in shop.attributes.values()] or [active], axis=0))
    features = tastes(shop, known)
    for name, one in shop.attributes.items():
        rows = np.flatnonzero(one.codes[known] >= 0)
        codes = one.codes[known[rows]].astype(np.int64)
        if len(rows) >= FEWEST_ROWS and len(np.unique(codes)) > 1:
            learn(name, features[rows], codes, len(one.values))


def answers(
    cases: Cases, attributes: dict[str, tuple[tuple[str, ...], F64]], found: Callable[[str], F64 | None]
) -> Classes:
    """Probabilities of every attribute: ``found(name)`` (B, V), or the shares where nothing was learned."""
    probabilities = {}
    for name, (_, shares) in attributes.items():
        own = found(name)
        probabilities[name] = np.tile(shares, (len(cases), 1)) if own is None else own
    return Classes({name: values for name, (values, _) in attributes.items()}, probabilities)


def known_attributes(attributes: dict[str, Attribute]) -> dict[str, tuple[tuple[str, ...], F64]]:
    """Values and their shares."""
    return {name: (one.values, value_shares(one)) for name, one in attributes.items()}


def to_json(attributes: dict[str, tuple[tuple[str, ...], F64]]) -> dict[str, Any]:
    """For storage."""
    return {name: [list(values), shares.tolist()] for name, (values, shares) in attributes.items()}


def from_json(state: dict[str, Any]) -> dict[str, tuple[tuple[str, ...], F64]]:
    """The inverse of ``to_json``."""
    return {name: (tuple(values), np.array(shares)) for name, (values, shares) in state.items()}


def softmax(logits: F64) -> F64:
    """(B, V) probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
