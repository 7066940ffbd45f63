"""What the lists of a shop have in common: what is asked for, and the scored candidates that answer it."""

# Shapes: n candidates, best first; I items

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from shoploom.data.arrays import F64, Flags
from shoploom.data.keys import Rows
from shoploom.errors import NotFoundError
from shoploom.inference.catalogue import Filters
from shoploom.inference.list_tables import ListTables
from shoploom.inference.reasons import Reason
from shoploom.inference.rerank import Wishes
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState
from shoploom.inference.visitors import Visitors

Fill = Literal["nothing", "popular", "everything"]
MOST_CANDIDATES = 500


@dataclass(frozen=True)
class Ask:
    """What every list is asked for.

    Args:
        k: Length of the list.
        filters: What it may hold. ``Lists.show`` adds the rules that hold, before candidates are looked for.
        when: Day of the visit; None: now, or where the data end if they are old.
        explain: Whether each product says why.
        wishes: Rules and settings beside the standing rules of the shop.
        request_id: Of whom asks, if known.
        seed: What exploration is drawn from.
    """

    k: int = 20
    filters: Filters = field(default_factory=Filters)
    when: float | None = None
    explain: bool = True
    wishes: Wishes | None = None
    request_id: str | None = None
    seed: str = ""

    @property
    def depth(self) -> int:
        """How many candidates to look for, so that there is something to choose from."""
        return max(self.k, min(max(5 * self.k, 100), MOST_CANDIDATES))


@dataclass(frozen=True)
class Shelf:
    """Where candidates come from: the version that serves, the tables beside it, and who is there right now."""

    served: Served
    tables: ListTables
    visitors: Visitors

    @property
    def state(self) -> ShopState:
        """The shop right now."""
        return self.served.state

    def row(self, customer: str | None) -> int:
        """The row of a customer, -1 for a stranger."""
        return -1 if customer is None else self.state.customer(customer)

    def day(self, ask: Ask, row: int = -1) -> float:
        """The day as of which is answered."""
        return self.state.now(row) if ask.when is None else ask.when

    def bought(self, row: int) -> frozenset[int]:
        """Rows of all that a customer bought; nothing of a stranger's."""
        own = self.state.history(row) if row >= 0 else None
        return frozenset() if own is None else frozenset(own.item[own.purchase].tolist())

    def category(self, name: str) -> str:
        """A category as the catalogue spells it.

        Raises:
            NotFoundError: If no product has it; the message names the nearest.
        """
        names = self.state.catalogue.categories
        found = names.get(name.lower())
        if found is None:
            close = get_close_matches(name.lower(), names, n=1)
            hint = f" Did you mean {names[close[0]]!r}?" if close else ""
            raise NotFoundError(f"category {name!r} is unknown; no product of the catalogue has it.{hint}")
        return found

    def selling(self, filters: Filters) -> Flags:
        """(I,) allowed products that sold within a year, or never yet: what is only in old orders is not offered."""
        facts, mask = self.state.facts, self.state.allowed(filters).copy()
        selling = facts.sold_in_year | np.isnan(facts.first_sold)
        selling[[one for one in list(self.state.live.items_sold) if one < len(selling)]] = True
        mask[: len(selling)] &= selling
        return mask

    def visible(self, customers: Rows) -> Rows:
        """Customers without those whom the shop was told to forget."""
        forgotten = [self.state.shop.customers.row(one) for one in self.state.hidden.customers]
        return customers[~np.isin(customers, forgotten)] if forgotten else customers


@dataclass(frozen=True)
class Note:
    """What a list says about one of its products: values beside the score, and reasons."""

    values: Mapping[str, Any] = field(default_factory=dict)
    reasons: Sequence[Reason] = ()


@dataclass(frozen=True)
class Found:
    """Scored candidates for a list.

    Args:
        items: Rows, best first; more than the list has places, where there are more.
        scores: Whatever they were sorted by.
        served_by: Who found them.
        when: Day as of which is answered.
        customer: Row of the customer, for reasons; -1: nobody in particular.
        cold_start: Whether nothing is known to start from.
        note: What to say about an item.
        never: Rows that the list must not hold, whatever it is filled with.
        among: (I,) Which products may be shown, of those that filters and rules let through; None: all of them.
        fill: What stands in for missing candidates: nothing, what sells, or everything that may be shown.
        filters: Of what stands in, where they are not those that were asked for.
        own_reasons_only: Whether the general reasons of a product are left out.
        about: What to say about the list as a whole.
        spare: How many of the last candidates are only shown where those before them do not fill the list.
        similar: Candidates that are only like what the list is about; None: the list is never filled with such.
        instead: That another list is shown than the one that was asked for, as a sentence.
        holds_bought: Whether the list is about what the customer bought, so that it cannot be left out.
    """

    items: Sequence[int]
    scores: Sequence[float]
    served_by: str
    when: float
    customer: int = -1
    cold_start: bool = False
    note: Callable[[int], Note] | None = None
    never: Collection[int] = ()
    among: Flags | None = None
    fill: Fill = "popular"
    filters: Filters | None = None
    own_reasons_only: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    spare: int = 0
    similar: Collection[int] | None = None
    instead: str | None = None
    holds_bought: bool = False


def held(mask: Flags, items: Rows) -> Flags:
    """(n,) whether a mask is true for each item; products that came after it was made are not in it."""
    known = items < len(mask)
    return known & mask[np.where(known, items, 0)] if len(mask) else known


def best(items: Rows, scores: F64, most: int, *, among: Flags | None = None) -> tuple[list[int], list[float]]:
    """The best of some scored items, of those in a mask if there is one."""
    if among is not None:
        kept = held(among, items)
        items, scores = items[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")[:most]
    return items[order].tolist(), scores[order].tolist()
