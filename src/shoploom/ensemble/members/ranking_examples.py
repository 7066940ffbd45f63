"""Candidates with features, asked about now or labelled at earlier cuts: what members that learn to rank are made of.

They differ in the model alone. Examples of earlier cuts are made in the way in which candidates are then scored.
"""

# Shapes: B cases, n candidates of all cases, F features

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, ShopArrays
from shoploom.data.arrays import Plan as Promotions
from shoploom.data.keys import Rows, distinct, find
from shoploom.ensemble.members.personal_frequency import latest
from shoploom.ensemble.members.storage import Arrays
from shoploom.features.basket_features import Candidates, Question, Reach, ShelfState, candidates, matrix
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.neighbours import HALF_LIFE_COLUMN, Neighbours
from shoploom.features.pairs import pairs_of
from shoploom.features.popularity import PlanGrid
from shoploom.features.shortlist import best, excludes, rules_of
from shoploom.features.trips import ItemTrips, Trips
from shoploom.tasks.base import Cases, Ranked, Task

MOST_CUTS: Final = 16
WRONG_SHARE: Final = 0.35
"""Share of wrong candidates that are learned from: many cuts with some of them teach more than few cuts with all
(ndcg@10 .218 against .214 on The Complete Journey) in the same time."""
PART: Final = 8
Scorer = Callable[[F32], F64]
"""(n,) scores of features (n, F)."""


@dataclass(frozen=True)
class Recipe:
    """How candidates are found and where examples come from.

    Args:
        reach: Candidates per case.
        first: Days before the end of the latest cut; others follow every ``step`` days, up to ``MOST_CUTS``.
        step: Days between cuts.
        rows: Candidates that are looked at, wrong ones that are left out included; one cut gives a ``PART``th at most.
        weeks: Blocks of promotions ahead that count.
    """

    reach: Reach
    first: float
    step: float
    rows: int
    weeks: int

    @classmethod
    def of(cls, shop: ShopArrays, *, new_only: bool) -> Recipe:
        """An order is soon followed by the next, discoveries take a whole horizon to show."""
        horizon, blocks = float(shop.clock.horizon_days), shop.clock.num_blocks
        step = horizon / 4
        if new_only:
            return cls(Reach(own=0, popular=100, near=60), horizon, step, 720_000, blocks)
        return cls(Reach(own=150, popular=60, near=0), step, step, 720_000, 0)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Recipe:
        """The inverse of ``asdict``; versions up to 0.1 saved more."""
        known = {one.name: saved[one.name] for one in fields(cls)}
        return cls(**(known | {"reach": Reach(**saved["reach"])}))


@dataclass(frozen=True)
class Examples:
    """Labelled candidates: ``features`` (n, F), ``labels`` (n,) 0 or 1, ``groups`` candidates of consecutive cases."""

    features: F32
    labels: NDArray[np.int8]
    groups: Rows


