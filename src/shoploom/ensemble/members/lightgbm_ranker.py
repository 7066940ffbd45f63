"""LightGBM (LambdaMART) over each customer's own, popular and neighbours' products: the strongest basket rival.

It learns from earlier cuts of the same shop in the way it is then used, and needs no graph and no embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.ranking_examples import Examples, Shortlister
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.tasks.base import Cases, Ranked, Task

FILE: Final = "trees.txt"
PARAMS: Final[dict[str, Any]] = {
    "learning_rate": 0.06,
    "num_leaves": 15,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambdarank_truncation_level": 30,
    "max_bin": 127,
}
OBJECTIVE: Final = {"next_basket": "lambdarank", "new_for_you": "binary"}
"""Discoveries are few and scattered: there plain probabilities rank as well as LambdaMART (recall@20 0.0288 against
0.0281 on The Complete Journey) in half the time."""
ROUNDS: Final = {"next_basket": 160, "new_for_you": 110}


class LightgbmRanker:
    """LambdaMART on habits, recency, categories, neighbours, the promotion plan and the kind of trip.

    Everybody gets own and popular products while there is too little history to learn from.

    References:
        Burges 2010, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82.
    """

    name: ClassVar[str] = "lightgbm_ranker"

    def __init__(self) -> None:
        self.shortlister: Shortlister | None = None
        self.trees: Trees | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from earlier cuts, then remember the products as of now."""
        self.shortlister = Shortlister.fit(shop, task, seed=seed)
        examples = self.shortlister.examples(shop, task, seed=seed)
        self.trees = None
        if examples is not None:
            objective = OBJECTIVE[task.name]
            self.trees = boosted(
                examples, rounds=ROUNDS[task.name], seed=seed, params=PARAMS | {"objective": objective}
            )

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The candidates with the highest score."""
        assert self.shortlister is not None, "fit or load first"
        return self.shortlister.ranked(shop, cases, self.trees)

    def save(self, folder: Path) -> None:
        """Product statistics and reference customers as arrays, the trees as LightGBM's text."""
        assert self.shortlister is not None, "fit first"
        save_boosted(folder, self.shortlister, self.trees)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        member = cls()
        member.shortlister, member.trees = load_boosted(folder)
        return member


def boosted(examples: Examples, *, rounds: int, seed: int, params: dict[str, Any]) -> Trees:
    """Trees over the examples; leaves hold at least one in 300 of them."""
    least = int(np.clip(len(examples.labels) // 300, 5, 1000))
    return Trees.train(
        examples.features,
        examples.labels,
        rounds=rounds,
        seed=seed,
        params=params | {"min_data_in_leaf": least},
        groups=examples.groups if params["objective"] == "lambdarank" else None,
    )


def save_boosted(folder: Path, shortlister: Shortlister, trees: Trees | None) -> None:
    """Write a member that is made of a shortlister and trees."""
    save_state(folder, shortlister.settings() | {"fitted": trees is not None}, shortlister.arrays())
    if trees is not None:
        trees.save(folder / FILE)


def load_boosted(folder: Path) -> tuple[Shortlister, Trees | None]:
    """The inverse of ``save_boosted``."""
    settings, arrays = load_state(folder)
    trees = Trees.load(folder / FILE) if settings["fitted"] else None
    return Shortlister.from_state(settings, arrays), trees
