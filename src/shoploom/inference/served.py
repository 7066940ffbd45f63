"""One model version that answers questions about a shop: the members that won their task, and the facts beside them."""

# Shapes: I items, W blocks, V values of an attribute

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import F64, Flags, ShopArrays
from shoploom.data.keys import Rows
from shoploom.data.vocabulary import Vocabulary
from shoploom.ensemble.fused import Fused
from shoploom.ensemble.members.base import Member
from shoploom.errors import NotFoundError, unknown_name
from shoploom.inference.batching import Batching
from shoploom.inference.catalogue import Filters
from shoploom.inference.rank_fusion import fused
from shoploom.inference.reasons import Reason
from shoploom.inference.rerank import Applied, Arrangement, Arranger, Permitted
from shoploom.inference.rules import BOUGHT, Rules
from shoploom.inference.shared_cache import remember, reread, undisturbed
from shoploom.inference.similar import HasItemVectors, Similar, SimilarItems
from shoploom.inference.state import ShopState
from shoploom.inference.taste import Liked, nearness
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction, Ranked, Repeats, Task

LOG = logging.getLogger("shoploom.inference")
CACHED_ANSWERS = 50_000
MOST_TOUCHED = 5
"""Products that speak for a customer who has bought nothing yet."""
MOST_NEWCOMERS, MOST_COMPARED = 100, 2000
"""Unsold products that a list has as candidates, and whose content is compared: the newest."""
PLAIN = Arrangement()
_SHOWN = schema.EVENT_TYPES.index(schema.IMPRESSION)


@dataclass(frozen=True)
class Recommendation:
    """A list for one customer: item rows and scores, best first.

    Args:
        served_by: The member that ranked, or ``popular``.
        cold_start: Whether nothing is known about the customer, so that everybody's favourites are shown.
        when: Day as of which is answered.
        filled: How many of the items come from the popular ones, the ranking being too short.
        fallback: Whether none of the items comes from where they should, so that others that may be shown stand in.
        reason: Why that is so, or why there is no item at all; None otherwise.
        propensities: Probability of each item to stand where it does; None if nothing was arranged: 1 for all.
        applied: What rules and settings did; None if there were none.
        beside: Items that were added to what the member ranks, each with the reason for people.
    """

    items: list[int]
    scores: list[float]
    served_by: str
    cold_start: bool
    when: float
    filled: int = 0
    fallback: bool = False
    reason: str | None = None
    propensities: list[float] | None = None
    applied: Applied | None = None
    beside: Mapping[int, str] = field(default_factory=dict)


