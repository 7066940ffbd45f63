"""The no-harm certificate for a funnel: one network for all stages beside a network per stage, on later impressions.

    python -m benchmarks.certify_funnel SPLIT_DIR [--seeds 5] [--network esmm] [--margin 0.005]

SPLIT_DIR is what ``judge.py split`` wrote for a task of the family ``funnel``; the latest impressions of its training
part are held back, the test part is not touched. A twin learns one stage from all impressions, with the same recipe and
seed. Compared by AUC. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.certify_tables import Scored, report
from benchmarks.judged_funnel import NETWORK, read_split
from shoploom.data.arrays import F64
from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel.fused import HELD_SHARE
from shoploom.ensemble.funnel.network import NETWORKS, suited
from shoploom.evaluation.certificate import MARGIN, Certificate, Cost, Pair, compared
from shoploom.metrics.classification import RankedLabels
from shoploom.training.funnel import train_funnel


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default=NETWORK, choices=[one.name for one in NETWORKS])
    parser.add_argument("--margin", type=float, default=MARGIN)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    task = json.loads((options.split / "task.json").read_text(encoding="utf-8"))
    rows, _, _, _ = read_split(options.split, task)
    early, late = rows.split_by_time(HELD_SHARE)
    recipe = suited(next(one.recipe for one in NETWORKS if one.name == options.network), len(early))
    every = range(len(rows.stages))
    kinds = {"joint": list(every)} | {rows.stages[stage]: [stage] for stage in every}
    answers: dict[str, list[F64]] = {}
    spent: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    for seed in range(options.seeds):
        for name, stages in kinds.items():
            start = time.process_time()
            made = train_funnel(_only(early, stages), recipe, seed=seed)
            spent.setdefault(name, []).append(time.process_time() - start)
            sizes[name] = sum(one.numel() for one in made.net.parameters())
            answers.setdefault(name, []).append(made.predict(_only(late, stages)))
            sys.stderr.write(f"seed {seed}, {name}: {spent[name][-1]:.1f} processor seconds\n")
    pairs = [
        Pair(
            rows.stages[stage],
            "auc",
            lower_is_better=False,
            joint=[_scored(late, stage, one[:, stage]) for one in answers["joint"]],
            twin=[_scored(late, stage, one[:, 0]) for one in answers[rows.stages[stage]]],
        )
        for stage in every
    ]
    mean = {name: round(float(np.mean(one)), 2) for name, one in spent.items()}
    cost = {name: Cost(one, one, sizes[name]) for name, one in mean.items()}
    made_of = Certificate(compared(pairs, margin=options.margin), list(range(options.seeds)), cost)
    about = {"task": task["task"], "rows": len(early), "held": len(late), "network": options.network}
    sys.stdout.write(report(about, made_of) + "\n")
    return 0


def _only(rows: Impressions, stages: Sequence[int]) -> Impressions:
    """The impressions as if there were no other stages."""
    return replace(
        rows,
        stages=tuple(rows.stages[one] for one in stages),
        reached=rows.reached[:, list(stages)],
        matured=None if rows.matured is None else rows.matured[:, list(stages)],
    )


def _scored(rows: Impressions, stage: int, answer: F64) -> Scored:
    ranked = RankedLabels(rows.reached[:, stage].astype(np.float64), answer)
    return Scored(lambda weights: {"auc": ranked.auc(weights)}, len(rows))


if __name__ == "__main__":
    raise SystemExit(main())
