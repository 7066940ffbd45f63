"""Lists that start from a customer, or from a group: due again, new, of a category, promoted, liked by others."""

# Shapes: M members of a group, n candidates

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from shoploom.data import schema
from shoploom.data.arrays import moment_of
from shoploom.data.keys import Rows
from shoploom.errors import UsageError
from shoploom.inference.customer_groups import RECENT_DAYS, known_attribute, with_value
from shoploom.inference.found import Ask, Found, Note, Shelf, best, held
from shoploom.inference.live import day_at
from shoploom.inference.local_time import local_date
from shoploom.inference.rank_fusion import fused
from shoploom.inference.reasons import Reason
from shoploom.inference.rhythm import AHEAD_DAYS
from shoploom.inference.served import Recommendation
from shoploom.inference.taste import Liked, Near, nearness

_PURCHASE = schema.EVENT_TYPES.index(schema.PURCHASE)
MOST_NEW, MOST_NEAR = 1000, 1000
MODEL_DEPTH = 300
MODEL_WEIGHT, POPULAR_WEIGHT = 2.0, 0.5
"""Beside 1 for how near products are to what was bought."""
ALIKE = 0.7
"""From this cosine on two products are called alike."""
SHARE_POWER = 0.5
"""What few stores promote comes later."""


def buy_again(shelf: Shelf, customer: str, ask: Ask, *, due_only: bool = True) -> Found:
    """The customer's own products that are due, likeliest first.

    Raises:
        NotFoundError: If the shop has never heard of the customer.
    """
    state = shelf.state
    row = state.known_customer(customer)
    when = shelf.day(ask, row)
    own = state.history(row)
    due = shelf.tables.rhythm.due(own.take(own.time <= when), when)
    kept = due.due if due_only else np.ones(len(due.items), dtype=bool)
    place = {int(item): at for at, item in enumerate(due.items)}

    def note(item: int) -> Note:
        at = place[item]
        values = {
            "every_days": round(float(due.every[at]), 1),
            "days_since": int(due.since[at]),
            "times": int(due.times[at]),
            "due": bool(due.due[at]),
            "chance": round(float(due.chance[at]), 4),
        }
        return Note(values, (Reason("due", _rhythm_text(due.times[at], due.since[at], due.every[at]), values),))

    return Found(
        due.items[kept].tolist(),
        due.chance[kept].tolist(),
        "rhythm",
        when,
        row,
        cold_start=not len(due.items),
        note=note,
        fill="nothing",
        own_reasons_only=True,
        about={schema.CUSTOMER: customer, "days_ahead": AHEAD_DAYS},
        holds_bought=True,
    )


def new_for_you(shelf: Shelf, customer: str, ask: Ask) -> Found:
    """What the model expects a customer to like and has never seen bought; nothing bought, whatever it is filled with.

    Raises:
        NotFoundError: If the shop has never heard of the customer.
    """
    row = shelf.state.known_customer(customer)
    found = shelf.served.recommend(customer, k=ask.depth, when=ask.when, repeats="exclude", filters=ask.filters)
    own = shelf.state.history(row)
    bought = np.unique(own.item[own.kind == _PURCHASE]).tolist()
    items, scores = _of_model(found)
    about = {schema.CUSTOMER: customer}
    return Found(items, scores, found.served_by, found.when, row, found.cold_start, never=set(bought), about=about)


def category(shelf: Shelf, customer: str | None, ask: Ask) -> Found:
    """A category's products in a customer's order, popular ones for a stranger; everything it has, if asked for.

    A category with nothing to show, because all is hidden, sold out or left out by a rule, shows the one above it, at
    last the whole shop; ``shown_category`` says which.

    Raises:
        NotFoundError: If no product has the category; the message names the nearest.
        UsageError: If the filters name no category.
    """
    if ask.filters.category is None:
        raise UsageError("no category is named; add category=NAME, at any level")
    name = shelf.category(ask.filters.category)
    for shown in (*_upward(shelf, name), None):
        filters = replace(ask.filters, category=shown)
        if shelf.state.allowed(filters).any():
            break
    found = shelf.served.recommend(customer, k=ask.depth, when=ask.when, filters=filters)
    items, scores = _of_model(found)
    return Found(
        items,
        scores,
        found.served_by,
        found.when,
        shelf.row(customer),
        found.cold_start,
        among=shelf.state.allowed(filters),
        fill="everything",
        filters=filters,
        about={schema.CATEGORY: name, "shown_category": shown, schema.CUSTOMER: customer},
        instead=None if shown == name else f"{name!r} has nothing to show; this is {shown or 'the whole shop'}",
    )


