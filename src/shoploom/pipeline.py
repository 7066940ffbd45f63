"""From a workspace to a published version: train, hold court, refit, report, publish."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Event, Lock
from typing import Any, Protocol, TypeVar

import numpy as np
import orjson

from shoploom.config import Config, TrainConfig
from shoploom.data.arrays import ShopArrays, moment_of
from shoploom.data.memory import give_back_memory
from shoploom.data.workspace import Workspace
from shoploom.ensemble.beside import at_once, beside, one_thread
from shoploom.ensemble.court import BLEND, FUSED, SHARED, SPECIALIST, Verdict, judge
from shoploom.ensemble.fused import DEPTH, Fused
from shoploom.ensemble.fusion import Blend
from shoploom.ensemble.load import SHARED_FOLDER, member_folder
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.members.shared import Shared, SharedAnswers, save_answers
from shoploom.ensemble.members.specialist import Specialist
from shoploom.ensemble.panel import Panel, convene, milliseconds
from shoploom.errors import DataError
from shoploom.evaluation import certificate
from shoploom.evaluation.beyond import Beyond, beyond_accuracy
from shoploom.evaluation.report import write_report
from shoploom.fingerprint import code_fingerprint
from shoploom.registry import Registry
from shoploom.tasks.base import Cases, Prediction, Ranked, Task
from shoploom.tasks.slices import slices
from shoploom.training.shared import REFIT_SHARE, SharedModel, train_shared, usable_tasks

T = TypeVar("T")
CAVEAT = (
    "The Complete Journey is, by its authors, simulated data on real shopping patterns, made for education: "
    "figures on it show that the machinery works, not what your shop will earn."
)


class Progress(Protocol):
    """Is told how far a stage is; ``losses`` are running means per task."""

    def __call__(self, stage: str, done: int, total: int, losses: Mapping[str, float] | None = None) -> None:
        """``done`` of ``total`` steps of a stage."""
        ...


@dataclass(frozen=True)
class TrainResult:
    """A published version.

    Args:
        version: Its name in the registry.
        manifest: What the registry keeps of it.
        report: The evaluation report.
        seconds: Wall time.
    """

    version: str
    manifest: dict[str, Any]
    report: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Exam:
    """Data with the last horizon held back, and what is asked about it.

    Args:
        tasks: Those that the data can feed and judge.
        missing: Why the others are off.
        cases: By task, with the truth.
        seen: What may be learned from.
    """

    tasks: dict[str, Task]
    missing: dict[str, str]
    cases: dict[str, Cases]
    seen: ShopArrays


def exam_of(shop: ShopArrays, config: TrainConfig) -> Exam:
    """Hold back the last horizon of a shop.

    Raises:
        DataError: If the data can feed no task.
    """
    cut = shop.end - shop.clock.horizon_days
    past, future = shop.before(cut), shop.between(cut, shop.end)
    tasks, missing = usable_tasks(past, config.tasks)
    cases = {name: task.cases(past, future) for name, task in tasks.items()}
    off = unjudgeable(tasks, cases, cut)
    tasks = {name: one for name, one in tasks.items() if name not in off}
    missing |= off
    if not tasks:
        why = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise DataError(f"the data before {moment_of(cut):%Y-%m-%d} can feed no task: {why}")
    seen = past
    for task in tasks.values():
        seen = task.hold_out(seen)
    return Exam(tasks, missing, {name: cases[name] for name in tasks}, seen)


@dataclass
class Build:
    """What a training made, before it is published.

    Args:
        tasks: Those that the shop can feed.
        missing: Why the others are off.
        verdicts: What the court found.
        panels: Of rankings, who collaborates and how.
        ms: By task and member, the time of one answer in milliseconds of one core.
        beyond: Of rankings, what the lists are like beside being right.
        members: By task the serving member, fitted on everything.
        answers: The shared model, fitted on everything.
        specialists: By task that a certificate found harmed, a model of its own.
        curves: Losses per epoch of the evaluated training.
        seconds: Wall time per stage; the rivals' stages run beside those of the shared model.
        parameters: Of the shared model.
        is_trained: The shared model's part of the present stage is over.
    """

    tasks: dict[str, Task]
    missing: dict[str, str]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict)
    ms: dict[str, dict[str, float]] = field(default_factory=dict)
    beyond: dict[str, Beyond] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    answers: SharedAnswers | None = None
    specialists: dict[str, Specialist] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    is_trained: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a block to a stage."""
        start = time.perf_counter()
        yield
        with self._lock:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 2)


