"""LightGBM (LambdaMART) over each customer's own, popular and neighbours' products: the strongest basket rival.

It learns from earlier cuts of the same shop in the way it is then used, and needs no graph and no embedding.
"""

# Shapes: B cases, n candidates of all cases, F features

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, ShopArrays
from shoploom.data.arrays import Plan as Promotions
from shoploom.data.keys import Rows, distinct, find
from shoploom.ensemble.members.personal_frequency import latest
from shoploom.ensemble.members.storage import Arrays, load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.features.basket_features import Candidates, Question, Reach, ShelfState, candidates, matrix
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.neighbours import HALF_LIFE_COLUMN, Neighbours
from shoploom.features.pairs import pairs_of
from shoploom.features.popularity import PlanGrid
from shoploom.features.shortlist import best, excludes, rules_of
from shoploom.tasks.base import Cases, Ranked, Task

FILE: Final = "trees.txt"
MOST_CUTS: Final = 8
PARAMS: Final[dict[str, Any]] = {
    "learning_rate": 0.08,
    "num_leaves": 15,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambdarank_truncation_level": 30,
    "max_bin": 127,
}


@dataclass(frozen=True)
class Recipe:
    """How a task is learned.

    Args:
        reach: Candidates per case.
        rounds: Number of trees.
        first: Days before the end of the latest cut; others follow every ``step`` days, up to ``MOST_CUTS``.
        step: Days between cuts.
        rows: Training rows after which no further cut is made; one cut gives at most a quarter.
        weeks: Blocks of promotions ahead that count.
        objective: LightGBM's. Discoveries are few and scattered: there plain probabilities rank as well as
            LambdaMART (recall@20 0.0288 against 0.0281 on The Complete Journey) in half the time.
    """

    reach: Reach
    rounds: int
    first: float
    step: float
    rows: int
    weeks: int
    objective: str

    @classmethod
    def of(cls, shop: ShopArrays, *, new_only: bool) -> Recipe:
        """An order is soon followed by the next, discoveries take a whole horizon to show."""
        horizon, blocks = float(shop.clock.horizon_days), shop.clock.num_blocks
        step = horizon / 4
        if new_only:
            return cls(Reach(own=0, popular=100, near=60), 80, horizon, step, 240_000, blocks, "binary")
        return cls(Reach(own=150, popular=60, near=0), 100, step, step, 360_000, 0, "lambdarank")


