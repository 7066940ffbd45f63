"""Logistic regression over the candidates of ``lightgbm_ranker``: a tenth of its time, and seldom much worse."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.ranking_examples import Shortlister
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.binary_regression import BinaryRegression
from shoploom.tasks.base import Cases, Ranked, Task

PENALTY: Final = 1e-4


class LinearRanker:
    """The log odds that a candidate is bought, linear in logs of habits, recency, categories and promotions.

    The same examples, candidates and features as ``lightgbm_ranker``, so the two differ in the model alone. Everybody
    gets own and popular products while there is too little history to learn from.

    References:
        Cooper, Gey and Dabney 1992, "Probabilistic retrieval based on staged logistic regression", SIGIR (pointwise
        ranking by logistic regression).
    """

    name: ClassVar[str] = "linear_ranker"

    def __init__(self) -> None:
        self.shortlister: Shortlister | None = None
        self.model: BinaryRegression | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from earlier cuts, then remember the products as of now."""
        self.shortlister = Shortlister.fit(shop, task, seed=seed)
        examples = self.shortlister.examples(shop, task, seed=seed)
        self.model = None
        if examples is not None and 0 < examples.labels.mean() < 1:
            self.model = BinaryRegression.fit(examples.features, examples.labels, penalty=PENALTY)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The candidates with the highest probability."""
        assert self.shortlister is not None, "fit or load first"
        return self.shortlister.ranked(shop, cases, self.model)

    def save(self, folder: Path) -> None:
        """Product statistics, reference customers and weights as arrays."""
        assert self.shortlister is not None, "fit first"
        arrays = self.shortlister.arrays()
        if self.model is not None:
            arrays |= {f"model.{name}": one for name, one in self.model.arrays().items()}
        save_state(folder, self.shortlister.settings() | {"fitted": self.model is not None}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.shortlister = Shortlister.from_state(settings, arrays)
        if settings["fitted"]:
            prefix = "model."
            own = {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
            member.model = BinaryRegression.from_arrays(own)
        return member