def train(
    workspace: Workspace,
    config: Config,
    *,
    progress: Progress | None = None,
    resume: bool = True,
    end: datetime | None = None,
) -> TrainResult:
    """Train on a workspace and publish a version; the first version becomes champion.

    The last horizon is held back, everybody is judged on it, and what serves is then fitted on all data. A killed
    training of the same data and configuration goes on where it was.

    Args:
        workspace: Where the data are.
        config: As read from the workspace, with overrides.
        progress: Told about stages and steps.
        resume: Whether to go on with a killed training.
        end: Moment up to which events count; default: all.

    Raises:
        DataError: If the shop's data can feed no task.
    """
    start = time.perf_counter()
    with workspace.lock("training"):
        fingerprint = workspace.fingerprint()
        shop = ShopArrays.build(replace(workspace.load_tables(end), clock=config.clock))
        folder = workspace.models_dir / "unfinished" / _key(fingerprint, config, shop.end)
        give_back_memory()
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        proof = certificate.latest_certificate(workspace.path / certificate.FOLDER)
        routes = proof.routes if proof is not None and proof.config.get("size") == config.train.size else {}
        build = build_version(shop, config.train, folder=folder, progress=progress, routes=routes)
        registry = Registry(workspace.models_dir)
        report: dict[str, Any] = {}

        def write(target: Path) -> dict[str, Any]:
            report.update(_report(build, config, shop, workspace, time.perf_counter() - start))
            report["certificate"] = None if proof is None else _proof(proof, fingerprint)
            return _write(target, build, report, config, fingerprint)

        version = registry.publish(write)
        if registry.champion() is None:
            registry.promote(version)
        shutil.rmtree(folder.parent, ignore_errors=True)
    return TrainResult(version, registry.manifest(version), report, time.perf_counter() - start)


def build_version(
    shop: ShopArrays,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    routes: Mapping[str, Sequence[str]] | None = None,
) -> Build:
    """Train, judge and refit on a shop in memory.

    Args:
        shop: Everything that is known.
        config: Size, seed, tasks.
        folder: For checkpoints.
        progress: Told about stages and steps.
        routes: By task that is worse off in the shared model the tasks that its specialist is trained on.
    """
    tell = progress or _silent
    exam = exam_of(shop, config)
    tasks, cases, seen = exam.tasks, exam.cases, exam.seen
    build = Build(tasks, exam.missing)
    names = [(name, rival) for name, task in tasks.items() for rival in task.rivals]
    jobs = [partial(_judged_rival, build, seen, cases, config, name, rival) for name, rival in names]
    with beside(_told(jobs, build, "judge the rivals", tell)) as rivals:
        with build.timed("train shared"):
            shared = train_shared(
                seen,
                tasks,
                config,
                folder=_sub(folder, "evaluated"),
                progress=_steps(tell, "train"),
                writer=_board(folder),
            )
        build.curves = _curves(shared)
        build.parameters = shared.model.count_parameters()
        answers = SharedAnswers.of(shared, seen)
        build.is_trained.set()
        found: dict[str, dict[str, Prediction]] = {}
        for name in tasks:
            with build.timed("judge shared"):
                found[name] = {SHARED: _answer(build, Shared(answers, name), seen, name, cases[name])}
        for name, partners in (routes or {}).items():
            if name in tasks:
                build.specialists[name] = specialist = Specialist(config, partners=tuple(partners))
                tell("train specialists", len(build.specialists) - 1, len(routes or {}))
                with build.timed("train specialists"):
                    specialist.fit(seen, tasks[name], seed=config.seed)
                    found[name][SPECIALIST] = _answer(build, specialist, seen, name, cases[name])
    for (name, rival), one in zip(names, rivals.results, strict=True):
        found[name][rival] = one
    at_once([partial(_hold_court, build, seen, cases[name], answers, name, found[name], config) for name in tasks])
    build.verdicts = {name: build.verdicts[name] for name in tasks}
    del answers, found
    give_back_memory()
    _refit(build, shop, shared, config, folder, tell)
    return build


