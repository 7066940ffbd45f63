"""The lists of products that a shop shows beside ``Served.recommend``, and the one place where they are finished.

Who is a candidate is found in ``lists_of_products`` and ``lists_of_customers``; ``finished`` turns scored candidates of
any kind into what is shown. The shop's rules hold here, so that a new list keeps to them unasked.
"""

# Shapes: I items

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shoploom.config import RecommendConfig
from shoploom.data.arrays import Flags
from shoploom.errors import NotReadyError
from shoploom.inference.catalogue import Filters
from shoploom.inference.engine import Engine
from shoploom.inference.found import Ask, Found, Note, Shelf, held
from shoploom.inference.list_tables import ListTables
from shoploom.inference.matching import fitted
from shoploom.inference.reasons import Reason
from shoploom.inference.rerank import Applied, Arranged, Arrangement, Permitted
from shoploom.inference.rules import BOUGHT, Rule, Rules
from shoploom.inference.served import PLAIN
from shoploom.inference.visitors import Visitors

POPULAR_DAYS = 28.0


@dataclass(frozen=True)
class Listed:
    """A finished list.

    Args:
        items: Rows, best first.
        scores: What the candidates were sorted by; products that stand in have the lowest.
        notes: What is said about each, reasons included if they were asked for.
        filled: How many of the products stand in for missing candidates.
        found: Where the list comes from.
        shelf: What it was made from.
        similar: How many of the products are only like what the list is about.
        fallback: Whether none of the items is what the list is about, though there is something to start from.
        reason: Why that is so, or why there is no item at all; None otherwise.
        propensities: Probability of each item to stand where it does; None if nothing was arranged: 1 for all.
        applied: What rules and settings did; None if there were none.
    """

    items: list[int]
    scores: list[float]
    notes: list[Note]
    filled: int
    found: Found
    shelf: Shelf
    similar: int = 0
    fallback: bool = False
    reason: str | None = None
    propensities: list[float] | None = None
    applied: Applied | None = None


def finished(shelf: Shelf, found: Found, ask: Ask, arrangement: Arrangement = PLAIN) -> Listed:
    """From scored candidates to the list that is shown: what may be shown, filled up, arranged, explained.

    Raises:
        UsageError: If a rule of the request cannot be kept.
    """
    rules, unkept = _kept_rules(found, arrangement.rules)
    bounds = _bounds(shelf, found, replace(found.filters or ask.filters, rules=rules))
    own, scores = _own(found, bounds)
    if arrangement.plain:
        own, scores = own[: ask.k], scores[: ask.k]
    wanted = ask.depth if rules.of("cap") else ask.k  # a cap may keep many out
    everything = found.fill == "everything" or not arrangement.plain
    more = [] if found.fill == "nothing" else _more(shelf, bounds, own, wanted, everything=everything)
    behind = len(more) + len({*found.items[len(found.items) - found.spare :]} & set(own))
    shown = Arranged([*own, *more], [*scores, *[min(scores, default=0.0)] * len(more)], [], Applied())
    if not arrangement.plain:
        shown = shelf.served.arranger.arranged(
            shown.items,
            shown.scores,
            replace(arrangement, rules=rules),
            k=ask.k,
            permitted=bounds.permitted,
            bought=bounds.bought,
            day=found.when,
            standing_in=behind,
            foreign=_foreign(found, bounds, own),
        )
    left_out = [*unkept, *shown.applied.left_out]
    astray = bool(shown.items) and not found.cold_start and not set(own) & set(shown.items)
    return Listed(
        shown.items,
        shown.scores,
        _notes(shelf, found, ask, shown.items),
        len(set(more) & set(shown.items)),
        found,
        shelf,
        similar=len({*(found.similar or ())} & set(shown.items)),
        fallback=astray or bool(shown.items and found.instead),
        reason=_reason(shelf, found, bounds, shown.items, astray=astray),
        propensities=None if arrangement.plain else shown.propensities,
        applied=None if arrangement.plain else replace(shown.applied, left_out=left_out),
    )


