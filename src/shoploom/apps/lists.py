"""The lists of products that a shop shows on its pages, each with numbers and reasons that can be checked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from shoploom.apps.products import iso, line
from shoploom.data import schema
from shoploom.errors import UsageError, unknown_name
from shoploom.inference import lists_of_customers, lists_of_products
from shoploom.inference.catalogue import Filters
from shoploom.inference.found import Ask, Found, Shelf
from shoploom.inference.lists import Lists
from shoploom.inference.live import day_at
from shoploom.inference.rerank import Wishes

NAMES: dict[str, tuple[str, int, int]] = {
    "also_bought": ("product", 1, 1),
    "basket": ("product", 1, 100),
    "session": ("product", 0, 100),
    "buy_again": ("customer", 1, 1),
    "new_for_you": ("customer", 1, 1),
    "category": ("category", 1, 1),
    "new_arrivals": ("customer", 0, 1),
    "segment": ("customer", 0, 1),
    "promoted": ("customer", 0, 1),
}
"""What is named behind the kind of a list: what it is, how many at least and at most."""


def answer(
    lists: Lists,
    kind: str,
    names: Sequence[str],
    ask: Ask,
    *,
    customer_id: str | None = None,
    session_id: str | None = None,
    attribute: str | None = None,
    value: str | None = None,
    days: float = 30.0,
    due_only: bool = True,
) -> dict[str, Any]:
    """A list by its name, for the command line and the facade; what a kind does not need is passed over.

    Args:
        lists: All lists.
        kind: Of ``NAMES``.
        names: Products, a customer or a category, by kind.
        ask: What every list is asked for.
        customer_id: For whom a basket or a category's page is.
        session_id: Whose events a visit starts with.
        attribute: Customer attribute that makes a group.
        value: Its value.
        days: How old new arrivals may be.
        due_only: Whether own products that are not due are left out.

    Raises:
        UsageError: If there is no such kind, or it needs other names.
    """
    require_names(kind, names)
    first = names[0] if names else None
    if kind == "category":
        ask = replace(ask, filters=replace(ask.filters, category=first))
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        "also_bought": lambda: also_bought(lists, names[0], ask),
        "basket": lambda: basket(lists, names, customer_id, ask),
        "session": lambda: session(lists, names, session_id, ask),
        "buy_again": lambda: buy_again(lists, names[0], ask, due_only=due_only),
        "new_for_you": lambda: new_for_you(lists, names[0], ask),
        "category": lambda: category(lists, customer_id, ask),
        "new_arrivals": lambda: new_arrivals(lists, first, ask, attribute=attribute, value=value, days=days),
        "segment": lambda: segment(lists, first, ask, attribute=attribute, value=value),
        "promoted": lambda: promoted(lists, first, ask),
    }
    return answers[kind]()


def require_names(kind: str, names: Sequence[str]) -> None:
    """Refuse an unknown kind of list, and too few or too many names.

    Raises:
        UsageError: Saying what is wanted.
    """
    if kind not in NAMES:
        raise UsageError(unknown_name("list", kind, NAMES))
    what, least, most = NAMES[kind]
    if least <= len(names) <= most:
        return
    wanted = f"one {what}" if most == 1 else f"{least} to {most} {what}s"
    text = "at most " if most == 1 and not least else ""
    raise UsageError(f"`list {kind}` was given {len(names)} names; name {text}{wanted}: shoploom list {kind} ID")


def asked(
    *,
    k: int = 20,
    filters: Filters | None = None,
    at: datetime | None = None,
    explain: bool = True,
    wishes: Wishes | None = None,
    request_id: str | None = None,
) -> Ask:
    """What every list is asked for.

    Args:
        k: Length of the list.
        filters: Category, stock, products to leave out.
        at: Moment of the visit; None: now, or where the data end if they are old.
        explain: Whether each product says why.
        wishes: Rules beside the standing ones of the shop, and settings.
        request_id: What exploration is drawn from, if ``wishes`` ask for it; made up if None.
    """
    if request_id is None and wishes is not None and wishes.explore:
        request_id = uuid.uuid4().hex
    when = None if at is None else day_at(at)
    return Ask(k, filters or Filters(), when, explain, wishes, request_id)


def also_bought(lists: Lists, product_id: str, ask: Ask) -> dict[str, Any]:
    """What is bought together with a product."""
    return _answer(lists, "also_bought", lambda shelf, ask: lists_of_products.also_bought(shelf, product_id, ask), ask)


def basket(lists: Lists, products: Sequence[str], customer_id: str | None, ask: Ask) -> dict[str, Any]:
    """What is missing in a basket."""
    return _answer(lists, "basket", lambda shelf, ask: lists_of_products.basket(shelf, products, customer_id, ask), ask)


def session(lists: Lists, products: Sequence[str], session_id: str | None, ask: Ask) -> dict[str, Any]:
    """What follows in a visit."""
    return _answer(lists, "session", lambda shelf, ask: lists_of_products.visit(shelf, products, session_id, ask), ask)


def buy_again(lists: Lists, customer_id: str, ask: Ask, *, due_only: bool = True) -> dict[str, Any]:
    """Own products that are due now; with ``due_only`` off all of them, by the chance that they are bought next."""
    return _answer(
        lists,
        "buy_again",
        lambda shelf, ask: lists_of_customers.buy_again(shelf, customer_id, ask, due_only=due_only),
        ask,
    )


def new_for_you(lists: Lists, customer_id: str, ask: Ask) -> dict[str, Any]:
    """What a customer never bought and may like."""
    return _answer(
        lists, "new_for_you", lambda shelf, ask: lists_of_customers.new_for_you(shelf, customer_id, ask), ask
    )


def category(lists: Lists, customer_id: str | None, ask: Ask) -> dict[str, Any]:
    """The page of the category that the filters name."""
    return _answer(lists, "category", lambda shelf, ask: lists_of_customers.category(shelf, customer_id, ask), ask)


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

    def find(shelf: Shelf, ask: Ask) -> Found:
        return lists_of_customers.new_arrivals(shelf, customer_id, ask, attribute=attribute, value=value, days=days)

    return _answer(lists, "new_arrivals", find, ask)


def segment(
    lists: Lists, customer_id: str | None, ask: Ask, *, attribute: str | None = None, value: str | None = None
) -> dict[str, Any]:
    """What a group of customers bought lately."""

    def find(shelf: Shelf, ask: Ask) -> Found:
        return lists_of_customers.segment(shelf, customer_id, ask, attribute=attribute, value=value)

    return _answer(lists, "segment", find, ask)


def promoted(lists: Lists, customer_id: str | None, ask: Ask) -> dict[str, Any]:
    """What is on promotion at the moment."""
    return _answer(lists, "promoted", lambda shelf, ask: lists_of_customers.promoted(shelf, customer_id, ask), ask)


def _answer(lists: Lists, name: str, find: Callable[[Shelf, Ask], Found], ask: Ask) -> dict[str, Any]:
    """One list, and what the rules did to it, as ``recommend`` says it."""
    listed = lists.show(find, replace(ask, seed=f"{ask.request_id}\n{name}"))
    state, found = listed.shelf.state, listed.found
    items = []
    for row, score, note in zip(listed.items, listed.scores, listed.notes, strict=True):
        item = line(state, row) | {"score": round(score, 6), **note.values}
        if ask.explain:
            item["reasons"] = [{"code": one.code, "text": one.text, **one.values} for one in note.reasons]
        items.append(item)
    answer: dict[str, Any] = {
        "model_version": listed.shelf.served.version,
        "list": name,
        **found.about,
        **({} if found.similar is None else {"filled_with_similar": listed.similar}),
        "served_by": found.served_by,
        "cold_start": found.cold_start,
        "filled_with_popular": listed.filled,
        "fallback": listed.fallback,
        "reason": listed.reason,
        "as_of": iso(found.when),
        "items": items,
    }
    if listed.applied is not None:
        answer["rules"] = asdict(listed.applied)
    if ask.wishes is not None and ask.wishes.explore and listed.propensities is not None:
        answer["request_id"] = ask.request_id
        for place, (item, propensity) in enumerate(zip(items, listed.propensities, strict=True), start=1):
            item |= {schema.POSITION: place, schema.PROPENSITY: propensity}
    return answer