def unjudgeable(tasks: Mapping[str, Task], cases: Mapping[str, Cases], cut: float) -> dict[str, str]:
    """Tasks that the held-back horizon says nothing about, and why: what cannot be measured is not served."""
    found = {}
    for name, one in cases.items():
        numbers = None if one.truth is None else one.truth.numbers
        if not len(one):
            found[name] = f"nothing to judge it on: no case after {moment_of(cut):%Y-%m-%d}, the held-back horizon"
            if name == "price":
                found[name] += "; it is judged on products that are sold for the first time then"
        elif tasks[name].shape == "binary" and numbers is not None and len(np.unique(numbers)) < 2:
            answer = "yes" if numbers[0] else "no"
            found[name] = (
                f"it cannot be judged: the answer is {answer} for all {len(one)} cases after "
                f"{moment_of(cut):%Y-%m-%d}; a longer history or another clock.horizon_days may tell them apart"
            )
        elif one.truth is not None and one.truth.items is not None and not len(one.truth.items):
            found[name] = (
                f"it cannot be judged: no product is a right answer to any of the {len(one)} cases after "
                f"{moment_of(cut):%Y-%m-%d}"
            )
    return found


def _told(jobs: Sequence[Callable[[], T]], build: Build, stage: str, tell: Progress) -> list[Callable[[], T]]:
    """The same jobs; how many were begun is told from the end of the training on."""
    begun = count()

    def told(job: Callable[[], T]) -> T:
        number = next(begun)
        if build.is_trained.is_set():
            tell(stage, number, len(jobs))
        return job()

    return [partial(told, job) for job in jobs]


def _judged_rival(
    build: Build, seen: ShopArrays, cases: Mapping[str, Cases], config: TrainConfig, name: str, rival: str
) -> Prediction:
    """Fit a rival and let it answer its cases."""
    with build.timed("fit rivals"):
        member: Member = MEMBERS.load(rival)()
        member.fit(seen, build.tasks[name], seed=config.seed)
        return _answer(build, member, seen, name, cases[name])


def _answer(build: Build, member: Member, seen: ShopArrays, name: str, cases: Cases) -> Prediction:
    """A member's answer, deep enough for an ensemble where it is a ranking, and what one answer costs."""
    if build.tasks[name].shape != "ranking":
        return member.predict(seen, cases.blind())
    asked = replace(cases.blind(), k=max(DEPTH, cases.k))
    found = member.predict(seen, asked)
    with one_thread() if member.name in (SHARED, SPECIALIST) else nullcontext():
        build.ms.setdefault(name, {})[member.name] = milliseconds(member, seen, asked)
    return found


def _hold_court(
    build: Build,
    seen: ShopArrays,
    cases: Cases,
    answers: SharedAnswers,
    name: str,
    found: dict[str, Prediction],
    config: TrainConfig,
) -> None:
    """Let the members collaborate where they rank, and decide who serves a task."""
    task = build.tasks[name]
    lists = {member: one for member, one in found.items() if isinstance(one, Ranked)}
    if task.shape == "ranking":
        with build.timed("convene panels"):
            panel = convene(task, seen, cases, lists, build.ms[name], max_ms=config.max_ms, seed=config.seed)
        if panel is not None:
            build.panels[name] = panel
        found = found | {member: one.first(cases.k) for member, one in lists.items()}
    with build.timed("hold court"):
        masks = slices(seen, cases) if task.unit == "customer" else None
        fused = build.panels[name].lists if name in build.panels else None
        barred = (SHARED,) if name in build.specialists else ()
        build.verdicts[name] = judge(task, cases, found, slices=masks, fused=fused, barred=barred)
        if task.shape == "ranking":
            vectors = answers.prepared(seen)[1].numpy()
            shown = {member: one for member, one in found.items() if isinstance(one, Ranked)}
            shown |= {} if fused is None else {FUSED: fused}
            build.beyond[name] = beyond_accuracy(task, seen, cases, shown, vectors=vectors, slices=masks)


