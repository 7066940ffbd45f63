"""Trees per label as members share them: dense columns in, a booster per label out."""

# Shapes: N rows, M columns, K classes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from shoploom.data.arrays import F32, F64
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.ensemble.tables.base import Held, Logits
from shoploom.features.table import TableShape, TableView
from shoploom.features.table_labels import LabelSet

THREADS = 1
"""Two threads wait for each other where cores are busy: 30 rounds over 50,000 rows of 39 columns took 8 CPU-seconds
instead of 0.3."""
MOST_CLASSES = 12
"""Every class costs a tree per round; labels with more classes are left to the other members."""
LEAST = 1e-7
FEW = 12.0
"""Columns that each tree sees at least: of 17 columns a fraction of .7 is better than .4 (AUC .931 to .929)."""


class Forest:
    """A booster for every label with few classes, on dense columns.

    Args:
        categories: Places of the categories that are read: not those that are numbers as well.
        ordered: Whether a split of a category is a threshold of its codes, instead of a set of them.
        trees: By label.
        classes: By label, how many there are, and the codes that had rows, of which alone the booster knows.
    """

    def __init__(
        self,
        categories: Sequence[int] = (),
        trees: Mapping[str, Trees] | None = None,
        classes: Mapping[str, tuple[int, list[int]]] | None = None,
        *,
        ordered: bool = False,
    ) -> None:
        self.categories = list(categories)
        self.ordered = ordered
        self.trees = dict(trees or {})
        self.classes = dict(classes or {})

    @classmethod
    def fit(
        cls,
        view: TableView,
        shape: TableShape,
        labels: LabelSet,
        params: Mapping[str, Any],
        *,
        rounds: int,
        seed: int,
        ordered: bool = False,
        held: Held | None = None,
    ) -> Self:
        """Boost or grow.

        Args:
            view: Rows.
            shape: Of their columns.
            labels: Of the rows.
            params: LightGBM's; of few columns each tree sees more than ``feature_fraction``.
            rounds: For two classes; K classes have 2 rounds / K.
            seed: Of bagging.
            ordered: Whether codes of categories are thresholded.
            held: Rows for early stopping.
        """
        own = [place for place, name in enumerate(shape.categories) if name not in shape.numbers]
        forest = cls(own, ordered=ordered)
        columns = forest._dense(view)
        other = forest._dense(held[0]) if held is not None else None
        numbers, width = view.numbers.shape[1], columns.shape[1]
        share = float(max(params["feature_fraction"], min(1.0, FEW / width)))
        options = dict(params) | {"feature_fraction": share, "num_threads": THREADS}
        for label, codes in labels.codes.items():
            known = labels.known(label)
            present = np.unique(codes[known])
            count = len(present)
            if not 2 <= count <= MOST_CLASSES:
                continue
            objective = {"objective": "binary"} if count == 2 else {"objective": "multiclass", "num_class": count}
            stop = None
            if held is not None and other is not None:
                asked = np.flatnonzero(np.isin(held[1].codes[label], present))
                targets = np.searchsorted(present, held[1].codes[label][asked])
                stop = (other[asked], targets) if len(asked) else None
            forest.classes[label] = (len(labels.classes[label]), present.tolist())
            forest.trees[label] = Trees.train(
                columns[known],
                np.searchsorted(present, codes[known]),
                rounds=max(10, 2 * rounds // count),
                seed=seed,
                params=options | objective,
                categorical=() if ordered else range(numbers, numbers + len(forest.categories)),
                held=stop,
            )
        return forest

    def logits(self, view: TableView) -> Logits:
        """Logs of the boosters' probabilities."""
        columns = self._dense(view)
        found = {}
        for label, one in self.trees.items():
            raw: F64 = one(columns)
            pair = raw if raw.ndim == 2 else np.column_stack([1.0 - raw, raw])
            count, present = self.classes[label]
            found[label] = np.full((len(view), count), np.log(LEAST))
            found[label][:, present] = np.log(np.clip(pair, LEAST, 1.0))
        return found

    def _dense(self, view: TableView) -> F32:
        """(N, M) numbers, categories and factors of texts, in this order."""
        codes = view.codes[:, self.categories].astype(np.float32)
        return np.concatenate([view.numbers, codes, view.factors], axis=1)

    def save(self, folder: Path) -> None:
        """LightGBM's text format, one file per label."""
        save_state(
            folder, {"classes": list(self.classes.items()), "categories": self.categories, "ordered": self.ordered}
        )
        for place, one in enumerate(self.trees.values()):
            one.save(folder / f"trees_{place}.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The inverse of ``save``."""
        settings, _ = load_state(folder)
        classes = {label: (count, present) for label, (count, present) in settings["classes"]}
        trees = {label: Trees.load(folder / f"trees_{place}.txt") for place, label in enumerate(classes)}
        return cls(settings["categories"], trees, classes, ordered=settings["ordered"])
