"""What in a customer's history may be the reason for a recommendation: products and categories worth taking away."""

# Shapes: I items

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import numpy as np

from shoploom.data import schema
from shoploom.data.arrays import Lines
from shoploom.inference.served import Served

Kind = Literal["product", "category", "products", "categories", "everything"]
MOST = 24
"""Suspects of one recommended product."""
MOST_HABIT = 6
"""Suspects of a product that was bought before: it mostly is its own reason."""
NEAR = 12
"""Own products that are most like the recommended one."""
WIDEST = 0.5
"""Share of the own products above which a category says no more than the whole history."""
PRODUCTS, CATEGORIES = (2, 3, 4, 6, 8, 12, 16), (2, 3, 4, 6, 8)
"""Sizes of unions that are tried."""


@dataclass(frozen=True)
class Suspect:
    """A part of a history.

    Args:
        kind: How it is told.
        items: Rows of the products, the weightiest first.
        categories: Names of the categories, where it is told by these.
    """

    kind: Kind
    items: tuple[int, ...]
    categories: tuple[str, ...] = ()


EVERYTHING = Suspect("everything", ())
"""The whole history."""


class Suspects:
    """Chooses suspects from one history.

    Args:
        served: Knows categories, brands, and which products are alike.
        history: Of the customer.
    """

    def __init__(self, served: Served, history: Lines) -> None:
        self._served = served
        self._catalogue = served.state.catalogue
        items, times = np.unique(history.item, return_counts=True)
        last = np.full(len(items), -np.inf)
        np.maximum.at(last, np.searchsorted(items, history.item), history.time)
        self._frequent: list[int] = items[np.lexsort((-last, -times))].tolist()
        self._recent: list[int] = items[np.argsort(-last, kind="stable")].tolist()
        self._own = np.zeros(len(served.state.shop.items), dtype=bool)
        self._own[items] = True
        self._categories = self._by_category()

    def of_all(self, items: Sequence[int], most: int) -> list[Suspect]:
        """Suspects for a whole list, at most ``most``: each product gets its part of them.

        Discoveries are mostly explained by several products together, so what is left goes to frequent products.
        """
        found = [one for item in items for one in self.of(item, most // max(1, len(items)))]
        if not all(self._own[item] for item in items):
            found += [Suspect("product", (one,)) for one in self._frequent]
        return list(dict.fromkeys(found))[:most]

    def of(self, item: int, most: int = MOST) -> list[Suspect]:
        """The likeliest suspects for a recommended product, at most ``most`` and never more than ``MOST``."""
        habit = bool(self._own[item])
        count = max(1, min(most, MOST_HABIT if habit else MOST))
        near = self._near(item)
        groups = self._groups(item, near)[: count // 3]
        singles = [item] if habit else []
        singles += [one for one in self._others(item, near) if one != item]
        return [Suspect("product", (one,)) for one in singles[: count - len(groups)]] + groups

    def _near(self, item: int) -> list[int]:
        return self._served.similar_items.to(self._served.state.shop, item, k=NEAR, allowed=self._own).items

    def _others(self, item: int, near: list[int]) -> list[int]:
        """Own products that are alike, of the same finest category, of the same brand, frequent, recent: in turns."""
        name, brand = self._catalogue.finest(item), self._brand(item)
        kin = self._categories.get(name, []) if name else []
        same = [one for one in near if brand is not None and self._brand(one) == brand]
        turns = zip_longest(near, kin, same, self._frequent, self._recent)
        return list(dict.fromkeys(one for turn in turns for one in turn if one is not None))

    def _brand(self, item: int) -> str | None:
        found = self._catalogue.line(item)[schema.BRAND]
        return None if found is None else str(found)

    def _groups(self, item: int, near: list[int]) -> list[Suspect]:
        """Own categories: the product's, fine before coarse, those of what is like it, then the largest."""
        likely = [name for one in [item, *near] for name in reversed(self._catalogue.line(one)[schema.CATEGORY])]
        large = sorted(self._categories, key=lambda name: -len(self._categories[name]))
        names = dict.fromkeys([name for name in likely if name in self._categories] + large)
        return [Suspect("category", tuple(self._categories[name]), (name,)) for name in names]

    def _by_category(self) -> dict[str, list[int]]:
        """The own products of each category at any level, frequent ones first; only of those worth being told."""
        found: dict[str, list[int]] = {}
        for item in self._frequent:
            for name in dict.fromkeys(self._catalogue.line(item)[schema.CATEGORY]):
                found.setdefault(str(name), []).append(item)
        widest = max(2.0, WIDEST * len(self._frequent))
        return {name: items for name, items in found.items() if 1 < len(items) <= widest}


def unions(weights: Sequence[tuple[Suspect, float]]) -> list[Suspect]:
    """The heaviest products together, then the heaviest categories, in growing number.

    Args:
        weights: Suspects, each with its weight; what weighs nothing is left out.

    Example:
        >>> one, other, third = (Suspect("product", (row,)) for row in (7, 8, 9))
        >>> [union.items for union in unions([(one, 0.1), (other, 0.3), (third, 0.0)])]
        [(8, 7)]
    """
    found = []
    for single, sizes in (("product", PRODUCTS), ("category", CATEGORIES)):
        heavy = sorted((one for one in weights if one[0].kind == single and one[1] > 0), key=lambda one: -one[1])
        kind: Kind = "products" if single == "product" else "categories"
        for size in sizes:
            if size <= len(heavy):
                parts = [suspect for suspect, _ in heavy[:size]]
                items = dict.fromkeys(item for part in parts for item in part.items)
                found.append(Suspect(kind, tuple(items), tuple(name for part in parts for name in part.categories)))
    return sorted(found, key=lambda one: len(one.items))
