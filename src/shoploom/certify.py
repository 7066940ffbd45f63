"""Makes the no-harm certificate: trains the joint model and each task's single-task twin, and compares them.

Trainings are kept by fingerprints of data, code and configuration, so a run that is killed goes on, and a second one
trains only what has changed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from shoploom import __version__
from shoploom.config import Config, TrainConfig
from shoploom.data.arrays import Flags, ShopArrays
from shoploom.data.atomic import write_text
from shoploom.data.memory import give_back_memory
from shoploom.data.workspace import Workspace
from shoploom.ensemble.beside import one_thread
from shoploom.ensemble.members.shared import Shared, SharedAnswers
from shoploom.errors import UsageError
from shoploom.evaluation.certificate import MARGIN, Certificate, Cost, Line, Pair, compared, write_certificate
from shoploom.fingerprint import code_fingerprint
from shoploom.pipeline import Exam, Progress, exam_of
from shoploom.tasks.base import Classes, Numbers, Prediction, Ranked
from shoploom.tasks.slices import slices
from shoploom.training.affinity import affinities, grouped
from shoploom.training.shared import train_shared, trainer_of

JOINT = "joint"


@dataclass(frozen=True)
class Run:
    """One training: what it answered and what it took."""

    answers: dict[str, Prediction]
    cost: Cost


def certify(
    workspace: Workspace,
    config: Config,
    *,
    seeds: int = 5,
    margin: float = MARGIN,
    group: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """Train, compare, and write the certificate beside the workspace's models.

    Args:
        workspace: Where the data are.
        config: As for a training; its seed is the first of the seeds.
        seeds: How many.
        margin: Part of the twin's metric by which the joint model may be worse.
        group: Whether to train groups of tasks that help each other, and to route harmed tasks to theirs.
        fresh: Whether to train everything again.
        progress: Told about trainings and steps.

    Raises:
        UsageError: If there is nothing to compare.
    """
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; wanted 1 or more: 5 tell chance from harm")
    with workspace.lock("training"):
        fingerprint = workspace.fingerprint()
        shop = ShopArrays.build(replace(workspace.load_tables(), clock=config.clock))
        exam = exam_of(shop, config.train)
        if len(exam.tasks) < 2:
            off = "".join(f"; {name} is off: {why}" for name, why in exam.missing.items())
            raise UsageError(f"only {', '.join(exam.tasks)} is trained; harm takes at least two tasks{off}")
        folder = workspace.path / "certificates" / "runs"
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        bench = Bench(exam, config.train, folder, fingerprint, seeds, progress or _silent)
        everybody = tuple(exam.tasks)
        joint = bench.runs(everybody)
        affinity = bench.affinity(everybody)
        twins = {name: bench.runs((name,)) for name in everybody}
        masks = _masks(exam)
        lines = compared([_pair(exam, name, joint, twins[name], masks) for name in everybody], margin=margin)
        groups = grouped(affinity, list(everybody))
        own = [tuple(one) for one in groups if 1 < len(one) < len(everybody)] if group else []
        by_group = {name: bench.runs(names) for names in own for name in names}
        between = compared(
            [_pair(exam, name, runs, twins[name], masks) for name, runs in by_group.items()], margin=margin
        )
        harmed = [one.task for one in lines if not one.slice and one.verdict == "worse"]
        made = Certificate(
            lines=lines,
            seeds=bench.seeds,
            cost={JOINT: _cost(joint), **{name: _cost(runs) for name, runs in twins.items()}},
            affinity=affinity,
            groups=groups,
            grouped=between,
            data_fingerprint=fingerprint,
            config=asdict(config.train) | {"tasks": list(everybody)},
            routes={name: _route(name, own, between) for name in harmed},
            missing=exam.missing,
        )
        write_certificate(made, workspace.path / "certificates")
    return made


class Bench:
    """Trains models on an exam, or reads what was trained before.

    Args:
        exam: Data with a held-back horizon.
        config: Of all trainings.
        folder: Where trainings are kept.
        fingerprint: Of the data.
        seeds: How many trainings of each kind.
        tell: Told about steps.
    """

    def __init__(
        self, exam: Exam, config: TrainConfig, folder: Path, fingerprint: str, seeds: int, tell: Progress
    ) -> None:
        self.exam = exam
        self.config = config
        self.folder = folder
        self.fingerprint = fingerprint
        self.seeds = [config.seed + number for number in range(seeds)]
        self.tell = tell

    def runs(self, names: Sequence[str]) -> list[Run]:
        """The trainings of some tasks together, one per seed."""
        return [self._run(tuple(names), seed) for seed in self.seeds]

    def affinity(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Of the joint model of the first seed, measured at the end of its training."""
        path = self._place(tuple(names), self.seeds[0]) / "affinity.json"
        found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _place(self, names: tuple[str, ...], seed: int) -> Path:
        """Where a training is kept: everything that decides its outcome is in the folder's name."""
        settings = asdict(replace(self.config, tasks=(), seed=seed))
        for name in ("refit", "max_ms"):  # they decide nothing here
            del settings[name]
        said = [self.fingerprint, code_fingerprint(), settings, self.exam.seen.end, names, __version__]
        return self.folder / sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:20]

    def _run(self, names: tuple[str, ...], seed: int) -> Run:
        place = self._place(names, seed)
        if not (place / "run.json").is_file():
            self._train(names, seed, place)
        return read_run(place)

    def _train(self, names: tuple[str, ...], seed: int, place: Path) -> None:
        exam, config = self.exam, replace(self.config, seed=seed)
        kind = "all tasks" if len(names) == len(exam.tasks) else " + ".join(names)
        stage = f"{kind}, seed {seed}"
        tasks = {name: exam.tasks[name] for name in names}
        resumed, start = (place / "training").is_dir(), time.process_time()
        with one_thread():  # a second one is little help to small tensors, and harm on a busy machine
            shared = train_shared(
                exam.seen,
                tasks,
                config,
                folder=place / "training",
                progress=lambda step, total, losses: self.tell(stage, step, total, losses),
            )
        spent, seconds = time.process_time() - start, shared.history.seconds
        answers = SharedAnswers.of(shared, exam.seen)
        answered = {name: Shared(answers, name).predict(exam.seen, exam.cases[name].blind()) for name in names}
        if len(names) == len(exam.tasks) and seed == self.seeds[0]:
            self.tell("who helps whom", 0, 1)
            found = affinities(trainer_of(shared, exam.seen, tasks, config))
            write_text(place / "affinity.json", json.dumps(found, indent=1))
        cost = Cost(round(seconds, 2), round(seconds if resumed else spent, 2), shared.model.count_parameters())
        write_run(place, Run(answered, cost))
        shutil.rmtree(place / "training", ignore_errors=True)
        give_back_memory()


