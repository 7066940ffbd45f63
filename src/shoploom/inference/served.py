"""One model version that answers questions about a shop: the members that won their task, and the facts beside them."""

# Shapes: I items, W blocks, V values of an attribute

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import F64, Flags, ShopArrays
from shoploom.data.vocabulary import Vocabulary
from shoploom.ensemble.members.base import Member
from shoploom.errors import NotFoundError, unknown_name
from shoploom.inference.catalogue import Filters
from shoploom.inference.reasons import Reason
from shoploom.inference.shared_cache import reread, undisturbed
from shoploom.inference.similar import HasItemVectors, Similar, SimilarItems
from shoploom.inference.state import ShopState
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction, Ranked, Repeats, Task

CACHED_ANSWERS = 50_000


@dataclass(frozen=True)
class Recommendation:
    """A list for one customer: item rows and scores, best first.

    Args:
        served_by: The member that ranked, or ``popular``.
        cold_start: Whether nothing is known about the customer, so that everybody's favourites are shown.
        when: Day as of which is answered.
        filled: How many of the last items come from the popular ones, the ranking being too short.
    """

    items: list[int]
    scores: list[float]
    served_by: str
    cold_start: bool
    when: float
    filled: int = 0


class Served:
    """Answers from one published version. All methods may be called from several threads.

    Args:
        version: Name of the version; every answer carries it.
        manifest: As the registry gives it.
        members: The serving member of each task.
        state: The shop.
        vectors: A member with item vectors for similar products, if the version has one.
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
        self._locks = {name: threading.Lock() for name in members}
        self._answers: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._answers_lock = threading.Lock()
        self._quoted: Vocabulary | None = None  # the products and one that is asked about; copied when there are more

    def recommend(
        self,
        customer: str | None,
        *,
        k: int = 20,
        when: float | None = None,
        repeats: Repeats = "auto",
        filters: Filters | None = None,
    ) -> Recommendation:
        """Products for the next visit of a customer; everybody's favourites for an unknown one."""
        state = self.state
        row = state.customer(customer) if customer is not None else -1
        allowed = state.allowed(filters or Filters())
        day = state.now(row) if when is None else when
        task = "new_for_you" if repeats == "exclude" and "new_for_you" in self.members else "next_basket"
        if task not in self.members or not state.num_lines(row):
            items, scores = self._popular(k, allowed)
            return Recommendation(items, scores, "popular", True, day)
        cases = Cases(_rows([row]), when=np.array([day]), k=k, repeats=repeats, allowed=allowed)
        ranked = self._ask(task, cases)
        assert isinstance(ranked, Ranked), f"{task} is served by a member that does not rank"
        pairs = [
            (int(item), float(score))
            for item, score in zip(ranked.items[0], ranked.scores[0], strict=True)
            if 0 <= item < len(allowed) and allowed[item]
        ][:k]
        name = type(self.members[task]).name
        found = Recommendation([a for a, _ in pairs], [b for _, b in pairs], name, False, day)
        return found if len(pairs) == k else self._fill(found, row, k, allowed, repeats)

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
        place = np.lexsort((-rows, -day[rows]))[:k]
        return rows[place].tolist(), [float(one) for one in day[rows[place]]]

    def similar(self, item: int, *, k: int, filters: Filters) -> Similar:
        """Products like a product, among those that sell."""
        allowed = self.state.allowed(filters).copy()
        sold = self.state.facts.sold_in_year
        allowed[: len(sold)] &= sold
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
        facts = self.state.facts
        scores: F64 = np.zeros(len(allowed))
        scores[: facts.num_items] = facts.buyers(days)
        for item, number in list(self.state.live.items_sold.items()):
            scores[item] += number
        usable = allowed & (scores > 0)
        usable[list(without)] = False
        rows = np.flatnonzero(usable)
        top = rows[np.argsort(-scores[rows], kind="stable")[:k]]
        return top.tolist(), [float(one) for one in scores[top]]

    def _fill(self, found: Recommendation, row: int, k: int, allowed: Flags, repeats: Repeats) -> Recommendation:
        """Add popular products to a list that is too short; never what the customer must not see again."""
        own = self.state.history(row)
        bought = own.item[own.purchase].tolist() if repeats == "exclude" else []
        items, _ = self._popular(k - len(found.items), allowed, without=[*found.items, *bought])
        low = min(found.scores, default=0.0)
        return replace(
            found, items=[*found.items, *items], scores=[*found.scores, *[low] * len(items)], filled=len(items)
        )


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
