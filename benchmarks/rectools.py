"""How quickly the next-item network trains beside RecTools' SASRec of the same size, in one run.

    python ../shared/judge/judge.py split leave_one_out:amazon_beauty SPLIT_DIR
    python -m benchmarks.rectools SPLIT_DIR

Both see the last 51 events of each sequence before its very last one, which is asked for afterwards. RecTools needs
an older numpy, so that it lives in a virtual environment of its own, made on the first run (1.3 GB, from a package
index). The network is timed before and after the rival, and the slower time counts; of the rival only its epochs
count, not what it prepares. On a busy machine look at the processor seconds. Prints JSON; ends with status 1 where
RecTools is not to be had.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.judged_sequences import read_split
from shoploom.data.sequences import Sequences
from shoploom.ensemble.next_item.base import best_items
from shoploom.ensemble.next_item.network import Network
from shoploom.errors import DataError, ShoploomError
from shoploom.training.sequence import SequenceRecipe

WANTED = "rectools[torch]==0.19.*"
SCRIPT = Path(__file__).with_name("rectools_sasrec.py")
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
K = 10
BATCH = 128
ASKED_AT_ONCE = 1000
EQUAL = SequenceRecipe(dim=64, layers=1, heads=1, length=50, negatives=256, dropout=0.2)


class RivalError(ShoploomError):
    """RecTools could not be installed or did not run."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.rectools", description=__doc__.split("\n\n")[0])
    parser.add_argument("split", type=Path, help="folder that `judge.py split leave_one_out:amazon_beauty` wrote")
    parser.add_argument("--env", type=Path, default=Path(".cache/rectools"), help="environment of RecTools")
    parser.add_argument("--pip-args", default=os.environ.get("PIP_ARGS", ""), help="for pip, such as an index of torch")
    parser.add_argument("--epochs", type=int, default=1, help="of both")
    parser.add_argument("--all-epochs", action="store_true", help="train the network by its whole recipe, too")
    parser.add_argument("--loss", default="sampled_softmax", help="of RecTools: its own default is softmax")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of both")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        python = environment(options.env, shlex.split(options.pip_args))
        found = compare(options, python)
    except ShoploomError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(json.dumps(found, indent=2))
    return 0


def compare(options: argparse.Namespace, python: Path) -> dict[str, Any]:
    """Both sides on the same sequences."""
    path = options.split / "task.json"
    if not path.is_file():
        raise DataError(
            f"{options.split} holds no task.json; write it with `judge.py split leave_one_out:amazon_beauty`"
        )
    whole = read_split(options.split, json.loads(path.read_text(encoding="utf-8"))).train
    train, answers = replace(whole, fields=None).asked_for_the_last()
    train = train.last(EQUAL.length + 1)
    used = train.take(np.flatnonzero(train.lengths > 1))
    tokens = len(used.items) * options.epochs
    torch.set_num_threads(options.threads)
    recipe = replace(EQUAL, epochs=options.epochs)
    network, before = trained(train, recipe, options.seed)
    rival, lists = rectools(python, train, options)
    after = trained(train, recipe, options.seed)[1]
    seconds, worked = (max(pair) for pair in zip(before, after, strict=True))
    assert network.net is not None
    own: dict[str, Any] = {
        "train_seconds": [round(before[0], 2), round(after[0], 2)],
        "processor_seconds": [round(before[1], 2), round(after[1], 2)],
        "tokens_per_second": round(tokens / seconds),
        "parameters": sum(one.numel() for one in network.net.parameters()),
        f"ndcg@{K}": round(ndcg(asked(network, train), answers), 4),
    }
    if options.all_epochs:
        longer, spent = trained(train, replace(EQUAL, epochs=SequenceRecipe().epochs), options.seed)
        quality = round(ndcg(asked(longer, train), answers), 4)
        own["all_epochs"] = {"train_seconds": round(spent[0], 2), f"ndcg@{K}": quality}
    return {
        "sequences": len(used),
        "real_tokens_per_epoch": len(used.items),
        "share_of_padding_at_length_50": round(1 - len(used.items) / (len(used) * EQUAL.length), 3),
        "epochs": options.epochs,
        "threads": options.threads,
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "rectools": {
            "loss_function": options.loss,
            "train_seconds": round(rival["train_seconds"], 2),
            "processor_seconds": round(rival["processor_seconds"], 2),
            "fit_seconds": round(rival["fit_seconds"], 2),
            "tokens_per_second": round(tokens / rival["train_seconds"]),
            "parameters": rival["parameters"],
            "loss": round(rival["loss"], 4),
            f"ndcg@{K}": round(ndcg(lists, answers), 4),
        },
        "shoploom": own,
        "ratio": round(rival["train_seconds"] / seconds, 1),
        "ratio_of_processor_seconds": round(rival["processor_seconds"] / worked, 1),
    }


