"""The no-harm certificate for tables: one network for all labels beside a network per label, on held-back rows.

    python -m benchmarks.certify_tables SPLIT_DIR [--seeds 5] [--sharing shared_bottom] [--margin 0.005]

SPLIT_DIR is what ``judge.py split`` wrote for a task of the family ``classify`` or ``probability``; a quarter of its
training rows is held back (rows with equal inputs together), the test part is not touched. Binary labels of the family
``probability`` are compared by AUC, all others by macro F1 of the likeliest class. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from shoploom.ensemble.tables.fused import fold_of
from shoploom.evaluation.certificate import MARGIN, Certificate, Cost, Pair, compared
from shoploom.features.table_labels import LabelSet
from shoploom.metrics.classification import RankedLabels, macro_f1
from shoploom.metrics.statistics import Statistic
from shoploom.training.table import TableModel, TableRecipe, train_table

HELD = 4
"""One part in so many is held back."""


@dataclass(frozen=True)
class Scored:
    """A metric of one label's answers as a function of row weights."""

    statistic: Statistic
    units: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sharing", default="", help="another scheme than the recipe's")
    parser.add_argument("--margin", type=float, default=MARGIN)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    task = json.loads((options.split / "task.json").read_text(encoding="utf-8"))
    key, *labels = task["prediction_columns"]
    frame = pl.read_parquet(options.split / "train.parquet")
    held = fold_of(frame.drop([key, *labels]), HELD, 0) == 0
    train, valid = frame.filter(~held), frame.filter(held)
    recipe = TableRecipe() if not options.sharing else replace(TableRecipe(), sharing=options.sharing)
    runs: dict[str, list[tuple[TableModel, float, dict[str, Any]]]] = {}
    for seed in range(options.seeds):
        for name, chosen in (("joint", labels), *((label, [label]) for label in labels)):
            if name != "joint" and len(labels) == 1:
                continue
            start = time.process_time()
            model = train_table(
                train, chosen, recipe, seed, leave_out=[key, *(one for one in labels if one not in chosen)]
            )
            spent = time.process_time() - start
            runs.setdefault(name, []).append((model, spent, model.predict(valid)))
            sys.stderr.write(f"seed {seed}, {name}: {spent:.1f} processor seconds\n")
    binary, truth = task["family"] == "probability", LabelSet.read(frame, labels)
    pairs = [
        Pair(
            label,
            "auc" if binary else "macro_f1",
            lower_is_better=False,
            joint=[_scored(truth, held, label, model, found[label], binary) for model, _, found in runs["joint"]],
            twin=[_scored(truth, held, label, model, found[label], binary) for model, _, found in runs[label]],
        )
        for label in labels
    ]
    cost = {name: _cost(found) for name, found in runs.items()}
    made = Certificate(compared(pairs, margin=options.margin), list(range(options.seeds)), cost)
    about = {"task": task["task"], "rows": len(train), "held": len(valid), "sharing": recipe.sharing}
    sys.stdout.write(report(about, made) + "\n")
    return 0


def report(about: Mapping[str, Any], made: Certificate) -> str:
    """A certificate as JSON."""
    lines = [asdict(one) for one in made.lines]
    return json.dumps({**about, "summary": made.summary(), "shares": made.shares, "lines": lines}, indent=1)


def _scored(truth: LabelSet, held: Any, label: str, model: TableModel, found: Any, binary: bool) -> Scored:
    """Answers beside the truth; rows without a label, or with a class that training never saw, do not count."""
    place = {value: number for number, value in enumerate(model.classes[label])}
    known_as = np.array([*(place.get(value, -1) for value in truth.classes[label]), -1])
    codes = known_as[truth.codes[label][held]]
    known = codes >= 0
    if binary:
        ranked = RankedLabels(codes[known], found[known, 1])
        return Scored(lambda weights: {"auc": ranked.auc(weights[known])}, len(codes))
    score = macro_f1(codes[known], found[known].argmax(axis=1), len(place))
    return Scored(lambda weights: {"macro_f1": score(weights[known])}, len(codes))


def _cost(runs: Sequence[tuple[TableModel, float, Any]]) -> Cost:
    spent = float(np.mean([seconds for _, seconds, _ in runs]))
    return Cost(round(spent, 2), round(spent, 2), runs[0][0].num_parameters)


if __name__ == "__main__":
    raise SystemExit(main())
