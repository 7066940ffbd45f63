"""Paired differences of two files of predictions on the judge's test rows, with bootstrap intervals.

    python -m benchmarks.paired JUDGE_DIR TASK OURS.parquet THEIRS.parquet [--rounds 1000] [--seed 2017] [--json]

TASK is one of the judge's tasks outside the shops, such as ``classify:womens_clothing_reviews`` (for shops the judge
has ``score --against``). Both files are scored by the judge's own metrics on the same resamples of the units that the
judge resamples (rows, households, products), so that what makes a row easy or hard for both cancels out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], Mapping[str, float]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path, help="folder with judge.py")
    parser.add_argument("task")
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    parser.add_argument("--data", type=Path, help="folder of the data sets; beside the judge's where missing")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2017)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    for path in (options.judge / "judge.py", options.ours, options.theirs):
        if not path.is_file():
            parser.error(f"{path} is missing")
    sys.path.insert(0, str(options.judge.resolve()))
    data = options.data or options.judge.resolve().parent / "data"
    rows = paired(options.task, data, options.ours, options.theirs, options.rounds, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return 0
    for name, one in rows.items():
        interval = f"[{one['low']:+.4f}, {one['high']:+.4f}]"
        sys.stdout.write(f"{name:28} {one['ours']:.4f} {one['theirs']:.4f} {one['gap']:+.4f} {interval}\n")
    return 0


def paired(name: str, data: Path, ours: Path, theirs: Path, rounds: int, seed: int) -> dict[str, dict[str, float]]:
    """By metric both values, their difference and its 95 % interval."""
    judge = import_module("judge")  # the protocol's own code
    task = judge.find({one.name: one for one in judge.TASKS}, name)
    split = task.split(data)
    statistics = []
    for path in (ours, theirs):
        with _kept(task) as kept:
            task.score(split, pl.read_parquet(path))
        statistics.append(kept[0])
    (first, units), (second, other) = statistics
    if units != other:
        raise SystemExit(f"the files are measured on {units} and {other} units")
    rng = np.random.default_rng(seed)
    every = np.ones(units)
    one, two = first(every), second(every)
    gaps: dict[str, list[float]] = {metric: [] for metric in one}
    for _ in range(rounds):
        weights = np.bincount(rng.integers(0, units, units), minlength=units).astype(np.float64)
        a, b = first(weights), second(weights)
        for metric, values in gaps.items():
            values.append(a[metric] - b[metric])
    found = {}
    for metric, values in gaps.items():
        low, high = np.nanquantile(values, [0.025, 0.975])
        found[metric] = {
            "ours": float(one[metric]),
            "theirs": float(two[metric]),
            "gap": float(one[metric] - two[metric]),
            "low": float(low),
            "high": float(high),
        }
    return found


@contextmanager
def _kept(task: Any) -> Iterator[list[tuple[Statistic, int]]]:
    """While inside, the judge hands over what it would resample: the metrics by weights, and how many units."""
    module = sys.modules[type(task).__module__]
    kept: list[tuple[Statistic, int]] = []
    before = module.bootstrap

    def keep(statistic: Statistic, units: int, *arguments: Any, **options: Any) -> Any:
        kept.append((statistic, units))
        return before(statistic, units, 1)

    module.bootstrap = keep  # type: ignore[attr-defined]
    try:
        yield kept
    finally:
        module.bootstrap = before  # type: ignore[attr-defined]


if __name__ == "__main__":
    raise SystemExit(main())