def write_run(place: Path, run: Run) -> None:
    """Answers as arrays, everything else as JSON, which is written last: a run with it is whole."""
    arrays: dict[str, Any] = {}
    about: dict[str, dict[str, Any]] = {}
    for name, answer in run.answers.items():
        parts, about[name] = _taken_apart(answer)
        arrays |= {f"{name}/{part}": one for part, one in parts.items()}
    place.mkdir(parents=True, exist_ok=True)
    with (place / "answers.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    write_text(place / "run.json", json.dumps({"cost": asdict(run.cost), "answers": about}, indent=1))


def read_run(place: Path) -> Run:
    """The inverse of ``write_run``."""
    state = json.loads((place / "run.json").read_text(encoding="utf-8"))
    with np.load(place / "answers.npz", allow_pickle=False) as arrays:
        answers = {
            name: _put_together(about, {part.removeprefix(f"{name}/"): arrays[part] for part in arrays.files
                                        if part.startswith(f"{name}/")})
            for name, about in state["answers"].items()
        }  # fmt: skip
    return Run(answers, Cost(**state["cost"]))


def _taken_apart(answer: Prediction) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(answer, Ranked):
        return {"items": answer.items, "scores": answer.scores}, {"shape": "ranked"}
    if isinstance(answer, Numbers):
        return dict(answer.columns), {"shape": "numbers"}
    return dict(answer.probabilities), {"shape": "classes", "values": answer.values}


def _put_together(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Prediction:
    if about["shape"] == "ranked":
        return Ranked(arrays["items"], arrays["scores"])
    if about["shape"] == "numbers":
        return Numbers(dict(arrays))
    return Classes({name: tuple(one) for name, one in about["values"].items()}, dict(arrays))


def _pair(
    exam: Exam, name: str, joint: Sequence[Run], twin: Sequence[Run], masks: Mapping[str, Mapping[str, Flags]]
) -> Pair:
    task, cases = exam.tasks[name], exam.cases[name]
    measured = partial(task.measure, cases)
    both = [[measured(one.answers[name]) for one in runs] for runs in (joint, twin)]
    whole = both[0][0].units == len(cases)
    return Pair(name, task.metric, task.lower_is_better, both[0], both[1], masks[name] if whole else {})


def _masks(exam: Exam) -> dict[str, dict[str, Flags]]:
    return {
        name: slices(exam.seen, exam.cases[name]) if task.unit == "customer" else {}
        for name, task in exam.tasks.items()
    }


def _cost(runs: Sequence[Run]) -> Cost:
    mean = {name: float(np.mean([getattr(one.cost, name) for one in runs])) for name in ("seconds", "cpu_seconds")}
    return Cost(round(mean["seconds"], 2), round(mean["cpu_seconds"], 2), runs[0].cost.parameters)


def _route(name: str, groups: Sequence[tuple[str, ...]], between: Sequence[Line]) -> list[str]:
    """A harmed task is trained alone, or with its group where that is better than alone."""
    mine = next((one for one in groups if name in one), (name,))
    gain = next((one.gain for one in between if one.task == name and not one.slice), -1.0)
    return list(mine) if gain > 0 else [name]


def _silent(stage: str, done: int, total: int, losses: Mapping[str, float] | None = None) -> None:
    """Nobody listens."""
