"""Predictions for splits of tables with label columns: the families ``classify`` and ``probability``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoploom.ensemble.tables import SERVING, TABLES
from shoploom.ensemble.tables.fused import FusedTable, told_on_stderr
from shoploom.ensemble.tables.network import Network
from shoploom.errors import DataError, UsageError, unknown_name

SERVED = "served"
SHARED = "shared"


def run_tables(
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
    """Fit all members once on all labels and write a file per model.

    ``served`` is their fusion, ``shared`` the network alone; members go by name, and where one leaves a label to
    others, the fusion answers. With several models OUT becomes a folder with a file per model.

    Raises:
        UsageError: If a model is unknown.
    """
    del device, scratch
    for name in models:
        if name not in (SERVED, SHARED, *TABLES):
            raise UsageError(unknown_name("model", name, [SERVED, SHARED, *TABLES]))
    key, *labels = task["prediction_columns"]
    train = pl.concat([_table(folder, name) for name in ("train", "valid") if name in task["tables"]])
    inputs = _table(folder, "test_inputs")
    members = [TABLES.load(name)() for name in TABLES if name in (*SERVING, *models)]
    alone = [Network.name if name == SHARED else name for name in models]
    model = FusedTable(members, alone=alone, say=told_on_stderr).fit(train, labels=labels, leave_out=[key], seed=seed)
    logits = model.member_logits(inputs)
    for name in models:
        only = Network.name if name == SHARED else "" if name == SERVED else name
        found = model.fused(logits, only=only)
        if task["family"] == "probability":
            answers = pl.DataFrame({label: one @ np.arange(one.shape[1]) for label, one in found.items()})
        else:
            answers = model.decided(found, only=only)
        target = out / f"{name}.parquet" if len(models) > 1 else out
        target.parent.mkdir(parents=True, exist_ok=True)
        inputs.select(key).hstack(answers).write_parquet(target)
    return {
        "task": task["task"],
        "seed": seed,
        "size": size,
        "models": list(models),
        "cost": model.seconds,
        "weights": model.weights,
        "warnings": model.warnings,
    }


def _table(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing; split the task again")
    return pl.read_parquet(path)
