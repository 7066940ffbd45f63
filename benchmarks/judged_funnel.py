"""Predictions for splits of the family ``funnel``: which of the pairs viewed on the last day go further on that day."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel import FUNNEL
from shoploom.ensemble.funnel.base import FunnelMember
from shoploom.ensemble.funnel.fused import FusedFunnel
from shoploom.errors import DataError, UsageError, unknown_name
from shoploom.features.pair_days import Behaviour, PairFeatures, Pairs

SERVED, SHARED = "served", "shared"
NETWORK = "esmm"
STEPS_PER_DAY = 96
"""Calendars differ from UTC by quarters of an hour."""


@dataclass(frozen=True)
class Columns:
    """What a split calls its columns, read from ``task.json`` and the tables."""

    user: str
    item: str
    category: str
    behaviour: str
    timestamp: str
    day: str
    view: str
    labels: tuple[str, ...]
    test_day: int


def run_funnel(
    folder: Path,
    task: Mapping[str, Any],
    out: Path,
    *,
    models: Sequence[str],
    seed: int,
    device: str,
    size: str,
    scratch: Path,
) -> dict[str, Any]:
    """Fit all members once and write the probabilities of each model.

    ``served`` is their stack, ``shared`` the network alone. With several models OUT becomes a folder with a file per
    model.

    Raises:
        UsageError: If a model is unknown.
    """
    del device, scratch
    known = [SERVED, SHARED, *FUNNEL]
    for name in models:
        if name not in known:
            raise UsageError(unknown_name("model", name, known))
    train, test, keys, columns = read_split(folder, task)
    members: list[FunnelMember] = [FUNNEL.load(name)() for name in FUNNEL]
    fused = FusedFunnel(members)
    fused.fit(train, seed=seed)
    start = time.perf_counter()
    answers = fused.predictions(test)
    for name in models:
        found = fused.fused(test, answers) if name == SERVED else answers[NETWORK if name == SHARED else name]
        target = out / f"{name}.parquet" if len(models) > 1 else out
        target.parent.mkdir(parents=True, exist_ok=True)
        keys.with_columns(
            pl.Series(label, found[:, place]) for place, label in enumerate(columns.labels)
        ).write_parquet(target)
    sys.stderr.write(f"predicted {len(test)} pairs in {time.perf_counter() - start:.1f} s\n")
    return {
        "task": task["task"],
        "seed": seed,
        "size": size,
        "models": list(models),
        "trained_on": len(train),
        "held_auc": {name: dict(zip(columns.labels, one, strict=True)) for name, one in fused.held_auc.items()},
        "weights": dict(zip([*fused.members, "shift"], fused.weights.round(3).tolist(), strict=True)),
    }


def read_split(folder: Path, task: Mapping[str, Any]) -> tuple[Impressions, Impressions, pl.DataFrame, Columns]:
    """Rows to learn from, rows to answer, the ids of the latter, and the columns' names.

    Raises:
        DataError: If a table or a column that the task needs is missing.
    """
    inputs = _table(folder, "test_inputs")
    log = _table(folder, next(name for name in task["tables"] if name != "test_inputs"))
    columns = read_columns(task, log, inputs)
    codes = {}
    for name in (columns.user, columns.item, columns.category):
        ids = pl.concat([log[name], inputs[name]]).unique().sort()
        codes[name] = (pl.DataFrame({name: ids, "code": np.arange(1, len(ids) + 1, dtype=np.int32)}), len(ids) + 1)

    def coded(table: pl.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.int32]]:
        return table.select(name).join(codes[name][0], on=name, how="left", maintain_order="left")["code"].to_numpy()

    kinds = [columns.view, *sorted(set(log[columns.behaviour].unique().to_list()) - {columns.view})]
    days = log[columns.timestamp].to_numpy() / 86_400.0
    calendar = log[columns.day].to_numpy().astype(np.int64)
    behaviour = Behaviour(
        coded(log, columns.user),
        coded(log, columns.item),
        coded(log, columns.category),
        log[columns.behaviour].replace_strict(kinds, list(range(len(kinds)))).to_numpy().astype(np.int8),
        tuple(kinds),
        days,
        calendar,
        float(np.ceil((calendar - days).max() * STEPS_PER_DAY - 1e-6) / STEPS_PER_DAY),
        (codes[columns.user][1], codes[columns.item][1], codes[columns.category][1]),
    )
    beyond = tuple(range(1, len(kinds)))
    stages = {label: (kinds.index(label),) if label in kinds else beyond for label in columns.labels}
    features = PairFeatures(behaviour, stages)
    asked = Pairs(
        coded(inputs, columns.user),
        coded(inputs, columns.item),
        coded(inputs, columns.category),
        np.full(inputs.height, columns.test_day, dtype=np.int64),
        np.zeros((0, len(stages)), dtype=np.float32),
    )
    keys = inputs.select(columns.user, columns.item)
    return features.impressions(features.training_pairs()), features.impressions(asked), keys, columns


def read_columns(task: Mapping[str, Any], log: pl.DataFrame, inputs: pl.DataFrame) -> Columns:
    """By what the task says about its columns.

    Raises:
        DataError: If one cannot be told; says which.
    """
    user, item, *labels = task["prediction_columns"]
    meanings: dict[str, str] = {}
    for table in task["tables"].values():
        meanings |= table["columns"]

    def meaning(words: str, fallback: str | None) -> str:
        found = [name for name in log.columns if words in meanings.get(name, "") and name not in (user, item)]
        if not found and fallback is None:
            raise DataError(f"no column of the log is described as {words!r}; task.json describes {meanings}")
        return found[0] if found else str(fallback)

    texts = [name for name, kind in log.schema.items() if kind == pl.String and name not in (user, item)]
    behaviour = meaning("(view)", texts[0] if texts else None)
    named = re.search(r"(\w+) \(view\)", meanings.get(behaviour, ""))
    view = named[1] if named else str(log[behaviour].mode().sort()[0])
    others = [name for name in inputs.columns if name not in (user, item)]
    if not others:
        raise DataError("test_inputs has no third column, the item's category; split the task again")
    return Columns(
        user,
        item,
        others[0],
        behaviour,
        meaning("seconds since 1970", None),
        meaning("calendar day", None),
        view,
        tuple(labels),
        int(task["notes"]["test_day"]),
    )


def _table(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing; split the task again")
    return pl.read_parquet(path)
