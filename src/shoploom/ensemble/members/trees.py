"""LightGBM as members use it: deterministic, few threads, kept as LightGBM's own text format."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64

THREADS: ContextVar[int] = ContextVar("threads", default=2)
"""Most threads of a booster; the trees are the same with any number."""
PARAMS: dict[str, Any] = {
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}
SMALL_TRAINING = 1_000_000
"""Up to so many numbers one thread is as quick as two, and far quicker on a busy machine."""
SMALL_BATCH = 5000
"""Up to so many rows one thread is quicker than waking two."""


class Trees:
    """A trained booster that predicts, saves and loads.

    Args:
        text: The model in LightGBM's text format.
    """

    def __init__(self, text: str) -> None:
        import lightgbm

        self.text = text
        self._booster = lightgbm.Booster(model_str=text)

    @classmethod
    def train(
        cls,
        features: NDArray[Any],
        target: NDArray[Any],
        *,
        rounds: int,
        seed: int,
        params: dict[str, Any],
        groups: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        categorical: Sequence[int] = (),
        held: tuple[NDArray[Any], NDArray[Any]] | None = None,
        patience: int = 50,
    ) -> Trees:
        """Boost ``rounds`` trees.

        Args:
            features: (R, F), NaN for missing.
            target: (R,)
            rounds: Number of trees (per class).
            seed: Of bagging and feature sampling.
            params: LightGBM parameters beside ``PARAMS``.
            groups: Sizes of consecutive queries, for ranking objectives.
            weight: (R,) weight of each row; None: all alike.
            categorical: Columns whose values are codes without an order.
            held: Features and target of rows for early stopping; the booster is cut where their loss is lowest.
            patience: Rounds without a lower loss before training ends.
        """
        import lightgbm

        threads = 1 if features.size <= SMALL_TRAINING else THREADS.get()
        options = PARAMS | {"num_threads": threads} | params | {"seed": seed}
        codes: Any = list(categorical) or "auto"
        data = lightgbm.Dataset(
            features, target, group=groups, weight=weight, categorical_feature=codes, params=options
        )
        if held is None:
            return cls(lightgbm.train(options, data, rounds).model_to_string())
        other = lightgbm.Dataset(*held, reference=data, params=options)
        stop = lightgbm.early_stopping(patience, verbose=False)
        booster = lightgbm.train(options, data, rounds, valid_sets=[other], callbacks=[stop])
        return cls(booster.model_to_string(num_iteration=booster.best_iteration))

    def __call__(self, features: NDArray[Any]) -> F64:
        """(R,) or (R, classes) predictions."""
        threads = 1 if len(features) <= SMALL_BATCH else THREADS.get()
        if not len(features):
            return np.zeros(0)
        return np.asarray(self._booster.predict(features, num_threads=threads), dtype=np.float64)

    def contributions(self, features: NDArray[Any]) -> F64:
        """(R, F) TreeSHAP value of every feature; the constant part is left out."""
        found = self._booster.predict(features, pred_contrib=True, num_threads=1)
        return np.asarray(found, dtype=np.float64)[:, :-1]

    def save(self, path: Path) -> None:
        """Write the text."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Trees:
        """Read the text."""
        return cls(path.read_text(encoding="utf-8"))
