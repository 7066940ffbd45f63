"""Predictions for a judge's split: reads a task folder, trains once, writes what the judge scores.

    python -m benchmarks.judged SPLIT_DIR OUT [--model served|shared|MEMBER] [--seed N] [--device auto]

Everything goes by ``task.json``: the roles of the columns, the rules that say which rows count, and the columns of the
predictions. No data set is known by name. With several models (``--model served,shared``) one training answers for all,
and OUT gets a folder per model.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.judged_baskets import run_baskets
from benchmarks.judged_funnel import run_funnel
from benchmarks.judged_sequences import run_sequences
from benchmarks.judged_shop import run_shop
from benchmarks.judged_tables import run_tables
from shoploom.errors import ShoploomError, UsageError, unknown_name

FAMILIES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "shop": run_shop,
    "leave_one_out": run_sequences,
    "sessions": run_sequences,
    "next_basket": run_baskets,
    "classify": run_tables,
    "probability": run_tables,
    "funnel": run_funnel,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one split; the exit status is 0, or 2 where the folder or an option is wrong."""
    options = _parser().parse_args(arguments)
    try:
        task = read_task(options.split)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="shoploom-judged-") as scratch:
            done = FAMILIES[task["family"]](
                options.split,
                task,
                options.out,
                models=[name.strip() for name in options.model.split(",") if name.strip()],
                seed=options.seed,
                device=options.device,
                size=options.size,
                scratch=Path(scratch),
            )
    except ShoploomError as error:
        sys.stderr.write(f"judged: {error}\n")
        return 2
    done["seconds"] = round(time.perf_counter() - start, 1)
    notes = options.out / "run.json" if options.out.is_dir() else options.out.with_suffix(".json")
    notes.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(done) + "\n")
    return 0


def read_task(folder: Path) -> dict[str, Any]:
    """``task.json`` of a split.

    Raises:
        UsageError: If there is none, or its family is not known here.
    """
    path = folder / "task.json"
    if not path.is_file():
        raise UsageError(f"{folder} is no split: task.json is missing; make one with `judge.py split TASK {folder}`")
    task: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if task.get("family") not in FAMILIES:
        raise UsageError(unknown_name("family", str(task.get("family")), FAMILIES))
    return task


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="folder that `judge.py split` wrote")
    parser.add_argument("out", type=Path, help="folder for the predictions")
    parser.add_argument("--model", default="served", help="served, shared, or a member's name; several with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--size", default="small", help="tiny, small or base")
    return parser


if __name__ == "__main__":
    sys.exit(main())
