"""The lists of products that a shop shows beside ``Served.recommend``, and the one place where they are finished.

Who is a candidate is found in ``lists_of_products`` and ``lists_of_customers``; ``finished`` turns scored candidates of
any kind into what is shown.
"""

# Shapes: I items

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shoploom.data.arrays import Flags
from shoploom.errors import NotReadyError
from shoploom.inference.engine import Engine
from shoploom.inference.found import Ask, Found, Note, Shelf, held
from shoploom.inference.list_tables import ListTables
from shoploom.inference.reasons import Reason
from shoploom.inference.visitors import Visitors

POPULAR_DAYS = 28.0


@dataclass(frozen=True)
class Listed:
    """A finished list.

    Args:
        items: Rows, best first.
        scores: What the candidates were sorted by; products that stand in have the lowest.
        notes: What is said about each, reasons included if they were asked for.
        filled: How many of the last products stand in for missing candidates.
        found: Where the list comes from.
        shelf: What it was made from.
    """

    items: list[int]
    scores: list[float]
    notes: list[Note]
    filled: int
    found: Found
    shelf: Shelf


def finished(shelf: Shelf, found: Found, ask: Ask) -> Listed:
    """From scored candidates to the list that is shown: what may be shown, filled up, explained."""
    usable = shelf.state.allowed(ask.filters) if found.among is None else found.among
    shown = held(usable, np.array(found.items, dtype=np.int64))
    pairs = [
        (item, score)
        for item, score, good in zip(found.items, found.scores, shown.tolist(), strict=True)
        if good and item not in found.never
    ][: ask.k]
    more = _more(shelf, found, ask, usable, [item for item, _ in pairs])
    low = min((score for _, score in pairs), default=0.0)
    items = [item for item, _ in pairs] + more
    scores = [score for _, score in pairs] + [low] * len(more)
    return Listed(items, scores, _notes(shelf, found, ask, items), len(more), found, shelf)


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

    def show(self, find: Callable[[Shelf], Found], ask: Ask) -> Listed:
        """One list, with every event that was acknowledged before.

        Args:
            find: Finds the candidates, see ``lists_of_products`` and ``lists_of_customers``.
            ask: What is asked for.

        Raises:
            NotReadyError: If no version is loaded.
            NotFoundError: If the filters name an unknown category.
        """
        shelf = self._shelf()
        if ask.filters.category is not None:
            shelf.category(ask.filters.category)
        return finished(shelf, find(shelf), ask)

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


def _more(shelf: Shelf, found: Found, ask: Ask, usable: Flags, shown: Sequence[int]) -> list[int]:
    """What stands in for missing candidates: what sells now; at last all that may be shown, the best sellers first."""
    missing = ask.k - len(shown)
    if missing <= 0 or found.fill == "nothing":
        return []
    without = {*shown, *found.never}
    filters = found.filters or ask.filters
    popular, _ = shelf.served.popular(k=missing + len(without), days=POPULAR_DAYS, filters=filters)
    more = [item for item in popular if item not in without and item < len(usable) and usable[item]][:missing]
    if found.fill == "popular" or len(more) == missing:
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