def _refit(
    build: Build, shop: ShopArrays, shared: SharedModel, config: TrainConfig, folder: Path | None, tell: Progress
) -> None:
    """Fit what serves on everything, the held-back horizon included."""
    build.is_trained.clear()
    wanted = [(name, rival) for name in build.verdicts for rival in _serving(build, name)]
    jobs = [partial(_refitted_rival, build, shop, config, name, rival) for name, rival in wanted]
    with beside(_told(jobs, build, "refit the rivals that serve", tell)) as rivals:
        if config.refit:
            with build.timed("refit shared"):
                shared = train_shared(
                    shop,
                    build.tasks,
                    config,
                    folder=_sub(folder, "refitted"),
                    progress=_steps(tell, "refit"),
                    start=shared,
                    share=REFIT_SHARE,
                )
        build.is_trained.set()
        for name, specialist in build.specialists.items():
            if SPECIALIST in _together(build, name):
                with build.timed("refit specialists"):
                    specialist.fit(shop, build.tasks[name], seed=config.seed)
    build.answers = SharedAnswers.of(shared, shop)
    members = dict(zip(wanted, rivals.results, strict=True))
    for name, verdict in build.verdicts.items():
        fitted: dict[str, Member] = {SHARED: Shared(build.answers, name)}
        fitted |= {rival: one for (task, rival), one in members.items() if task == name}
        if name in build.specialists:
            fitted[SPECIALIST] = build.specialists[name]
        if verdict.served_by == FUSED:
            build.members[name] = _ensemble(build.panels[name], fitted)
        elif verdict.served_by == BLEND and verdict.blend is not None:
            build.members[name] = Blend(fitted[SHARED], fitted[verdict.blend[1]], verdict.blend[2])
        else:
            build.members[name] = fitted[verdict.served_by]


def _ensemble(panel: Panel, fitted: Mapping[str, Member]) -> Fused:
    """The chosen rung and those below it, on members that were fitted on everything."""
    rungs = [one for one in panel.rungs if set(one.members) <= set(panel.rung.members)]
    return Fused({name: fitted[name] for name in panel.rung.members}, rungs)


def _serving(build: Build, name: str) -> tuple[str, ...]:
    """The members that a task needs in order to serve, but for networks."""
    return tuple(one for one in _together(build, name) if one not in (SHARED, SPECIALIST))


def _together(build: Build, name: str) -> tuple[str, ...]:
    """The members that answer a task, one or several."""
    verdict = build.verdicts[name]
    if verdict.served_by == FUSED:
        return tuple(build.panels[name].rung.members)
    if verdict.served_by == BLEND and verdict.blend is not None:
        return verdict.blend[:2]
    return (verdict.served_by,)


def _refitted_rival(build: Build, shop: ShopArrays, config: TrainConfig, name: str, rival: str) -> Member:
    """A rival that serves, alone or together with others, fitted on everything."""
    with build.timed("refit rivals"):
        member: Member = MEMBERS.load(rival)()
        member.fit(shop, build.tasks[name], seed=config.seed)
    return member


def _write(target: Path, build: Build, report: dict[str, Any], config: Config, fingerprint: str) -> dict[str, Any]:
    """Fill a version's folder; returns what the manifest says beside the files."""
    assert build.answers is not None
    stored = target / SHARED_FOLDER
    save_answers(stored, build.answers)
    for name, member in build.members.items():
        for part in _parts(member):
            if isinstance(part, Shared):
                part.stored = stored
        member.save(member_folder(target, name, build.verdicts[name].served_by))
        if build.verdicts[name].served_by != SHARED:  # one line of JSON: similar products and comparisons read it
            Shared(build.answers, name, stored).save(member_folder(target, name, SHARED))
    write_report(report, target)
    tasks: dict[str, Any] = {name: {"missing": reason} for name, reason in build.missing.items()}
    for name, verdict in build.verdicts.items():
        found = verdict.to_dict()
        tasks[name] = {key: found[key] for key in ("served_by", "reason", "metric", "lower_is_better")}
        tasks[name]["metrics"] = {
            member: {metric: [one["value"], one["low"], one["high"]] for metric, one in metrics.items()}
            for member, metrics in found["members"].items()
        }
        if name in build.panels:
            tasks[name]["panel"] = build.panels[name].to_dict()
    return {
        "created_at": report["created_at"],
        "data_fingerprint": fingerprint,
        "config": config.to_dict(),
        "clock_end": report["data"]["end"],
        "seed": config.train.seed,
        "tasks": tasks,
        "cost": report["cost"],
    }


