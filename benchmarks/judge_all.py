"""Every judged task beside its rivals, in one table: all heads of the shops, next baskets, next items.

    python -m benchmarks.judge_all JUDGE_DIR [--tasks shop:completejourney,...] [--stage test|valid] [--seed N]

JUDGE_DIR holds ``judge.py`` and, beside it, the data. Each task is split into a temporary folder, trained once, and
both what is served and the shared model alone are scored. Differences to the best rival are paired (95 % intervals).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.judged import main as judged

TASKS = (
    "shop:completejourney,shop:online_retail_ii_2009_2010,next_basket:completejourney,"
    "leave_one_out:amazon_beauty,leave_one_out:amazon_toys,sessions:yoochoose_100k"
)
MODELS = ("served", "shared")
LOWER = {"wape", "mape"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Split, train, score and print; the exit status is 2 where the judge cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path, help="folder with judge.py")
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--stage", choices=("test", "valid"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="small")
    parser.add_argument("--keep", type=Path, help="keep splits and predictions in this folder")
    options = parser.parse_args(arguments)
    if not (options.judge / "judge.py").is_file():
        sys.stderr.write(
            f"judge_all: {options.judge} has no judge.py; give the judge's folder: make judge JUDGE_DIR=…\n"
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="shoploom-judge-") as scratch:
        folder = options.keep or Path(scratch)
        for name in options.tasks.split(","):
            task = name + ("" if options.stage == "test" else f"@{options.stage}")
            run = _shop if name.startswith("shop:") else _single
            status = run(options.judge / "judge.py", task, folder / task.replace(":", "_"), options.seed, options.size)
            if status:
                return status
    return 0


def _single(judge: Path, task: str, folder: Path, seed: int, size: str) -> int:
    """A task with one file of predictions."""
    split = folder / "split"
    _judge(judge, "split", task, split)
    status = judged([str(split), str(folder), "--model", ",".join(MODELS), "--seed", str(seed), "--size", size])
    if status:
        return status
    scored = {name: json.loads(_judge(judge, "score", task, folder / f"{name}.parquet", "--json")) for name in MODELS}
    print(single_table(task, scored))
    return 0


def single_table(task: str, scored: dict[str, Any]) -> str:
    """One row per metric: the best rival by it, what is served, the shared network alone, with 95 % intervals."""
    rows = [("metric", "best rival", *MODELS)]
    for metric in scored[MODELS[0]]["metrics"]:
        peers = scored[MODELS[0]]["peers"]
        known = {name: one["metrics"][metric][0] for name, one in peers.items() if metric in one["metrics"]}
        name = max(known, key=lambda one: known[one]) if known else ""
        cells = [metric, f"{known[name]:.4f} {name}" if known else ""]
        for model in MODELS:
            one = scored[model]["metrics"][metric]
            interval = "" if one["low"] is None else f" [{one['low']:.4f}, {one['high']:.4f}]"
            cells.append(f"{one['value']:.4f}{interval}")
        rows.append(tuple(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([task, *lines])


def _shop(judge: Path, task: str, folder: Path, seed: int, size: str) -> int:
    split, best = folder / "split", folder / "best"
    _judge(judge, "split", task, split)
    _judge(judge, "baseline", task, best, "--name", "best")
    status = judged([str(split), str(folder), "--model", "served,shared", "--seed", str(seed), "--size", size])
    if status:
        return status
    scored = {name: json.loads(_judge(judge, "score", task, folder / name, "--json")) for name in ("served", "shared")}
    paired = {
        name: json.loads(_judge(judge, "score", task, folder / name, "--against", best, "--json"))
        for name in ("served", "shared")
    }
    print(table(task, scored, paired))
    return 0


def table(task: str, scored: dict[str, Any], paired: dict[str, Any]) -> str:
    """One row per main metric: the best rival, what is served, the shared model alone.

    Args:
        task: Its name, as a heading.
        scored: The judge's JSON of the ``served`` and ``shared`` predictions.
        paired: The same with ``difference`` to the best rival.
    """
    header = (
        "head",
        "metric",
        "best rival",
        "served",
        "minus rival [95 %]",
        "bias",
        "shared",
        "minus rival [95 %]",
        "bias",
    )
    rows = [header]
    for head, metrics in scored["served"]["main"].items():
        for metric in metrics:
            rival = _best(scored["served"]["peers"], head, metric)
            cells = [head, metric, f"{rival[1]:.4f} {rival[0]}"]
            for name in ("served", "shared"):
                value = scored[name]["metrics"].get(f"{head} {metric}")
                gap = paired[name]["difference"].get(f"{head} {metric}")
                bias = scored[name]["metrics"].get(f"{head} bias")
                cells += [
                    "absent" if value is None else f"{value['value']:.4f}",
                    "" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]",
                    "" if bias is None else f"{bias['value']:+.3f}",
                ]
            rows.append(tuple(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([task, *lines])


def _best(peers: dict[str, Any], head: str, metric: str) -> tuple[str, float]:
    found = {
        name.partition("=")[2]: one["metrics"][f"{head} {metric}"][0]
        for name, one in peers.items()
        if name.partition("=")[0] == head and f"{head} {metric}" in one["metrics"]
    }
    pick = min if metric.split("@")[0].split()[-1] in LOWER else max
    name = pick(found, key=lambda one: found[one])
    return name, float(found[name])


def _judge(judge: Path, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(judge), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(2)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
