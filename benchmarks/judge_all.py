"""Every judged task beside its rivals, in one table: all heads of the shops, next baskets, next items.

    python -m benchmarks.judge_all JUDGE_DIR [--tasks shop:completejourney,...] [--seeds 0,1,2] [--stage test|valid]
                                             [--keep FOLDER]

JUDGE_DIR holds ``judge.py`` and, beside it, the data. Each task is split once, trained once per seed, and both what is
served and the shared model alone are scored. With ``--keep``, splits, predictions and scores stay in a folder, and what
is there already is not made again: a run that was stopped goes on. A folder belongs to one state of the code; use a new
one after a change. Differences to the best listed rival are paired by customer or product, in shops.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.judged import main as judged

TASKS = (
    "shop:completejourney,shop:online_retail_ii_2009_2010,next_basket:completejourney,"
    "leave_one_out:amazon_beauty,leave_one_out:amazon_toys,sessions:yoochoose_100k"
)
MODELS = ("served", "shared")
LOWER = {"wape", "mape"}


@dataclass(frozen=True)
class Row:
    """One metric of one model over the seeds.

    Args:
        metric: Its name.
        rival: Value and name of the best listed rival.
        model: ``served`` or ``shared``.
        values: One per seed.
        gaps: (value, low, high) of the paired difference to the rival, one per seed; none where it cannot be paired.
        biases: Of the forecast, one per seed; none where there is none.
    """

    metric: str
    rival: tuple[float, str]
    model: str
    values: tuple[float, ...]
    gaps: tuple[tuple[float, float, float], ...] = ()
    biases: tuple[float, ...] = ()

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        mean = sum(self.values) / len(self.values)
        value, name = self.rival
        spread = f"{min(self.values):.4f} to {max(self.values):.4f}"
        gaps = "; ".join(f"{gap:+.4f} [{low:+.4f}, {high:+.4f}]" for gap, low, high in self.gaps)
        bias = f"{sum(self.biases) / len(self.biases):+.3f}" if self.biases else ""
        ratio = f"{mean / value:.3f}"
        return (self.metric, f"{value:.4f} {name}", self.model, f"{mean:.4f}", spread, bias, ratio, gaps)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, score and print; the exit status is 2 where the judge cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path, help="folder with judge.py")
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--seeds", default="0", help="numbers with commas")
    parser.add_argument("--stage", choices=("test", "valid"), default="test")
    parser.add_argument("--size", default="small")
    parser.add_argument(
        "--keep", type=Path, help="keep splits, predictions and scores in this folder, and go on from them"
    )
    options = parser.parse_args(arguments)
    judge = options.judge / "judge.py"
    if not judge.is_file():
        sys.stderr.write(
            f"judge_all: {options.judge} has no judge.py; give the judge's folder: make judge JUDGE_DIR=…\n"
        )
        return 2
    seeds = [one for one in options.seeds.split(",") if one]
    if not seeds or not all(one.isdigit() for one in seeds):
        sys.stderr.write(f"judge_all: --seeds {options.seeds!r} are no numbers with commas, for example 0,1,2\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="shoploom-judge-") as scratch:
        for name in options.tasks.split(","):
            task = name + ("" if options.stage == "test" else f"@{options.stage}")
            folder = (options.keep or Path(scratch)) / task.replace(":", "_")
            scored = []
            for seed in seeds:
                found = one_seed(judge, task, folder, int(seed), options.size)
                if found is None:
                    return 2
                scored.append(found)
            print(table(task, rows_of(scored)), flush=True)
    return 0


def one_seed(judge: Path, task: str, folder: Path, seed: int, size: str) -> dict[str, Any] | None:
    """The judge's words on both models of one seed; None where the training failed."""
    split, out = folder / "split", folder / f"seed{seed}"
    saved = out / "scores.json"
    if saved.is_file():
        found: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
        return found
    if not (split / "task.json").is_file():
        _judge(judge, "split", task, split)
    if judged([str(split), str(out), "--model", ",".join(MODELS), "--seed", str(seed), "--size", size]):
        return None
    rivals = folder / "best"
    if task.startswith("shop:") and not rivals.is_dir():
        _judge(judge, "baseline", task, rivals, "--name", "best")
    scores = {}
    for model in MODELS:
        path = out / model if task.startswith("shop:") else out / f"{model}.parquet"
        against = ("--against", rivals) if task.startswith("shop:") else ()
        scores[model] = json.loads(_judge(judge, "score", task, path, "--json", *against))
    saved.write_text(json.dumps(scores), encoding="utf-8")
    return scores


def rows_of(scores: Sequence[dict[str, Any]]) -> list[Row]:
    """One row per metric and model.

    Args:
        scores: By seed the judge's JSON of each model.
    """
    rows = []
    first = scores[0][MODELS[0]]
    main_metrics = first.get("main")
    names = (
        [f"{head} {metric}" for head, metrics in main_metrics.items() for metric in metrics]
        if isinstance(main_metrics, dict)
        else list(first["metrics"])
    )
    for name in names:
        rival = best_rival(first["peers"], name)
        for model in MODELS:
            values = tuple(float(one[model]["metrics"][name]["value"]) for one in scores)
            gaps = [one[model].get("difference", {}).get(name) for one in scores]
            paired = tuple((gap["value"], gap["low"], gap["high"]) for gap in gaps if gap is not None)
            biases = [one[model]["metrics"].get(f"{name.partition(' ')[0]} bias") for one in scores]
            forecast = name.split()[-1] == "wape" and None not in biases
            found = tuple(float(bias["value"]) for bias in biases) if forecast else ()
            rows.append(Row(name, rival, model, values, paired, found))
    return rows


def best_rival(peers: dict[str, Any], name: str) -> tuple[float, str]:
    """The best listed value of a metric and who reached it; NaN where nobody is listed.

    Args:
        peers: By rival, for shops ``head=rival``.
        name: Metric, for shops with its head in front.
    """
    head = name.partition(" ")[0] if " " in name else ""
    known = {
        rival.rpartition("=")[2]: float(one["metrics"][name][0])
        for rival, one in peers.items()
        if name in one["metrics"] and (not head or rival.partition("=")[0] in (head, rival))
    }
    if not known:
        return float("nan"), "nobody"
    pick = min if name.split()[-1].split("@")[0] in LOWER else max
    rival = pick(known, key=lambda one: known[one])
    return known[rival], rival


def table(task: str, rows: Sequence[Row]) -> str:
    """Aligned columns under the task's name."""
    header = ("metric", "best rival", "model", "mean", "seeds", "bias", "of rival", "minus rival, by seed [95 %]")
    cells = [header, *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([task, *lines])


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