def _parts(member: Member) -> tuple[Member, ...]:
    if isinstance(member, Fused):
        return tuple(member.members.values())
    return (member.first, member.second) if isinstance(member, Blend) else (member,)


def _report(build: Build, config: Config, shop: ShopArrays, workspace: Workspace, seconds: float) -> dict[str, Any]:
    tasks: dict[str, Any] = {name: one.to_dict() for name, one in build.verdicts.items()}
    for name, panel in build.panels.items():
        tasks[name]["panel"] = panel.to_dict()
    for name, one in build.beyond.items():
        tasks[name]["beyond"] = one.to_dict()
    tasks |= {name: {"title": name, "missing": reason} for name, reason in build.missing.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first = float(shop.lines.time.min()) if len(shop.lines) else shop.end
    caveat = CAVEAT if "complete_journey" in config.mapping.get("source", {}).values() else None
    return {
        "shop": {
            "name": config.shop.name,
            "currency": config.shop.currency,
            "timezone": config.shop.timezone,
            "caveat": caveat,
        },
        "data": {
            "counts": workspace.counts(),
            "first": moment_of(first).isoformat(),
            "last": moment_of(float(shop.lines.time.max())).isoformat() if len(shop.lines) else None,
            "end": moment_of(shop.end).isoformat(),
            "judged_on": f"{moment_of(shop.end - shop.clock.horizon_days):%Y-%m-%d} to {moment_of(shop.end):%Y-%m-%d}",
            "quality": _quality(workspace),
        },
        "created_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "seed": config.train.seed,
        "size": config.train.size,
        "tasks": tasks,
        "curves": build.curves,
        "cost": {
            "seconds": build.seconds | {"total": round(seconds, 2)},
            "peak_memory_mb": round(peak, 1),
            "parameters": {"shared": build.parameters},
        },
        "warnings": _warnings(build),
    }


def _proof(proof: certificate.Certificate, fingerprint: str) -> dict[str, Any]:
    """What a training says about the latest certificate."""
    return {
        "summary": proof.summary(),
        "created_at": proof.created_at,
        "age_days": round(proof.age_days(), 1),
        "same_data": proof.data_fingerprint == fingerprint,
        "harmed": proof.harmed,
    }


def _warnings(build: Build) -> list[str]:
    found = []
    for name, verdict in build.verdicts.items():
        bias = verdict.members[verdict.served_by].get("bias")
        if bias is not None and abs(bias.value) > 0.10:
            found.append(f"{name}: {verdict.served_by} is off by {bias.value:+.0%} in sum; read its WAPE with care")
    return found


def _quality(workspace: Workspace) -> dict[str, Any]:
    path = workspace.reports_dir / "quality.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return {name: found[name] for name in ("worst", "counts", "findings") if name in found}


def _curves(shared: SharedModel) -> dict[str, dict[str, list[float]]]:
    history = shared.history
    names = [*history.train, *(name for name in history.valid if name not in history.train)]
    return {name: {"train": history.train.get(name, []), "valid": history.valid.get(name, [])} for name in names}


def _key(fingerprint: str, config: Config, end: float) -> str:
    text = orjson.dumps([fingerprint, code_fingerprint(), config.to_dict(), end], option=orjson.OPT_SORT_KEYS)
    return sha256(text).hexdigest()[:16]


def _sub(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def _steps(tell: Progress, stage: str) -> Callable[[int, int, Mapping[str, float]], None]:
    return lambda step, total, losses: tell(stage, step, total, losses)


def _silent(stage: str, done: int, total: int, losses: Mapping[str, float] | None = None) -> None:
    """Nobody listens."""


def _board(folder: Path | None) -> Callable[[str, float, int], None] | None:
    """A TensorBoard writer beside the models, where tensorboard is installed."""
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer = SummaryWriter(str(folder.parent.parent / "tensorboard" / folder.name))

    def write(tag: str, value: float, step: int) -> None:
        writer.add_scalar(tag, value, step)
        writer.flush()

    return write
