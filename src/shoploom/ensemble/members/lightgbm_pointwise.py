"""LightGBM on single candidates: the probability of each instead of the order of all, over the same examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.lightgbm_ranker import boosted, load_boosted, save_boosted
from shoploom.ensemble.members.ranking_examples import Shortlister
from shoploom.ensemble.members.trees import Trees
from shoploom.tasks.base import Cases, Ranked, Task

PARAMS: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 31,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
}
ROUNDS: Final = 80


class LightgbmPointwise:
    """The binary sibling of ``lightgbm_ranker``.

    Its scores grow with the probability, alike for all customers. Where the other learns with the same objective
    (``new_for_you``), this one differs by larger trees on fewer features.

    References:
        Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS.
    """

    name: ClassVar[str] = "lightgbm_pointwise"

    def __init__(self) -> None:
        self.shortlister: Shortlister | None = None
        self.trees: Trees | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from earlier cuts, then remember the products as of now."""
        self.shortlister = Shortlister.fit(shop, task, seed=seed)
        examples = self.shortlister.examples(shop, task, seed=seed)
        self.trees = None if examples is None else boosted(examples, rounds=ROUNDS, seed=seed, params=PARAMS)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The candidates with the highest probability."""
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
