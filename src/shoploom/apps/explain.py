"""Why a product is recommended to a customer, in words; each reason was checked by taking it away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from shoploom.apps.products import iso, line
from shoploom.data import schema
from shoploom.data.arrays import Flags, Lines
from shoploom.inference.because import FALL, Asked, Effect, Why, because
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.live import day_at
from shoploom.inference.rerank import Arrangement, Wishes
from shoploom.inference.rules import BOUGHT
from shoploom.inference.served import Recommendation, Served
from shoploom.inference.state import ShopState
from shoploom.tasks.base import Repeats

NAMED = 3
"""Products of a set that its sentence names."""
_DID = {schema.PURCHASE: "bought {}", "click": "clicked {}", "add_to_cart": "put {} into the cart"}
_LOOKED = "looked at {}"


def explain(
    engine: Engine,
    customer_id: str,
    product_id: str | None = None,
    *,
    k: int = 10,
    at: datetime | None = None,
    repeats: Repeats = "auto",
    filters: Filters | None = None,
    wishes: Wishes | None = None,
    fall: int = FALL,
) -> dict[str, Any]:
    """Why the products of a customer's list, or one product, are recommended.

    Args:
        engine: The serving engine.
        customer_id: Of a known customer.
        product_id: None: the whole list.
        k: Length of the list.
        at: Moment of the visit, as for the list.
        repeats: As for the list.
        filters: As for the list.
        wishes: Rules and settings beside the shop's own, as for the list; nothing is explored.
        fall: A reason is one if the product falls by so many places without it.

    Raises:
        NotFoundError: If the customer or the product is unknown.
        UsageError: If rules contradict each other or cannot be kept.
    """
    served = engine.current
    state = served.state
    row = state.known_customer(customer_id)
    wanted = None if product_id is None else state.known_product(product_id)
    when, filters = None if at is None else day_at(at), filters or Filters()
    arrangement = Arrangement.of(engine.workspace.config.recommend, replace(wishes or Wishes(), explore=0.0))
    found = served.recommend(customer_id, k=k, when=when, repeats=repeats, filters=filters, arrangement=arrangement)
    items = found.items if wanted is None else [wanted]
    if found.cold_start:
        answers = [_cold(state, found, item) for item in items]
    else:
        rules = arrangement.rules
        allowed = served.arranger.permitted(rules, state.allowed(filters)).mask
        repeats = "exclude" if rules.excludes(BOUGHT) else repeats
        words = Words(served, state.history(row), found, [one.subject for one in rules.of("pin")])
        asked = Asked(row, found.when, arrangement.depth(k), repeats, allowed)
        answers = [words.of(one) for one in because(served, asked, items, least=fall)]
    return {
        "model_version": served.version,
        "customer_id": customer_id,
        "served_by": found.served_by,
        "cold_start": found.cold_start,
        "note": _note(served, customer_id) if found.cold_start else None,
        "as_of": iso(found.when),
        "fall": fall,
        "items": answers,
    }


class Words:
    """Explanations of one list as sentences and numbers.

    Args:
        served: The version that answers.
        history: Of the customer.
        found: The list.
        pinned: Ids of products that rules pin.
    """

    def __init__(self, served: Served, history: Lines, found: Recommendation, pinned: Sequence[str] = ()) -> None:
        self._pinned = pinned
        self._state = served.state
        self._history = history
        self._found = found

    def of(self, why: Why) -> dict[str, Any]:
        """One product with its reasons; only checked ones are called so."""
        checked = why.effects if why.code in ("history", "whole_history") else ()
        reasons = [self._reason(why.item, one) for one in checked]
        return {
            **line(self._state, why.item),
            "position": _position(self._found, why.item),
            "code": why.code,
            "text": reasons[0]["text"] if reasons else self._otherwise(why),
            "rank": why.rank,
            "rank_without_history": why.without_history,
            "also_popular": why.popular,
            "reasons": reasons,
            "facts": self._facts(why.item),
            "tried": why.tried,
        }

    def _reason(self, item: int, effect: Effect) -> dict[str, Any]:
        suspect = effect.suspect
        products = [self._product(one) for one in suspect.items[:NAMED]]
        return {
            "kind": suspect.kind,
            "text": self._text(item, effect, products),
            "products": products,
            "num_products": len(suspect.items),
            "categories": list(suspect.categories),
            "rank_before": effect.before,
            "rank_after": effect.after,
            "fall": effect.fall,
            "score_change": None if effect.score_change is None else round(effect.score_change, 6),
            "checked": True,
        }

    def _text(self, item: int, effect: Effect, products: Sequence[dict[str, Any]]) -> str:
        suspect = effect.suspect
        if suspect.kind == "everything":
            return "Because of what you bought in all; no single part of it decides"
        if suspect.categories:
            parts = [f"from {one} {self._category(one, suspect.items)}" for one in suspect.categories[:NAMED]]
            more = len(suspect.categories) - len(parts)
            return f"Because you bought {_listed(parts, more, 'other category', 'other categories')}"
        did = _DID.get(products[0]["event"], _LOOKED)
        if len(suspect.items) == 1:
            title = "it" if suspect.items[0] == item else products[0]["title"]
            return f"Because you {did.format(title)} {_often(products[0])}"
        parts = [f"{one['title']} {_often(one)}" for one in products]
        listed = _listed(parts, len(suspect.items) - len(parts), "other product", "other products")
        return f"Because you {did.format(listed)}"

    def _otherwise(self, why: Why) -> str:
        if why.item in self._found.beside and _position(self._found, why.item) is not None:
            return self._found.beside[why.item]
        if why.code == "not_ranked" and _position(self._found, why.item) is None:
            return "Not recommended: it is not among the first that the model ranks for this customer"
        if why.code == "not_ranked":
            pinned = self._state.shop.items.ids[why.item] in self._pinned
            return "Because the shop pins it to this place" if pinned else "Because it sells well; it fills up the list"
        place = f"place {why.without_history}" if why.without_history else "a place as good"
        return f"Because it sells well: {place} also for a customer without history"

    def _facts(self, item: int) -> list[dict[str, Any]]:
        """What is true and was not checked: promotions, sales."""
        found = self._state.reasons.of(self._state.shop, [item], self._history, self._found.when)[0]
        return [{"code": one.code, "text": one.text, **one.values} for one in found]

    def _product(self, item: int) -> dict[str, Any]:
        lines = self._lines(self._history.item == item)
        state = self._state
        found = {"product_id": state.shop.items.ids[item], "title": state.catalogue.title(item)}
        event = schema.PURCHASE if lines.purchase.any() else schema.EVENT_TYPES[int(lines.kind[-1])]
        return found | {"event": event} | self._habit(lines)

    def _category(self, name: str, items: Sequence[int]) -> str:
        inside = [one for one in items if name in self._state.catalogue.category(one)]
        return _often(self._habit(self._lines(np.isin(self._history.item, inside))))

    def _lines(self, mask: Flags) -> Lines:
        """The purchases among some lines of the history; other events only where there is none."""
        bought = mask & self._history.purchase
        return self._history.take(bought if bought.any() else mask)

    def _habit(self, lines: Lines) -> dict[str, int]:
        visits = _visits(lines)
        return {"times": len(visits), "days_since": max(0, int(self._found.when - float(visits[-1])))}


def _visits(lines: Lines) -> list[float]:
    """The different moments of some lines."""
    times = np.sort(lines.time)
    found: list[float] = times[np.concatenate([[True], np.diff(times) > 1e-3])].tolist()
    return found


def _often(habit: dict[str, Any]) -> str:
    """How often and when last.

    Example:
        >>> _often({"times": 5, "days_since": 6}), _often({"times": 1, "days_since": 1})
        ('5 times (last 6 days ago)', 'once (yesterday)')
    """
    days, times = habit["days_since"], habit["times"]
    ago = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
    if times == 1:
        return f"once ({ago})"
    return f"{'twice' if times == 2 else f'{times} times'} (last {ago})"


def _listed(parts: Sequence[str], more: int, one: str, many: str) -> str:
    """A list in words.

    Example:
        >>> _listed(["a", "b"], 3, "thing", "things"), _listed(["a"], 0, "thing", "things")
        ('a, b and 3 things', 'a')
    """
    rest = [*parts, f"{more} {one if more == 1 else many}"] if more else list(parts)
    return rest[0] if len(rest) == 1 else f"{', '.join(rest[:-1])} and {rest[-1]}"


def _position(found: Recommendation, item: int) -> int | None:
    """Place in the list, from 1."""
    return found.items.index(item) + 1 if item in found.items else None


def _cold(state: ShopState, found: Recommendation, item: int) -> dict[str, Any]:
    """For a list that nobody's history made."""
    position = _position(found, item)
    text = "Not recommended: it is not among what sells best" if position is None else "Because it sells well"
    code = "not_ranked" if position is None else "popular"
    ranks = {"rank": position, "rank_without_history": position, "also_popular": position is not None}
    rest: dict[str, Any] = {"reasons": [], "facts": [], "tried": 0}
    return {**line(state, item), "position": position, "code": code, "text": text, **ranks, **rest}


def _note(served: Served, customer_id: str) -> str:
    if "next_basket" not in served.members:
        return "this version has no model for lists, so everybody's favourites are shown"
    return f"customer {customer_id!r} has no history yet, so everybody's favourites are shown"