class Lists:
    """All lists of one shop. May be used from several threads.

    Args:
        engine: Serves the version, and is fed with events.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._visitors: Visitors | None = None
        self._tables: ListTables | None = None
        self._lock = threading.Lock()

    def show(self, find: Callable[[Shelf, Ask], Found], ask: Ask) -> Listed:
        """One list, with every event that was acknowledged before, by the standing rules and those that are wished for.

        Diversity, freshness and exploration are only what the request asks for: a list has its own order.

        Args:
            find: Finds the candidates, see ``lists_of_products`` and ``lists_of_customers``; it is given what is asked
                for, with filters that know the rules.
            ask: What is asked for.

        Raises:
            NotReadyError: If no version is loaded.
            NotFoundError: If the filters name an unknown category.
            UsageError: If rules contradict each other or cannot be kept.
        """
        standing = self._engine.workspace.config.recommend
        settings = RecommendConfig(method=standing.method, half_life_days=standing.half_life_days, rules=standing.rules)
        arrangement = Arrangement.of(settings, ask.wishes, seed=ask.seed)
        shelf = self._shelf()
        if ask.filters.category is not None:
            shelf.category(ask.filters.category)
        ask = replace(ask, filters=replace(ask.filters, rules=arrangement.rules))
        return finished(shelf, find(shelf, ask), ask, arrangement)

    def warm(self) -> None:
        """Count what the lists are looked up in, so that no visitor waits for it; nothing without a version."""
        try:
            shelf = self._shelf()
        except NotReadyError:
            return
        shelf.tables.warm()
        shelf.state.facts.warm()
        shelf.served.similar_items.vectors(shelf.state.shop)

    def _shelf(self) -> Shelf:
        served, workspace = self._engine.current, self._engine.workspace
        with self._lock:
            if self._visitors is None:
                self._visitors = Visitors(workspace.event_log)
                self._visitors.follow()  # tables know what is in the log already
            visitors = self._visitors
        touches = visitors.follow()
        if touches:
            self._engine.follow_log()  # products in events of other processes get rows
            served = self._engine.current
        with self._lock:
            if self._tables is None or self._tables.state is not served.state:
                self._tables = ListTables(served.state, workspace)
            tables = self._tables
        tables.observe(touches)
        return Shelf(served, tables, visitors)


@dataclass(frozen=True)
class _Bounds:
    """What a list may hold.

    Args:
        filters: With the rules that hold on it.
        permitted: Before and after these rules.
        usable: (I,) Of the permitted products those that belong on the list.
        bought: Rows that are left out because the customer has them.
        never: Rows that it must not hold, these included.
    """

    filters: Filters
    permitted: Permitted
    usable: Flags
    bought: frozenset[int]
    never: frozenset[int]


def _kept_rules(found: Found, rules: Rules) -> tuple[Rules, list[str]]:
    """The rules that can hold on a list, and the standing ones that cannot, each with the reason."""
    against = [one for one in rules.of("exclude") if found.holds_bought and one.subject == BOUGHT]
    why = "this list holds nothing but what the customer bought"
    for one in against:
        if not one.standing:
            one.fail(f"cannot be kept: {why}")
    return rules.without(against), [f"{one}: {why}" for one in against]


def _bounds(shelf: Shelf, found: Found, filters: Filters) -> _Bounds:
    base = shelf.state.before_rules(filters)
    mask = shelf.state.ruled(base, filters.rules)
    usable = mask if found.among is None else mask & fitted(found.among, len(mask))
    bought = shelf.bought(found.customer) if filters.rules.excludes(BOUGHT) else frozenset()
    return _Bounds(filters, Permitted(base, mask), usable, bought, bought.union(found.never))


def _own(found: Found, bounds: _Bounds) -> tuple[list[int], list[float]]:
    """The candidates that may be shown, and their scores."""
    usable = held(bounds.usable, np.array(found.items, dtype=np.int64)).tolist()
    pairs = [
        (item, score)
        for item, score, good in zip(found.items, found.scores, usable, strict=True)
        if good and item not in bounds.never
    ]
    return [item for item, _ in pairs], [score for _, score in pairs]


def _foreign(found: Found, bounds: _Bounds, own: Sequence[int]) -> Callable[[Rule, int], str]:
    """Says why a pin has no place on a list.

    A standing pin moves a product to its place where it is on the list anyway; a pin of the request brings it there,
    unless the list says of each product that it is something: due, new, promoted.
    """
    candidates, usable = set(own), bounds.usable

    def foreign(rule: Rule, row: int) -> str:
        if row in bounds.never:
            return "this list never shows the product"
        if row in candidates or (found.fill == "everything" and row < len(usable) and usable[row]):
            return ""
        bound = rule.standing or found.fill == "nothing"
        return "the product has nothing to do with this list" if bound else ""

    return foreign


def _reason(shelf: Shelf, found: Found, bounds: _Bounds, items: Sequence[int], *, astray: bool) -> str | None:
    """Why others stand in, or why there is nothing."""
    if not items and not bounds.permitted.mask.any():
        return shelf.served.arranger.why_nothing(bounds.filters.rules, bounds.permitted.base)
    if not items:
        return "nothing was found for this list that may be shown"
    if found.instead is not None:
        return found.instead
    return "nothing was found for this list that may be shown; what sells or is new stands in" if astray else None


def _more(shelf: Shelf, bounds: _Bounds, shown: Sequence[int], wanted: int, *, everything: bool) -> list[int]:
    """What stands in for missing candidates: what sells now; then all that may be shown, the best sellers first."""
    missing = wanted - len(shown)
    if missing <= 0:
        return []
    without, usable = bounds.never.union(shown), bounds.usable
    popular, _ = shelf.served.popular(k=missing + len(without), days=POPULAR_DAYS, filters=bounds.filters)
    more = [item for item in popular if item not in without and item < len(usable) and usable[item]][:missing]
    if not everything or len(more) == missing:
        return more
    facts = shelf.state.facts
    rest = np.flatnonzero(usable)
    rest = rest[~np.isin(rest, [*without, *more])]
    sold, created = np.zeros(len(usable)), np.full(len(usable), np.inf)
    sold[: facts.num_items] = facts.buyers(365.0)
    created[: facts.num_items] = np.nan_to_num(facts.created, nan=-np.inf)
    best = rest[np.lexsort((-created[rest], -sold[rest]))[: missing - len(more)]]
    return [*more, *best.tolist()]


def _notes(shelf: Shelf, found: Found, ask: Ask, items: list[int]) -> list[Note]:
    notes = [found.note(item) if found.note is not None else Note() for item in items]
    if not ask.explain:
        return [Note(note.values) for note in notes]
    if found.own_reasons_only:
        return notes
    state = shelf.state
    general = state.reasons.of(state.shop, items, state.history(found.customer), found.when)
    return [_together(note, more) for note, more in zip(notes, general, strict=True)]


def _together(note: Note, more: Sequence[Reason]) -> Note:
    """A note with further reasons, each kind of reason once."""
    told = {one.code for one in note.reasons}
    return Note(note.values, [*note.reasons, *(one for one in more if one.code not in told)])