class LightgbmRanker:
    """LambdaMART on habits, recency, categories, neighbours and the promotion plan.

    For ``new_for_you`` the candidates are goods that the customer never bought. Customers without any history get
    the popular products, and so does everybody while there is too little history to learn from.

    References:
        Burges 2010, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82.
    """

    name: ClassVar[str] = "lightgbm_ranker"

    def __init__(self) -> None:
        self.new_only = False
        self.recipe: Recipe | None = None
        self.state: ShelfState | None = None
        self.sold: Bestsellers | None = None
        self.trees: Trees | None = None
        self.origin = 0.0
        self._grid: tuple[Promotions, PlanGrid] | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from the cuts of the recipe, then remember the products as of now."""
        self.new_only = task.name == "new_for_you"
        self.recipe = Recipe.of(shop, new_only=self.new_only)
        self.trees, self._grid, self.origin = None, None, shop.end
        self.sold = Bestsellers.orders(shop, goods_only=self.new_only)
        found = self._examples(shop, task, seed)
        if found:
            features, labels, groups = (np.concatenate(column) for column in zip(*found, strict=True))
            least, objective = int(np.clip(len(labels) // 300, 5, 1000)), self.recipe.objective
            self.trees = Trees.train(
                features,
                labels,
                rounds=self.recipe.rounds,
                seed=seed,
                params=PARAMS | {"min_data_in_leaf": least, "objective": objective},
                groups=groups if objective == "lambdarank" else None,
            )
        self.state = ShelfState.fit(shop, goods_only=self.new_only, seed=seed)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The candidates with the highest score."""
        assert self.state is not None, "fit or load first"
        question, chosen = self._candidates(shop, cases, self.state)
        score = self._popularity(question, chosen)
        known = question.pairs.orders.count[chosen.row] > 0
        if self.trees is not None and known.any():
            mine = Candidates(chosen.row[known], chosen.item[known], chosen.near[known])
            score[known] = self.trees(self._features(shop, question, mine, self.state))
        return best(len(cases), chosen.row, chosen.item, score, cases.k)

    def _examples(self, shop: ShopArrays, task: Task, seed: int) -> list[tuple[F32, NDArray[np.int8], Rows]]:
        """The latest cut first, until there are rows enough."""
        assert self.recipe is not None, "fit or load first"
        found: list[tuple[F32, NDArray[np.int8], Rows]] = []
        for number in range(MOST_CUTS):
            one = self._labelled(shop, task, self.recipe.first + number * self.recipe.step, seed)
            found += [one] if one is not None else []
            if sum(len(labels) for _, labels, _ in found) >= 0.9 * self.recipe.rows:
                break
        return found

    def _labelled(
        self, shop: ShopArrays, task: Task, days: float, seed: int
    ) -> tuple[F32, NDArray[np.int8], Rows] | None:
        """Features, labels and group sizes of the cases at an earlier cut; cases without a hit teach nothing."""
        assert self.recipe is not None, "fit or load first"
        past = shop.before(shop.end - days)
        if not (past.lines.purchase & (past.lines.customer >= 0)).any():
            return None
        cases = task.cases(past, shop.between(past.end, min(shop.end, past.end + shop.clock.horizon_days)))
        if cases.truth is None or cases.truth.offsets is None or cases.truth.items is None or not len(cases):
            return None
        cases = self._some(cases, seed)
        state = ShelfState.fit(past, goods_only=self.new_only, seed=seed)
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
        most = int(self.recipe.rows / 4 / max(len(chosen.row) / len(cases), 1.0))
        if len(useful) > most:
            useful = np.sort(np.random.default_rng(seed).choice(useful, max(most, 1), replace=False))
        kept = find(useful, chosen.row) >= 0
        mine = Candidates(chosen.row[kept], chosen.item[kept], chosen.near[kept])
        features = self._features(past, question, mine, state)
        return features, labels[kept].astype(np.int8), np.bincount(mine.row, minlength=len(cases))[useful]

    def _some(self, cases: Cases, seed: int) -> Cases:
        """Of many cases those that are looked at: one cut gives at most a quarter of the rows, most cases 100 or so."""
        assert self.recipe is not None, "fit or load first"
        assert cases.truth is not None
        assert cases.truth.offsets is not None
        rows = np.flatnonzero(np.diff(cases.truth.offsets))
        most = max(1, self.recipe.rows // 400)
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
        return cases.take(rows)

    def _candidates(self, shop: ShopArrays, cases: Cases, state: ShelfState) -> tuple[Question, Candidates]:
        assert self.recipe is not None, "fit or load first"
        assert self.sold is not None, "fit or load first"
        count, histories = len(shop.items), shop.histories(cases.units)
        as_of = latest(shop, histories)
        when = np.full(len(cases), as_of) if cases.when is None else np.maximum(cases.when, as_of)
        kept = histories.lines.purchase & histories.lines.goods if self.new_only else None
        pairs = pairs_of(histories, when, num_items=count, timezone=shop.timezone, kept=kept)
        exclude = excludes(cases, by_default=self.new_only)
        rules = rules_of(cases, histories, self.sold.merchandise(count), count, exclude=exclude)
        question = Question(pairs, shop.persons(cases.units), when, as_of, rules)
        reach = replace(self.recipe.reach, popular=max(self.recipe.reach.popular, cases.k))
        return question, candidates(question, state, reach)

    def _features(self, shop: ShopArrays, question: Question, chosen: Candidates, state: ShelfState) -> F32:
        assert self.recipe is not None, "fit or load first"
        if self._grid is None or self._grid[0] is not shop.plan:
            self._grid = (shop.plan, PlanGrid(replace(shop, end=self.origin)))
        return matrix(question, state, chosen, self._grid[1], weeks=self.recipe.weeks)

    def _popularity(self, question: Question, chosen: Candidates) -> F64:
        """Scores without trees: own decayed counts, then popular products; trees' scores replace them per case."""
        assert self.sold is not None, "fit or load first"
        place = question.pairs.find(chosen.row, chosen.item)
        own = np.zeros(len(place))
        own[place >= 0] = question.pairs.decays[place[place >= 0], HALF_LIFE_COLUMN]
        return own + chosen.near + 1e-3 * self.sold.shares(question.pairs.num_items)[chosen.item]

    def save(self, folder: Path) -> None:
        """Product statistics and reference customers as arrays, the trees as LightGBM's text."""
        assert self.state is not None, "fit first"
        assert self.sold is not None, "fit first"
        assert self.recipe is not None, "fit first"
        vectors = self.state.near.vectors
        settings: dict[str, Any] = {"new_only": self.new_only, "origin": self.origin, "fitted": self.trees is not None}
        settings |= {"recipe": asdict(self.recipe), "width": int(vectors.shape[1])}
        arrays: Arrays = {f"sold.{name}": one for name, one in self.sold.arrays().items()}
        arrays |= {"stats": self.state.stats, "groups": self.state.groups, "popular": self.state.popular}
        arrays |= {"data": vectors.data, "indices": vectors.indices.astype(np.int32)}
        arrays |= {"indptr": vectors.indptr.astype(np.int64), "customers": self.state.near.customers}
        save_state(folder, settings, arrays)
        if self.trees is not None:
            self.trees.save(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.new_only, member.origin = settings["new_only"], settings["origin"]
        recipe = settings["recipe"]
        member.recipe = Recipe(**(recipe | {"reach": Reach(**recipe["reach"])}))
        shape = (len(arrays["customers"]), settings["width"])
        vectors = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        near = Neighbours(vectors, arrays["customers"])
        member.state = ShelfState(arrays["stats"], arrays["groups"], arrays["popular"], near)
        prefix = "sold."
        sold = {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
        member.sold = Bestsellers.from_arrays(sold)
        member.trees = Trees.load(folder / FILE) if settings["fitted"] else None
        return member
