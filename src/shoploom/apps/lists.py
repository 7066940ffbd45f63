"""The lists of products that a shop shows on its pages, each with numbers and reasons that can be checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from shoploom.apps.products import iso, line
from shoploom.inference import lists_of_customers, lists_of_products
from shoploom.inference.catalogue import Filters
from shoploom.inference.found import Ask, Found, Shelf
from shoploom.inference.lists import Lists
from shoploom.inference.live import day_at


def asked(*, k: int = 20, filters: Filters | None = None, at: datetime | None = None, explain: bool = True) -> Ask:
    """What every list is asked for.

    Args:
        k: Length of the list.
        filters: Category, stock, products to leave out.
        at: Moment of the visit; None: now, or where the data end if they are old.
        explain: Whether each product says why.
    """
    return Ask(k, filters or Filters(), None if at is None else day_at(at), explain)


def also_bought(lists: Lists, product_id: str, ask: Ask) -> dict[str, Any]:
    """What is bought together with a product."""
    return _answer(lists, "also_bought", lambda shelf: lists_of_products.also_bought(shelf, product_id, ask), ask)


def basket(lists: Lists, products: Sequence[str], customer_id: str | None, ask: Ask) -> dict[str, Any]:
    """What is missing in a basket."""
    return _answer(lists, "basket", lambda shelf: lists_of_products.basket(shelf, products, customer_id, ask), ask)


def session(lists: Lists, products: Sequence[str], session_id: str | None, ask: Ask) -> dict[str, Any]:
    """What follows in a visit."""
    return _answer(lists, "session", lambda shelf: lists_of_products.visit(shelf, products, session_id, ask), ask)


def buy_again(lists: Lists, customer_id: str, ask: Ask, *, due_only: bool = True) -> dict[str, Any]:
    """Own products that are due now; with ``due_only`` off all of them, by the chance that they are bought next."""
    return _answer(
        lists,
        "buy_again",
        lambda shelf: lists_of_customers.buy_again(shelf, customer_id, ask, due_only=due_only),
        ask,
    )


def new_for_you(lists: Lists, customer_id: str, ask: Ask) -> dict[str, Any]:
    """What a customer never bought and may like."""
    return _answer(lists, "new_for_you", lambda shelf: lists_of_customers.new_for_you(shelf, customer_id, ask), ask)


def category(lists: Lists, customer_id: str | None, ask: Ask) -> dict[str, Any]:
    """The page of the category that the filters name."""
    return _answer(lists, "category", lambda shelf: lists_of_customers.category(shelf, customer_id, ask), ask)


def new_arrivals(
    lists: Lists,
    customer_id: str | None,
    ask: Ask,
    *,
    attribute: str | None = None,
    value: str | None = None,
    days: float = 30.0,
) -> dict[str, Any]:
    """The newest products in the order of a customer or a group."""

    def find(shelf: Shelf) -> Found:
        return lists_of_customers.new_arrivals(shelf, customer_id, ask, attribute=attribute, value=value, days=days)

    return _answer(lists, "new_arrivals", find, ask)


def segment(
    lists: Lists, customer_id: str | None, ask: Ask, *, attribute: str | None = None, value: str | None = None
) -> dict[str, Any]:
    """What a group of customers bought lately."""

    def find(shelf: Shelf) -> Found:
        return lists_of_customers.segment(shelf, customer_id, ask, attribute=attribute, value=value)

    return _answer(lists, "segment", find, ask)


def promoted(lists: Lists, customer_id: str | None, ask: Ask) -> dict[str, Any]:
    """What is on promotion at the moment."""
    return _answer(lists, "promoted", lambda shelf: lists_of_customers.promoted(shelf, customer_id, ask), ask)


def _answer(lists: Lists, name: str, find: Callable[[Shelf], Found], ask: Ask) -> dict[str, Any]:
    listed = lists.show(find, ask)
    state, found = listed.shelf.state, listed.found
    items = []
    for row, score, note in zip(listed.items, listed.scores, listed.notes, strict=True):
        item = line(state, row) | {"score": round(score, 6), **note.values}
        if ask.explain:
            item["reasons"] = [{"code": one.code, "text": one.text, **one.values} for one in note.reasons]
        items.append(item)
    return {
        "model_version": listed.shelf.served.version,
        "list": name,
        **found.about,
        "served_by": found.served_by,
        "cold_start": found.cold_start,
        "filled_with_popular": listed.filled,
        "as_of": iso(found.when),
        "items": items,
    }
