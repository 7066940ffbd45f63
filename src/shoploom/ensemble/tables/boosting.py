"""Trees per label as members share them: dense columns in, a booster per label out."""

# Shapes: N rows, M columns, K classes

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shoploom.data.arrays import F32, F64
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.trees import Trees
from shoploom.ensemble.tables.base import Held, Logits
from shoploom.features.table import TableView
from shoploom.features.table_labels import LabelSet

MOST_CLASSES = 12
"""Every class costs a tree per round; labels with more classes are left to the other members."""
LEAST = 1e-7


def dense(view: TableView) -> F32:
    """(N, M) numbers, categories and factors of texts, in this order."""
    return np.concatenate([view.numbers, view.codes.astype(np.float32), view.factors], axis=1)


def fit_trees(
    view: TableView,
    labels: LabelSet,
    params: Mapping[str, Any],
    *,
    rounds: int,
    seed: int,
    held: Held | None = None,
) -> dict[str, Trees]:
    """A booster for every label with few classes.

    Args:
        view: Rows.
        labels: Of the rows.
        params: LightGBM's.
        rounds: For two classes; K classes have 2 rounds / K.
        seed: Of bagging.
        held: Rows for early stopping.
    """
    columns = dense(view)
    numbers = view.numbers.shape[1]
    categorical = range(numbers, numbers + view.codes.shape[1])
    other = dense(held[0]) if held is not None else None
    found = {}
    for label, codes in labels.codes.items():
        count = len(labels.classes[label])
        known = labels.known(label)
        if count > MOST_CLASSES or len(np.unique(codes[known])) < 2:
            continue
        objective = {"objective": "binary"} if count == 2 else {"objective": "multiclass", "num_class": count}
        stop = None
        if held is not None and other is not None:
            asked = held[1].known(label)
            stop = (other[asked], held[1].codes[label][asked]) if len(asked) else None
        found[label] = Trees.train(
            columns[known],
            codes[known],
            rounds=max(10, 2 * rounds // count),
            seed=seed,
            params=dict(params) | objective,
            categorical=categorical,
            held=stop,
        )
    return found


def tree_logits(trees: Mapping[str, Trees], view: TableView) -> Logits:
    """Logs of the boosters' probabilities."""
    columns = dense(view)
    found = {}
    for label, one in trees.items():
        raw: F64 = one(columns)
        pair = raw if raw.ndim == 2 else np.column_stack([1.0 - raw, raw])
        found[label] = np.log(np.clip(pair, LEAST, 1.0))
    return found


def save_trees(folder: Path, trees: Mapping[str, Trees]) -> None:
    """LightGBM's text format, one file per label."""
    save_state(folder, {"labels": list(trees)})
    for place, one in enumerate(trees.values()):
        one.save(folder / f"trees_{place}.txt")


def load_trees(folder: Path) -> dict[str, Trees]:
    """The inverse of ``save_trees``."""
    settings, _ = load_state(folder)
    return {label: Trees.load(folder / f"trees_{place}.txt") for place, label in enumerate(settings["labels"])}