class Served:
    """Answers from one published version. All methods may be called from several threads.

    Args:
        version: Name of the version; every answer carries it.
        manifest: As the registry gives it.
        members: The serving member of each task.
        state: The shop.
        vectors: A member with item vectors for similar products, if the version has one.

    Attributes:
        dropped: By task, how often a list came without the member that ranks, by member and reason.
    """

    def __init__(
        self,
        version: str,
        manifest: Mapping[str, Any],
        members: Mapping[str, Member],
        state: ShopState,
        vectors: HasItemVectors | None = None,
    ) -> None:
        self.version = version
        self.manifest = manifest
        self.members = dict(members)
        self.tasks: dict[str, Task] = {name: TASKS.load(name)() for name in members}
        self.state = state
        self._readers = [*members.values(), vectors]
        self.similar_items = SimilarItems(state.facts, vectors)
        self.arranger = Arranger(state, self.similar_items)
        self._locks = {name: threading.Lock() for name in members}
        self._rank = {name: Batching(partial(self._ranking, name)) for name in members}
        self._answers: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._answers_lock = threading.Lock()
        self.dropped: dict[str, Counter[tuple[str, str]]] = {}
        self._quoted: Vocabulary | None = None  # the products and one that is asked about; copied when there are more

    def warm_up(self) -> None:
        """Make what first visitors would wait for."""
        self.state.facts.warm()
        remember(self._readers, self.state.shop)

    def recommend(
        self,
        customer: str | None,
        *,
        k: int = 20,
        when: float | None = None,
        repeats: Repeats = "auto",
        filters: Filters | None = None,
        arrangement: Arrangement | None = None,
    ) -> Recommendation:
        """Products for the next visit of a customer; everybody's favourites for an unknown one.

        Args:
            customer: None or an id, known or not.
            k: Length of the list.
            when: Day of the visit; None: now.
            repeats: Whether products that the customer bought may be shown.
            filters: What this list may hold.
            arrangement: Rules and settings for re-ranking; None shows the ranking as it is, of what may be shown.

        Raises:
            UsageError: If a rule of the request cannot be kept.
        """
        state, wanted = self.state, arrangement or PLAIN
        row = state.customer(customer) if customer is not None else -1
        filters = filters or Filters()
        base = state.before_rules(filters)
        permitted = Permitted(base, state.ruled(base, wanted.rules, filters.rules))
        repeats = "exclude" if wanted.rules.excludes(BOUGHT) or filters.rules.excludes(BOUGHT) else repeats
        day = state.now(row) if when is None else when
        found = self._ranked(row, wanted.depth(k), day, repeats, permitted.mask)
        if wanted.freshness:
            found = self._with_newcomers(found, row, permitted.mask)
        if not found.items or (len(found.items) < k and not wanted.plain):
            found = self._completed(found, row, k, repeats, permitted, wanted.rules)
        if wanted.plain:
            return found
        bought = self._bought(row) if repeats == "exclude" and wanted.rules.of("pin") else []
        shown = self.arranger.arranged(
            found.items, found.scores, wanted, k=k, permitted=permitted, bought=bought, day=day
        )
        fill = set(found.items[len(found.items) - found.filled :])
        return replace(
            found,
            items=shown.items,
            scores=shown.scores,
            filled=sum(item in fill for item in shown.items),
            propensities=shown.propensities,
            applied=shown.applied,
        )

    def explain(self, customer: str | None, found: Recommendation) -> list[list[Reason]]:
        """Checkable reasons for each item of a recommendation."""
        row = self.state.customer(customer) if customer is not None else -1
        return self.state.reasons.of(self.state.shop, found.items, self.state.history(row), found.when)

    def popular(self, *, k: int, days: float, filters: Filters) -> tuple[list[int], list[float]]:
        """What was in most baskets of the last days, live purchases included."""
        return self._popular(k, self.state.allowed(filters), days=days)

    def latest(self, *, k: int, filters: Filters) -> tuple[list[int], list[float]]:
        """The newest products and the day each came; products added while serving are the newest of all."""
        allowed, facts = self.state.allowed(filters), self.state.facts
        day = np.full(len(allowed), self.state.now())
        day[: facts.num_items] = facts.created[: len(allowed)]
        rows = np.flatnonzero(allowed & ~np.isnan(day))
        if len(rows) > k:  # sorting a large catalogue takes longer than finding where its newest begin
            rows = rows[day[rows] >= np.partition(day[rows], -k)[-k]]
        place = np.lexsort((-rows, -day[rows]))[:k]
        return rows[place].tolist(), [float(one) for one in day[rows[place]]]

    def similar(self, item: int, *, k: int, filters: Filters) -> Similar:
        """Products like a product, among those that sell."""
        allowed = self._selling(self.state.allowed(filters))
        return self.similar_items.to(self.state.shop, item, k=k, allowed=allowed)

    def predict(self, task: str, units: Sequence[int]) -> list[dict[str, Any]]:
        """Answers of one task for customer or item rows, in their order; known ones come from the cache.

        Numbers are ``probability`` or ``mean``, ``p10``, ``p90``; demand gives lists over the blocks; classes give
        the probability of each value per attribute; rankings give ``items`` and ``scores``.

        Raises:
            NotFoundError: If the version does not serve the task; the message says why.
        """
        self.require(task)
        keys = [(task, row, self._freshness(task, row)) for row in units]
        with self._answers_lock:
            known = {key: self._answers[key] for key in set(keys) if key in self._answers}
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            fresh = dict(zip(missing, self._answer(task, [key[1] for key in missing]), strict=True))
            known |= fresh
            with self._answers_lock:
                self._answers.update(fresh)
                while len(self._answers) > CACHED_ANSWERS:
                    self._answers.popitem(last=False)
        return [known[key] for key in keys]

    def quote(self, product: Mapping[str, Any]) -> dict[str, Any]:
        """The price answer for a product that is not in the catalogue, from its columns alone."""
        self.require("price")
        shop = self.state.shop
        count = len(shop.catalogue)
        name = _unused(shop, str(product.get(schema.PRODUCT) or "new"))
        row = {column: [product.get(column)] for column in schema.PRODUCTS} | {schema.PRODUCT: [name]}
        line = pl.DataFrame(row, schema=schema.PRODUCTS).select(shop.catalogue.columns)
        catalogue = pl.concat([shop.catalogue, line], how="vertical")
        with self._locks["price"]:
            if self._quoted is None or len(self._quoted) != count + 1:
                self._quoted = Vocabulary([*shop.items.ids[:count], name])
            self._quoted.rename(count, name)
            extended = replace(shop, items=self._quoted, catalogue=catalogue)
            with undisturbed([self.members["price"]], shop):
                answer = self.members["price"].predict(extended, Cases(_rows([count])))
        return _one(answer, 0)

    def put_product(self, one: str, values: Mapping[str, Any]) -> int:
        """Add a product or change the columns that are given, for the members, too; returns its row."""
        state = self.state
        with state.writing:
            row = state.put_product(one, values)
            prices = state.facts.shelf_price
            reread(self._readers, state.shop, row, shelf_price=float(prices[row]) if row < len(prices) else np.nan)
            state.generation += 1  # answers that were made before the members knew are not kept
        return row

    def require(self, task: str) -> Task:
        """The task, if this version serves it.

        Raises:
            NotFoundError: If not; a task that the shop's data cannot feed says so.
        """
        if task in self.tasks:
            return self.tasks[task]
        entry = self.manifest.get("tasks", {}).get(task, {})
        if entry.get("missing"):
            raise NotFoundError(f"task {task!r} is off for this shop: {entry['missing']}")
        raise NotFoundError(unknown_name("task", task, self.tasks))

    def _ask(self, task: str, cases: Cases) -> Prediction:
        with self._locks[task]:
            return self.members[task].predict(self.state.shop, cases)

    def _ranking(self, task: str, cases: Cases) -> Ranked:
        found = self._ask(task, cases)
        assert isinstance(found, Ranked), f"{task} is served by a member that does not rank"
        return found

    def _answer(self, task: str, rows: list[int]) -> list[dict[str, Any]]:
        asked = self.tasks[task]
        if asked.space == "block":
            blocks = self.state.shop.clock.num_blocks
            units = np.repeat(_rows(rows), blocks)
            answer = self._ask(task, Cases(units, blocks=np.tile(np.arange(blocks, dtype=np.int32), len(rows))))
            assert isinstance(answer, Numbers), f"{task} is served by a member that gives no numbers"
            return [
                {name: column[start : start + blocks].tolist() for name, column in answer.columns.items()}
                for start in range(0, len(units), blocks)
            ]
        cases = Cases(_rows(rows))
        if asked.shape == "ranking":
            when = np.array([self.state.now(row) for row in rows])
            repeats: Repeats = "exclude" if task == "new_for_you" else "auto"
            cases = Cases(cases.units, when=when, repeats=repeats, allowed=self.state.allowed(Filters()))
        answer = self._ask(task, cases)
        return [_one(answer, number) for number in range(len(rows))]

    def _freshness(self, task: str, row: int) -> tuple[int, ...]:
        state = self.state
        if self.tasks[task].unit == "customer":
            return (state.num_lines(row), state.generation, state.hidden.generation)
        return (state.generation, len(state.shop.items))

    def _popular(
        self, k: int, allowed: Flags, *, days: float = 28.0, without: Sequence[int] = ()
    ) -> tuple[list[int], list[float]]:
        scores = self._sold(len(allowed), days)
        usable = allowed & (scores > 0)
        usable[list(without)] = False
        rows = np.flatnonzero(usable)
        top = rows[np.argsort(-scores[rows], kind="stable")[:k]]
        return top.tolist(), [float(one) for one in scores[top]]

    def _ranked(self, row: int, k: int, day: float, repeats: Repeats, allowed: Flags) -> Recommendation:
        """What the member ranks, filled up with popular products; these alone where nothing is known."""
        task = "new_for_you" if repeats == "exclude" and "new_for_you" in self.members else "next_basket"
        if task not in self.members or not self._known(row):
            bought = self._bought(row) if repeats == "exclude" else []
            items, scores = self._popular(k, allowed, without=bought)
            return Recommendation(items, scores, "popular", True, day)
        cases = Cases(_rows([row]), when=np.array([day]), k=k, repeats=repeats, allowed=allowed)
        try:
            ranked = self._rank[task](cases)
        except Exception:  # whatever a member breaks on, a shop's page shows something
            LOG.exception("%s, which ranks for %s, failed; popular products stand in", self.members[task].name, task)
            return self._without_member(task, row, k, day, repeats, allowed)
        pairs = [
            (int(item), float(score))
            for item, score in zip(ranked.items[0], ranked.scores[0], strict=True)
            if 0 <= item < len(allowed) and allowed[item]
        ][:k]
        name = type(self.members[task]).name
        found = Recommendation([a for a, _ in pairs], [b for _, b in pairs], name, False, day)
        found = self._with_touches(found, row, k, allowed)
        return found if len(found.items) == k else self._fill(found, row, k, allowed, repeats)

    def _with_touches(self, found: Recommendation, row: int, k: int, allowed: Flags) -> Recommendation:
        """The ranking for a customer who has bought nothing yet, to which what was looked at adds products like it.

        Members learn from purchases, so they know nothing of such a customer but that it is one.
        """
        if self._bought(row):
            return found
        liked = Liked.by(self.state.history(row), found.when)
        touched = liked.items[np.argsort(-liked.weights, kind="stable")][:MOST_TOUCHED].tolist()
        if not touched:
            return found
        selling = self._selling(allowed)
        own = [item for item in touched if item < len(allowed) and allowed[item]]
        like = [self.similar_items.to(self.state.shop, item, k=k, allowed=selling).items for item in touched]
        items, scores = fused([(1.0, found.items), (2.0, own), *((2.0 / len(like), one) for one in like)])
        beside = {item: "Because it is like what you looked at" for some in like for item in some}
        beside |= dict.fromkeys(own, "Because you looked at it")
        served_by = f"taste and {found.served_by}"
        return replace(found, items=items[:k], scores=scores[:k], served_by=served_by, beside=beside)

    def _without_member(
        self, task: str, row: int, k: int, day: float, repeats: Repeats, allowed: Flags
    ) -> Recommendation:
        """Popular products in place of a ranking that failed; an ensemble has counted its members itself."""
        member = self.members[task]
        if not isinstance(member, Fused):
            self.dropped.setdefault(task, Counter())[member.name, "failed"] += 1
        items, scores = self._popular(k, allowed, without=self._bought(row) if repeats == "exclude" else [])
        reason = f"{member.name}, which ranks, failed (the service's log says why); popular products stand in"
        return Recommendation(items, scores, "popular", False, day, len(items), True, reason)

    def _selling(self, allowed: Flags) -> Flags:
        """What sold within a year, or came after the bulk data."""
        allowed, sold = allowed.copy(), self.state.facts.sold_in_year
        allowed[: len(sold)] &= sold
        return allowed

    def _known(self, row: int) -> bool:
        """Whether a customer ever did something; having been shown products is nothing."""
        offsets, live = self.state.shop.offsets, self.state.live
        if row < 0:
            return False
        if row + 1 < len(offsets) and (self.state.shop.lines.kind[offsets[row] : offsets[row + 1]] != _SHOWN).any():
            return True
        return row in live and bool((live[row].kind != _SHOWN).any())

    def _bought(self, row: int) -> list[int]:
        own = self.state.history(row)
        bought: list[int] = np.unique(own.item[own.purchase]).tolist()
        return bought

    def _fill(self, found: Recommendation, row: int, k: int, allowed: Flags, repeats: Repeats) -> Recommendation:
        """Add popular products to a list that is too short; never what the customer must not see again."""
        bought = self._bought(row) if repeats == "exclude" else []
        items, _ = self._popular(k - len(found.items), allowed, without=[*found.items, *bought])
        low = min(found.scores, default=0.0)
        filled = replace(
            found, items=[*found.items, *items], scores=[*found.scores, *[low] * len(items)], filled=len(items)
        )
        if found.items or not items:
            return filled
        reason = "no product that is ranked for this customer may be shown; popular ones that may stand in"
        return replace(filled, served_by="popular", fallback=True, reason=reason)

    def _completed(
        self, found: Recommendation, row: int, k: int, repeats: Repeats, permitted: Permitted, rules: Rules
    ) -> Recommendation:
        """Where what ranks and what is popular is too little: what sold within a year, then what is new."""
        usable = permitted.mask.copy()
        usable[[*found.items, *(self._bought(row) if repeats == "exclude" else [])]] = False
        items, sold = self._rest(usable, k - len(found.items), row, found.when)
        if found.items:
            scores = [*found.scores, *[min(found.scores)] * len(items)]
            filled = 0 if found.cold_start else found.filled + len(items)
            return replace(found, items=[*found.items, *items], scores=scores, filled=filled)
        if items:
            because = "no product that is ranked or popular may be shown; what sold within a year or is new stands in"
            reason = found.reason or because
            filled = 0 if found.cold_start else len(items)
            found = replace(found, items=items, scores=sold, filled=filled, fallback=True)
        elif permitted.mask.any():
            reason = "no product may be shown: the customer has bought all that might be"
        else:
            reason = self.arranger.why_nothing(rules, permitted.base)
        return replace(found, served_by="popular", reason=reason)

    def _with_newcomers(self, found: Recommendation, row: int, allowed: Flags) -> Recommendation:
        """Behind what is ranked, products that nobody has bought yet; freshness decides how far they move up."""
        if found.fallback:
            return found
        facts, unsold = self.state.facts, allowed.copy()
        unsold[: facts.num_items] &= np.isnan(facts.first_sold[: len(allowed)])
        unsold[[*found.items, *(item for item in list(self.state.live.items_sold) if item < len(unsold))]] = False
        new = self._by_content(np.flatnonzero(unsold), row, found.when)[:MOST_NEWCOMERS].tolist()
        own, low = len(found.items) - found.filled, min(found.scores, default=0.0)
        items = [*found.items[:own], *new, *found.items[own:]]
        scores = [*found.scores[:own], *[low] * len(new), *found.scores[own:]]
        beside = {**found.beside, **dict.fromkeys(new, "Because it is new")}
        return replace(found, items=items, scores=scores, beside=beside)

    def _by_content(self, rows: Rows, customer: int, day: float) -> Rows:
        """Products in the order of how near they are to what a customer likes; newest first where that is unknown."""
        created = np.nan_to_num(self.arranger.created()[rows], nan=-np.inf)
        rows = rows[np.argsort(-created, kind="stable")][:MOST_COMPARED]
        if not self._known(customer):
            return rows
        liked, unit = Liked.by(self.state.history(customer), day), self.similar_items.vectors(self.state.shop)
        near = nearness(rows, liked, unit=unit, catalogue=self.state.catalogue)
        return rows if near is None else rows[np.argsort(-near.scores, kind="stable")]

    def _rest(self, usable: Flags, k: int, row: int, day: float) -> tuple[list[int], list[float]]:
        """The best sellers of a year; then what did not sell, nearest to the customer's taste first."""
        sold, created = self._sold(len(usable), 365.0), np.nan_to_num(self.arranger.created(), nan=-np.inf)
        rows = np.flatnonzero(usable & (sold > 0))
        top = rows[np.lexsort((-created[rows], -sold[rows]))[:k]]
        if len(top) < k:
            unsold = self._by_content(np.flatnonzero(usable & (sold == 0)), row, day)
            top = np.append(top, unsold[: k - len(top)])
        return top.tolist(), sold[top].tolist()

    def _sold(self, count: int, days: float) -> F64:
        """(count,) baskets of the last days, live purchases included."""
        facts, sold = self.state.facts, np.zeros(count)
        sold[: facts.num_items] = facts.buyers(days)[:count]
        for item, number in list(self.state.live.items_sold.items()):
            if item < count:  # else it came after the mask was made
                sold[item] += number
        return sold


def _rows(rows: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(rows, dtype=np.int32)


def _one(answer: Prediction, number: int) -> dict[str, Any]:
    if isinstance(answer, Numbers):
        return {name: float(column[number]) for name, column in answer.columns.items()}
    if isinstance(answer, Classes):
        return {
            name: dict(zip(values, answer.probabilities[name][number].tolist(), strict=True))
            for name, values in answer.values.items()
        }
    kept = answer.items[number] >= 0
    return {"items": answer.items[number][kept].tolist(), "scores": answer.scores[number][kept].tolist()}


def _unused(shop: ShopArrays, name: str) -> str:
    while name in shop.items:
        name += "'"
    return name