def trained(train: Sequences, recipe: SequenceRecipe, seed: int) -> tuple[Network, tuple[float, float]]:
    """A network from random weights, and the seconds of the whole call, of the clock and of all processors."""
    network = Network(recipe)
    start, worked = time.perf_counter(), time.process_time()
    network.fit(train, seed=seed)
    return network, (time.perf_counter() - start, time.process_time() - worked)


def asked(network: Network, prefixes: Sequences) -> NDArray[np.int64]:
    """(S, K) best items that are not in the prefix."""
    parts = [best_items(network.score(one), K, without=one).items for _, one in prefixes.blocks(ASKED_AT_ONCE)]
    return np.concatenate(parts).astype(np.int64)


def ndcg(lists: NDArray[np.int64], answers: NDArray[np.int32]) -> float:
    """Mean of 1 / log2(rank + 1), 0 where the answer is not listed."""
    row, place = np.nonzero(lists == answers[:, None])
    return float((1.0 / np.log2(place + 2)).sum() / len(answers)) if len(row) else 0.0


def rectools(python: Path, train: Sequences, options: argparse.Namespace) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """What the rival's script tells, and its lists.

    Raises:
        RivalError: If the script fails.
    """
    settings = {
        **{name: getattr(EQUAL, name) for name in ("dim", "layers", "heads", "length", "negatives", "dropout")},
        **{name: getattr(options, name) for name in ("epochs", "threads", "seed", "loss")},
        "batch": BATCH,
        "k": K,
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "sequences.npz", Path(folder) / "lists.npz"
        np.savez(source, items=train.items, offsets=train.offsets)
        command = [str(python), "-I", str(SCRIPT), str(source), str(target), json.dumps(settings)]
        threads = {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
        if done.returncode:
            raise RivalError(f"RecTools failed with {done.returncode}:\n{done.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        with np.load(target) as arrays:
            return told, arrays["lists"]


def environment(folder: Path, pip_args: Sequence[str]) -> Path:
    """The interpreter of an environment with RecTools, made if need be.

    Torch is pinned to the version that the project is tested with; an unpinned one may bring gigabytes of CUDA.

    Raises:
        RivalError: If it cannot be made.
    """
    python = folder.absolute() / "bin" / "python"
    if _has_rectools(python):
        return python
    torch_pin = next(one for one in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if one.startswith("torch=="))
    sys.stderr.write(f"installing {WANTED} into {folder}\n")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *pip_args, WANTED, torch_pin],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RivalError(
                f"RecTools cannot be installed, so nothing was compared: `{shlex.join(command)}` ended with "
                f"{done.returncode}; check that the package index is reachable, or name another one with --pip-args\n"
                f"{(done.stderr or done.stdout)[-1500:]}"
            )
    if not _has_rectools(python):
        raise RivalError(
            f"RecTools was installed into {folder} but cannot be imported; remove the folder and try again"
        )
    return python


def _has_rectools(python: Path) -> bool:
    if not python.is_file():
        return False
    check = [str(python), "-I", "-c", "from rectools.models import SASRecModel"]
    return subprocess.run(check, capture_output=True).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