class Shortlister:
    """Finds candidates, says what is known of them, and makes lists of those that a scorer likes best.

    For ``new_for_you`` the candidates are goods that the customer never bought. Customers without any history get
    the popular products.

    Args:
        recipe: Reach, and where examples come from.
        new_only: Whether only goods count, and bought ones are left out unless a case says otherwise.
        sold: Popular products.
        state: Products as of ``origin``.
        origin: Moment from which blocks of the promotion plan are counted.
    """

    def __init__(self, recipe: Recipe, *, new_only: bool, sold: Bestsellers, state: ShelfState, origin: float) -> None:
        self.recipe = recipe
        self.new_only = new_only
        self.sold = sold
        self.state = state
        self.origin = origin
        self._grid: tuple[Promotions, PlanGrid] | None = None

    @classmethod
    def fit(cls, shop: ShopArrays, task: Task, *, seed: int) -> Shortlister:
        """Remember the products as of now."""
        new_only = task.name == "new_for_you"
        return cls(
            Recipe.of(shop, new_only=new_only),
            new_only=new_only,
            sold=Bestsellers.orders(shop, goods_only=new_only),
            state=ShelfState.fit(shop, goods_only=new_only, timed=not new_only, seed=seed),
            origin=shop.end,
        )

    def ranked(self, shop: ShopArrays, cases: Cases, scorer: Scorer | None) -> Ranked:
        """The candidates with the highest score; without a scorer own products, then popular ones."""
        question, chosen = self._candidates(shop, cases, self.state)
        score = self._popularity(question, chosen)
        known = question.pairs.orders.count[chosen.row] > 0
        if scorer is not None and known.any():
            mine = Candidates(chosen.row[known], chosen.item[known], chosen.near[known])
            score[known] = scorer(self._features(shop, question, mine, self.state))
        return best(len(cases), chosen.row, chosen.item, score, cases.k)

    def examples(self, shop: ShopArrays, task: Task, *, seed: int) -> Examples | None:
        """Of the cuts of the recipe, the latest first; None with too little history."""
        found: list[Examples] = []
        for number in range(MOST_CUTS):
            one = self._labelled(shop, task, self.recipe.first + number * self.recipe.step, seed)
            found += [one] if one is not None else []
        if not found:
            return None
        return Examples(*(np.concatenate([getattr(one, name.name) for one in found]) for name in fields(Examples)))

    def _labelled(self, shop: ShopArrays, task: Task, days: float, seed: int) -> Examples | None:
        """The cases at an earlier cut; cases without a hit teach nothing."""
        past = shop.before(shop.end - days)
        if not (past.lines.purchase & (past.lines.customer >= 0)).any():
            return None
        cases = task.cases(past, shop.between(past.end, min(shop.end, past.end + shop.clock.horizon_days)))
        if cases.truth is None or cases.truth.offsets is None or cases.truth.items is None or not len(cases):
            return None
        cases = self._some(cases, seed)
        state = ShelfState.fit(past, goods_only=self.new_only, timed=self.state.trips is not None, seed=seed)
        question, chosen = self._candidates(past, cases, state)
        assert cases.truth is not None
        assert cases.truth.offsets is not None
        assert cases.truth.items is not None
        owner = np.repeat(np.arange(len(cases)), np.diff(cases.truth.offsets))
        truth = distinct(owner * len(shop.items) + cases.truth.items)
        labels = find(truth, chosen.row * len(shop.items) + chosen.item) >= 0
        useful = np.flatnonzero(np.bincount(chosen.row[labels], minlength=len(cases)))
        if not len(useful):
            return None
        most = int(self.recipe.rows / PART / max(len(chosen.row) / len(cases), 1.0))
        if len(useful) > most:
            useful = np.sort(np.random.default_rng(seed).choice(useful, max(most, 1), replace=False))
        kept = find(useful, chosen.row) >= 0
        kept &= labels | (np.random.default_rng([seed, int(days)]).random(len(labels)) < WRONG_SHARE)
        mine = Candidates(chosen.row[kept], chosen.item[kept], chosen.near[kept])
        features = self._features(past, question, mine, state)
        return Examples(features, labels[kept].astype(np.int8), np.bincount(mine.row, minlength=len(cases))[useful])

    def _some(self, cases: Cases, seed: int) -> Cases:
        """Of many cases those that are looked at: one cut gives a part of the rows, most cases 100 or so."""
        assert cases.truth is not None
        assert cases.truth.offsets is not None
        rows = np.flatnonzero(np.diff(cases.truth.offsets))
        most = max(1, self.recipe.rows // (100 * PART))
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
        return cases.take(rows)

    def _candidates(self, shop: ShopArrays, cases: Cases, state: ShelfState) -> tuple[Question, Candidates]:
        count, histories = len(shop.items), shop.histories(cases.units)
        as_of = latest(shop, histories)
        when = np.full(len(cases), as_of) if cases.when is None else np.maximum(cases.when, as_of)
        kept = histories.lines.purchase & histories.lines.goods if self.new_only else None
        pairs = pairs_of(histories, when, num_items=count, timezone=shop.timezone, kept=kept)
        exclude = excludes(cases, by_default=self.new_only)
        rules = rules_of(cases, histories, self.sold.merchandise(count), count, exclude=exclude)
        trips = None
        if state.trips is not None:
            trips = Trips.of(histories, pairs.keys, when, num_items=count, timezone=shop.timezone, kept=kept)
        question = Question(pairs, shop.persons(cases.units), when, as_of, rules, trips)
        reach = replace(self.recipe.reach, popular=max(self.recipe.reach.popular, cases.k))
        return question, candidates(question, state, reach)

    def _features(self, shop: ShopArrays, question: Question, chosen: Candidates, state: ShelfState) -> F32:
        if self._grid is None or self._grid[0] is not shop.plan:
            self._grid = (shop.plan, PlanGrid(replace(shop, end=self.origin)))
        return matrix(question, state, chosen, self._grid[1], weeks=self.recipe.weeks)

    def _popularity(self, question: Question, chosen: Candidates) -> F64:
        """Scores without a scorer: own decayed counts, then popular products; a scorer replaces them per case."""
        place = question.pairs.find(chosen.row, chosen.item)
        own = np.zeros(len(place))
        own[place >= 0] = question.pairs.decays[place[place >= 0], HALF_LIFE_COLUMN]
        return own + chosen.near + 1e-3 * self.sold.shares(question.pairs.num_items)[chosen.item]

    def settings(self) -> dict[str, Any]:
        """For storage, beside ``arrays``."""
        width = int(self.state.near.vectors.shape[1])
        return {"new_only": self.new_only, "origin": self.origin, "recipe": asdict(self.recipe), "width": width}

    def arrays(self) -> Arrays:
        """Product statistics and reference customers."""
        vectors = self.state.near.vectors
        found: Arrays = {f"sold.{name}": one for name, one in self.sold.arrays().items()}
        found |= {"stats": self.state.stats, "groups": self.state.groups, "popular": self.state.popular}
        found |= {"data": vectors.data, "indices": vectors.indices.astype(np.int32)}
        found |= {"indptr": vectors.indptr.astype(np.int64), "customers": self.state.near.customers}
        if self.state.trips is not None:
            found |= {f"trips.{name}": one for name, one in self.state.trips.arrays().items()}
        return found

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Shortlister:
        """The inverse of ``settings`` and ``arrays``; other entries do not matter."""
        shape = (len(arrays["customers"]), settings["width"])
        vectors = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        near = Neighbours(vectors, arrays["customers"])
        sold, trips = _under("sold.", arrays), _under("trips.", arrays)
        return cls(
            Recipe.from_dict(settings["recipe"]),
            new_only=settings["new_only"],
            sold=Bestsellers.from_arrays(sold),
            state=ShelfState(
                arrays["stats"],
                arrays["groups"],
                arrays["popular"],
                near,
                ItemTrips.from_arrays(trips) if trips else None,
            ),
            origin=settings["origin"],
        )


def _under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