def new_arrivals(
    shelf: Shelf,
    customer: str | None,
    ask: Ask,
    *,
    attribute: str | None = None,
    value: str | None = None,
    days: float = 30.0,
) -> Found:
    """The newest products in the order of a customer, or of a group of customers; newest first for a stranger.

    Products of the last ``days`` are looked at, more where these do not fill the list. What a new product is near to
    is known from its attributes; the sales that it has count half as much.
    """
    state, row = shelf.state, shelf.row(customer)
    when = shelf.day(ask, row)
    rows, since = shelf.tables.arrivals()
    known = max(when, day_at(datetime.now(UTC))) if ask.when is None else when  # data may end before what is new now
    usable = held(state.allowed(ask.filters), rows) & (since <= known)
    rows, since = rows[usable], since[usable]
    looked_at = max(min(int((since > when - days).sum()), MOST_NEW), ask.k)
    most = max(looked_at, ask.depth)
    day = dict(zip(rows[:most].tolist(), since[:most].tolist(), strict=True))
    rows, since, spare = rows[:looked_at], since[:looked_at], rows[looked_at:most].tolist()
    liked, about = _liked(shelf, row, attribute, value, when)
    near = _near(shelf, rows, liked)
    items, scores = rows.tolist(), np.exp2(np.minimum(0.0, since - when) / days).tolist()
    if near is not None:
        popular = _selling_order(shelf, rows, len(rows))
        items, scores = fused([(1.0, best(rows, near.scores, len(rows))[0]), (POPULAR_WEIGHT, popular)])

    def note(item: int) -> Note:
        ago = max(0, int(when - day[item]))
        text = f"New since {'today' if not ago else 'yesterday' if ago == 1 else f'{ago} days'}"
        reasons = [Reason("new", text, {"days_since": ago})]
        if near is not None and attribute is None and value is None and item not in spare:
            reasons += _alike(shelf, near, int(np.flatnonzero(rows == item)[0]))
        return Note({"since": _iso(day[item])}, reasons)

    return Found(
        [*items, *spare],
        [*scores, *[min(scores, default=0.0)] * len(spare)],
        "latest" if near is None else "taste",
        when,
        row,
        cold_start=near is None,
        note=note,
        fill="nothing",
        about={schema.CUSTOMER: customer, "days": days, **about},
        spare=len(spare),
    )


def segment(
    shelf: Shelf, customer: str | None, ask: Ask, *, attribute: str | None = None, value: str | None = None
) -> Found:
    """What a group of customers bought lately: those who buy alike, or those with a value of an attribute.

    Raises:
        NotFoundError: If the attribute or the value is unknown.
        UsageError: If nothing says which group is meant.
    """
    state, row = shelf.state, shelf.row(customer)
    when = shelf.day(ask, row)
    if customer is None and attribute is None:
        raise UsageError("a segment needs customer_id, or attribute with value; give one of them")
    members, about, words = _members(shelf, row, attribute, value, when)
    group = shelf.tables.groups.bought_by(members)
    items, scores = best(group.items, group.scores, ask.depth, among=state.allowed(ask.filters))
    candidates = set(items)

    def note(item: int) -> Note:
        if item not in candidates:
            return Note()
        at = int(np.searchsorted(group.items, item))
        buyers, others = int(group.buyers[at]), int(group.others[at])
        text = f"Bought by {buyers:,} of {group.members:,} {words} in the last {RECENT_DAYS:.0f} days"
        values = {"buyers": buyers, "members": group.members, "all_buyers": others, "customers": group.customers}
        return Note(values, (Reason("segment", text, values),))

    return Found(
        items,
        scores,
        "segment",
        when,
        row,
        cold_start=not len(members),
        note=note,
        about={schema.CUSTOMER: customer, **about, "members": group.members},
    )


def promoted(shelf: Shelf, customer: str | None, ask: Ask) -> Found:
    """What the promotion plan promotes at the moment, in the customer's order; in order of sales for a stranger."""
    state, row = shelf.state, shelf.row(customer)
    when = shelf.day(ask, row)
    running = shelf.tables.running(when)
    usable = held(state.allowed(ask.filters), running.items)
    items, share = running.items[usable], running.share[usable]
    popular = np.array(_selling_order(shelf, items, MOST_NEAR), dtype=np.int64)
    rankings: list[tuple[float, list[int]]] = [(POPULAR_WEIGHT, popular.tolist())]
    served_by = "popular"
    if len(items) and row >= 0 and state.num_lines(row):
        found = shelf.served.recommend(customer, k=MODEL_DEPTH, when=ask.when, filters=ask.filters)
        near = _near(shelf, popular, Liked.by(state.history(row), when))
        if not found.cold_start:
            model = np.array(_of_model(found)[0], dtype=np.int64)
            rankings.append((MODEL_WEIGHT, model[np.isin(model, items)].tolist()))
            served_by = found.served_by
        if near is not None:
            rankings.append((1.0, best(popular, near.scores, len(popular))[0]))
    score = np.zeros(len(items))
    ordered, scores = fused(rankings)
    score[np.searchsorted(items, ordered)] = scores
    ordered, scores = best(items, score * share**SHARE_POWER, max(ask.depth, ask.k))

    def note(item: int) -> Note:
        until, kinds, stores = running.of(item)
        last = local_date(until - 1e-6, state.shop.timezone)
        values = {"until": _iso(until), "kinds": kinds, "share": round(stores, 4)}
        return Note(values, (Reason("promotion", f"On promotion until {last} ({', '.join(kinds)})", values),))

    return Found(
        ordered,
        scores,
        served_by,
        when,
        row,
        cold_start=served_by == "popular",
        note=note,
        fill="nothing",
        about={schema.CUSTOMER: customer, "promoted": len(items)},
    )


