"""Stacking: LightGBM learns from what every member says, and from the context."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F32, F64, Flags
from shoploom.ensemble.fusions.pool import CLIP, Pool, normalised, useful
from shoploom.ensemble.members.storage import Arrays
from shoploom.ensemble.members.trees import Trees

ROUNDS = 120
MOST_ROWS = 120_000
PARAMS: dict[str, Any] = {
    "objective": "lambdarank",
    "learning_rate": 0.08,
    "num_leaves": 15,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambdarank_truncation_level": 30,
    "max_bin": 127,
}


class Stacking:
    """LambdaMART on standardised scores and credits of every member, and on the context.

    The members' lists must come from before the labels: that makes them out-of-fold. The answer can only rise with
    what a member says: trees that are free to do otherwise read from a popularity which item it is, and learn by heart
    what sold in the weeks of the labels.

    References:
        Wolpert 1992, "Stacked generalization", Neural Networks 5; Burges 2010, MSR-TR-2010-82 (LambdaMART).
    """

    name: ClassVar[str] = "stacking"

    def __init__(self) -> None:
        self.trees: Trees | None = None

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Boost."""
        pool, relevant = useful(pool, relevant, seed, most=MOST_ROWS)
        self.trees = None
        if pool.cases:
            least = int(np.clip(len(pool) // 300, 5, 500))
            self.trees = Trees.train(
                _features(pool),
                relevant.astype(np.int8),
                rounds=ROUNDS,
                seed=seed,
                params=PARAMS | {"min_data_in_leaf": least, "monotone_constraints": _rising(pool)},
                groups=np.bincount(pool.row, minlength=pool.cases),
            )

    def score(self, pool: Pool) -> F64:
        """(n,) the trees' answer; mean credit where nothing could be learned."""
        if self.trees is None:
            return np.asarray(pool.credit().mean(axis=1), dtype=np.float64)
        return self.trees(_features(pool))

    def shares(self, pool: Pool) -> F64:
        """(n, M) sum of the absolute TreeSHAP values of each member's columns.

        References:
            Lundberg et al. 2020, "From local explanations to global understanding", Nature MI 2.
        """
        if self.trees is None:
            return normalised(pool.credit().astype(np.float64))
        width = len(pool.members)
        parts = np.abs(self.trees.contributions(_features(pool)))
        return normalised(parts[:, :width] + parts[:, width : 2 * width])

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The trees as text."""
        return {"trees": None if self.trees is None else self.trees.text}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """The saved trees."""
        del arrays
        one = cls()
        one.trees = None if settings["trees"] is None else Trees(settings["trees"])
        return one


def _rising(pool: Pool) -> list[int]:
    """1 for each column that a member fills, 0 for the context's."""
    return [1] * (2 * len(pool.members)) + [0] * pool.context.shape[1]


def _features(pool: Pool) -> F32:
    """(n, 2 M + S): where a member says nothing its score is below all others, and its credit 0."""
    score = np.where(pool.rank > 0, pool.score, -CLIP - 1.0)
    return np.concatenate([score, pool.credit(), pool.context], axis=1, dtype=np.float32)
