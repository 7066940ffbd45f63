"""Lists that start from products: bought with one, missing in a basket, next in a visit. No customer is needed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

from shoploom.data import schema
from shoploom.errors import NotFoundError
from shoploom.inference.found import Ask, Found, Note, Shelf, best, held
from shoploom.inference.rank_fusion import fused
from shoploom.inference.reasons import Reason
from shoploom.inference.together import Together

MOST_COMPARED = 1000
"""Spelling is compared with so many ids at most, in about 10 ms."""
SIMILAR = Note({"basis": "similar"}, (Reason("similar", "Like this product", {}),))


def also_bought(shelf: Shelf, product: str, ask: Ask) -> Found:
    """What is bought together with a product, filled up with products like it.

    Raises:
        NotFoundError: If the shop has never heard of the product.
    """
    state, together = shelf.state, shelf.tables.together
    row = known_product(shelf, product)
    beside = together.beside(row)
    usable = shelf.selling(ask.filters)
    kept = held(usable, beside.items)
    items, scores = beside.items[kept].tolist(), beside.lift[kept].tolist()
    support = dict(zip(items, beside.support[kept].tolist(), strict=True))
    lift, orders = dict(zip(items, scores, strict=True)), together.bought(row)
    more = _similar(shelf, [row], ask, without=items)

    def note(item: int) -> Note:
        if item not in support:
            return SIMILAR if item in more else Note()
        return _pair_note(together, product, state.catalogue.title(row), support[item], orders, lift[item])

    return Found(
        [*items, *more],
        [*scores, *[0.0] * len(more)],
        "together",
        shelf.day(ask),
        cold_start=not len(beside.items),
        note=note,
        never={row},
        among=usable,
        about={schema.PRODUCT: product, "basis": together.basis, together.basis: orders},
        similar=more,
    )


def basket(shelf: Shelf, products: Sequence[str], customer: str | None, ask: Ask) -> Found:
    """What is missing beside the products of a basket, for its customer where one is known.

    The ranking by co-purchases and the serving model's ranking for the customer are fused on ranks: on held-out
    baskets of two shops recall@10 was .174 and .291, of co-purchases alone .122 and .267, of decayed own purchases
    alone .152 and .166.
    """
    state, together = shelf.state, shelf.tables.together
    rows, unknown = rows_of(shelf, products)
    row = shelf.row(customer)
    missing = together.missing(rows)
    usable = shelf.selling(ask.filters)
    rankings = [(1.0, best(missing.items, missing.scores, ask.depth, among=usable)[0])]
    served_by, when, known = "together", shelf.day(ask, row), bool(len(missing.items))
    if row >= 0 and state.num_lines(row):
        own = shelf.served.recommend(customer, k=ask.depth, when=ask.when, filters=ask.filters)
        if not own.cold_start:
            rankings.append((1.0, own.items[: len(own.items) - own.filled]))
            served_by, when, known = f"together and {own.served_by}", own.when, True
    items, scores = fused(rankings)
    because = dict(zip(missing.items.tolist(), missing.because.tolist(), strict=True))

    def note(item: int) -> Note:
        if item not in because:
            return Note()
        support, lift = together.pair(because[item], item)
        name = state.shop.items.ids[because[item]]
        orders = together.bought(because[item])
        return _pair_note(together, name, state.catalogue.title(because[item]), support, orders, lift)

    return Found(
        items,
        scores,
        served_by,
        when,
        row,
        cold_start=not known,
        note=note,
        never=set(rows),
        among=usable,
        about={
            schema.CUSTOMER: customer,
            "basket": [state.shop.items.ids[one] for one in dict.fromkeys(rows)],
            "unknown_products": unknown,
        },
    )


def visit(shelf: Shelf, products: Sequence[str], session: str | None, ask: Ask) -> Found:
    """What follows in a visit, from the products touched in it, oldest first; nothing else is known.

    Args:
        shelf: Where candidates come from.
        products: Touched in the visit, after those that the log knows of it.
        session: Whose events are looked up; one that is unknown has touched nothing.
        ask: What is asked for.
    """
    state = shelf.state
    touched = [] if session is None else _touched(shelf, session)
    rows, unknown = rows_of(shelf, [*touched, *products])
    follows = shelf.tables.transitions.next(rows)
    usable, seen = shelf.selling(ask.filters), set(rows)
    fresh = ~np.isin(follows.items, rows)
    items, scores = best(follows.items[fresh], follows.scores[fresh], ask.depth, among=usable)
    more = _similar(shelf, list(dict.fromkeys(reversed(rows)))[:1], ask, without=[*items, *rows])
    because = dict(zip(follows.items.tolist(), follows.because.tolist(), strict=True))

    def note(item: int) -> Note:
        if item not in because:
            return SIMILAR if item in more else Note()
        earlier = because[item]
        text = f"Goes with {state.catalogue.title(earlier)}, seen in this visit"
        return Note({"basis": "visits"}, (Reason("visit", text, {"with": state.shop.items.ids[earlier]}),))

    return Found(
        [*items, *more],
        [*scores, *[0.0] * len(more)],
        "transitions",
        shelf.day(ask),
        cold_start=not rows,
        note=note,
        never=seen,
        among=usable,
        about={
            "session_id": session,
            "session_known": bool(touched),
            "touched": [state.shop.items.ids[one] for one in dict.fromkeys(rows)],
            "unknown_products": unknown,
        },
        similar=more,
    )


def known_product(shelf: Shelf, product: str) -> int:
    """The row of a product.

    Raises:
        NotFoundError: If the shop has never heard of it; the message names an id that is spelled alike.
    """
    try:
        return shelf.state.known_product(product)
    except NotFoundError as error:
        ids = shelf.state.shop.items.ids
        alike = [one for one in ids if one[:2] == product[:2] and abs(len(one) - len(product)) <= 1]
        close = get_close_matches(product, alike[:MOST_COMPARED], n=1)
        raise NotFoundError(f"{error}.{f' Did you mean {close[0]!r}?' if close else ''}") from error


def rows_of(shelf: Shelf, products: Sequence[str]) -> tuple[list[int], list[str]]:
    """Rows of the known products, in their order, and what is unknown; ids may be joined by commas."""
    items, rows, unknown = shelf.state.shop.items, [], []
    for given in products:
        for one in [given] if given in items else given.split(","):
            if one in items:
                rows.append(items.row(one))
            elif one:
                unknown.append(one)
    return rows, unknown


def _touched(shelf: Shelf, session: str) -> list[str]:
    """What a session touched, unless its customer is to be forgotten."""
    customer = shelf.visitors.customer(session)
    if customer is not None and shelf.state.hidden.hides("customers", customer):
        return []
    return shelf.visitors.products(session)


def _similar(shelf: Shelf, rows: Sequence[int], ask: Ask, *, without: Sequence[int]) -> list[int]:
    """Products like some others, for a list that is too short."""
    if len(without) >= ask.k or not rows:
        return []
    taken = {*without, *rows}
    found = shelf.served.similar(rows[0], k=ask.k + len(taken), filters=ask.filters)
    return [item for item in found.items if item not in taken]


def _pair_note(together: Together, product: str, title: str, support: float, orders: int, lift: float) -> Note:
    unit = "orders with" if together.basis == "orders" else "customers who bought"
    text = f"In {round(support):,} of {orders:,} {unit} {title}, {lift:.1f} times as often as usual"
    values = {"support": round(support), "lift": round(lift, 2)}
    return Note({"basis": together.basis, **values}, (Reason("together", text, {"with": product, **values}),))