def _upward(shelf: Shelf, name: str) -> list[str]:
    """A category and those above it, by the path of a product in it."""
    rows = np.flatnonzero(shelf.state.catalogue.mask(name, False))
    path = shelf.state.catalogue.category(int(rows[0]))
    return path[: path.index(name) + 1][::-1]


def _of_model(found: Recommendation) -> tuple[list[int], list[float]]:
    """What the member ranked, without what its list was filled with."""
    kept = len(found.items) - found.filled
    return found.items[:kept], found.scores[:kept]


def _selling_order(shelf: Shelf, items: Rows, most: int) -> list[int]:
    """Some products by the number of baskets of the last weeks; those that do not sell are left out."""
    buyers, live = shelf.state.facts.buyers(), shelf.state.live.items_sold
    sold = np.zeros(len(items))
    known = items < len(buyers)
    sold[known] = buyers[items[known]]
    for item, number in list(live.items()):
        sold[items == item] += number
    return best(items[sold > 0], sold[sold > 0], most)[0]


def _liked(
    shelf: Shelf, row: int, attribute: str | None, value: str | None, when: float
) -> tuple[Liked, dict[str, object]]:
    """What a customer likes, or a group, and what to say about the group."""
    if attribute is None and value is None:
        return Liked.by(shelf.state.history(row), when), {}
    members, about, _ = _members(shelf, row, attribute, value, when)
    bought = shelf.tables.groups.bought_by(members)
    return Liked(bought.items, bought.scores).strongest(), about


def _near(shelf: Shelf, items: Rows, liked: Liked) -> Near | None:
    unit = shelf.served.similar_items.vectors(shelf.state.shop)
    return nearness(items, liked, unit=unit, catalogue=shelf.state.catalogue)


def _alike(shelf: Shelf, near: Near, at: int) -> list[Reason]:
    """The own product that another is nearest to, if it is near."""
    own, likeness = int(near.because[at]), float(near.scores[at])
    if own < 0 or likeness < ALIKE:
        return []
    values = {"like": shelf.state.shop.items.ids[own], "likeness": round(likeness, 4)}
    return [Reason("alike", f"Like {shelf.state.catalogue.title(own)}, known to this customer", values)]


def _members(
    shelf: Shelf, row: int, attribute: str | None, value: str | None, when: float
) -> tuple[Rows, dict[str, object], str]:
    """The members of a group, what to say about it, and what they are called."""
    state = shelf.state
    if attribute is None:
        if value is not None:
            raise UsageError(f"value={value} needs an attribute; add attribute=NAME")
        if row < 0:
            return np.zeros(0, dtype=np.int64), {"basis": "purchases"}, "customers"
        members = shelf.tables.groups.nearest(state.history(row), when, apart_from=row)
        return shelf.visible(members), {"basis": "purchases"}, "customers who buy alike"
    known = known_attribute(state.shop.attributes, attribute)
    if value is None:
        code = int(known.codes[row]) if 0 <= row < len(known.codes) else -1
        if code < 0:
            return np.zeros(0, dtype=np.int64), {"basis": attribute, "value": None}, "customers"
        value = known.values[code]
    members = shelf.visible(with_value(state.shop.attributes, attribute, value))
    return members, {"basis": attribute, "value": value}, f"customers with {attribute} {value!r}"


def _rhythm_text(times: int, since: float, every: float) -> str:
    ago = "today" if since < 1 else "yesterday" if since < 2 else f"{since:.0f} days ago"
    rhythm = "every day" if round(every) <= 1 else f"every {every:.0f} days"
    if times > 2:
        return f"Usually {rhythm}, last {ago}"
    return f"Bought {'once' if times == 1 else 'twice'}, last {ago}; customers usually buy it again {rhythm}"


def _iso(day: float) -> str:
    return moment_of(round(day * 86_400) / 86_400).isoformat(timespec="seconds") + "Z"
