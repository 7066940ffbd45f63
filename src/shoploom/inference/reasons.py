"""Why a product is recommended: facts about this customer and this product that can be checked in the data.

A reason is not the model's own reasoning; it is a true statement that makes the recommendation understandable.
"""

# Shapes: n recommended items, L lines of one customer

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from shoploom.data import schema
from shoploom.data.arrays import Lines, ShopArrays
from shoploom.inference.catalogue import Catalogue
from shoploom.inference.facts import RECENT_DAYS, Facts

MIN_BUYERS_SHARE = 0.0005
_PURCHASE = schema.EVENT_TYPES.index(schema.PURCHASE)
_LOOKED = {schema.EVENT_TYPES.index(one): one for one in ("view", "click", "add_to_cart")}


@dataclass(frozen=True)
class Reason:
    """One true statement: a code for machines, a sentence for people, the numbers behind it."""

    code: str
    text: str
    values: dict[str, Any]


class Reasons:
    """Explains lists for one shop.

    Args:
        facts: Counts over the bulk data.
        catalogue: Names of categories.
    """

    def __init__(self, facts: Facts, catalogue: Catalogue) -> None:
        self._facts = facts
        self._catalogue = catalogue
        self._promoted: tuple[int, set[int]] | None = None

    def of(self, shop: ShopArrays, items: list[int], history: Lines, when: float) -> list[list[Reason]]:
        """Reasons per item, the strongest first; an item without any gets an empty list."""
        bought = (history.kind == _PURCHASE) & (history.item >= 0)
        mine, times = history.item[bought], history.time[bought]
        promoted = self._on_promotion(shop, when)
        favourites = self._favourites(mine)
        buyers = self._facts.buyers()
        orders = max(1.0, self._facts.recent_orders)
        found = []
        for item in items:
            own = times[mine == item]
            reasons = _own_habit(own, when) if len(own) else _looked_at(history, item, when)
            if not len(own) and (reason := self._category(item, favourites)):
                reasons.append(reason)
            if item in promoted:
                reasons.append(Reason("promotion", "On promotion this week", {}))
            number = int(buyers[item]) if item < len(buyers) else 0
            if not len(own) and number >= max(5.0, MIN_BUYERS_SHARE * orders):
                text = f"In {number:,} baskets of the last {RECENT_DAYS:.0f} days"
                reasons.append(Reason("popular", text, {"baskets": number, "days": RECENT_DAYS}))
            found.append(reasons)
        return found

    def _favourites(self, mine: np.ndarray[Any, Any]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for item, number in Counter(mine.tolist()).items():
            if path := self._catalogue.finest(item):
                counts[path] += number
        return counts

    def _category(self, item: int, favourites: Counter[str]) -> Reason | None:
        name = self._catalogue.finest(item)
        if not name or favourites[name] < 2:
            return None
        values = {"category": name, "times": favourites[name]}
        return Reason("category", f"New to this customer, who bought from {name} {favourites[name]} times", values)

    def _on_promotion(self, shop: ShopArrays, when: float) -> set[int]:
        key = int(when)
        if self._promoted is None or self._promoted[0] != key:
            running = (shop.plan.start <= when) & (when < shop.plan.end) & (shop.plan.share > 0)
            self._promoted = (key, set(shop.plan.item[running].tolist()))
        return self._promoted[1]


def _own_habit(times: np.ndarray[Any, Any], when: float) -> list[Reason]:
    ordered = sorted(times.tolist())  # a handful of times for each of twenty items: numpy would take twice as long
    visits = [ordered[0], *(later for earlier, later in pairwise(ordered) if later - earlier > 1e-3)]
    ago = max(0, int(when - visits[-1]))
    last = "today" if ago == 0 else "yesterday" if ago == 1 else f"{ago} days ago"
    count = len(visits)
    again = "also today" if ago == 0 else f"last {last}"
    text = f"Bought {_times(count)}, {again}" if count > 1 else f"Bought once, {last}"
    reasons = [Reason("bought_before", text, {"times": count, "days_since": ago})]
    if count >= 3:
        gap = median(later - earlier for earlier, later in pairwise(visits))
        if gap >= 1:
            reasons.append(Reason("rhythm", f"Usually bought every {gap:.0f} days", {"days_between": round(gap, 1)}))
    return reasons


def _looked_at(history: Lines, item: int, when: float) -> list[Reason]:
    rows = np.flatnonzero(history.item == item)
    if not len(rows) or int(history.kind[rows[-1]]) not in _LOOKED:
        return []
    name = _LOOKED[int(history.kind[rows[-1]])]
    words = {"view": "Looked at", "click": "Clicked", "add_to_cart": "Put into the cart"}[name]
    ago = max(0, int(when - float(history.time[rows[-1]])))
    last = "today" if ago == 0 else f"{ago} days ago"
    return [Reason(name, f"{words} {last}, not bought yet", {"days_since": ago})]


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"
