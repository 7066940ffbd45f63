"""The bake-off: sharing schemes and balancing methods with equal budgets, beside a sum whose weights were searched for.

Every run trains the same tasks on the same data for the same number of steps, and is judged on the horizon that was
held back. Only the weights of the searched sum are chosen, and those on validation data. Results are kept one by one,
so a bake-off that is stopped goes on where it was.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from shoploom.config import TrainConfig
from shoploom.data.arrays import ShopArrays
from shoploom.data.atomic import write_text
from shoploom.ensemble.members.shared import Shared, SharedAnswers
from shoploom.errors import MissingExtraError, UsageError, unknown_name
from shoploom.fingerprint import code_fingerprint
from shoploom.model.balancing import BALANCING
from shoploom.model.choose import make_balancer, make_sharing
from shoploom.tasks.base import Cases, Task
from shoploom.training.loop import History
from shoploom.training.shared import train_shared
from shoploom.training.steps import RETRIEVAL, loss_names

TUNED, PLAIN = "tuned", "static"
SPREAD = math.log(2)
"""Of the normal distribution that the logarithms of searched weights come from."""
HALVING = 4
"""The search gives every candidate a part of the steps, and the best of as many all of them."""
NEVER = 10**6


class Told(Protocol):
    """Is told how far the bake-off is."""

    def __call__(self, stage: str, done: int, total: int, losses: Mapping[str, float] | None = None) -> None:
        """``done`` of ``total`` steps of a stage."""
        ...


@dataclass(frozen=True)
class Choice:
    """A name with options, written ``ple:levels=2``.

    Example:
        >>> Choice.read("ple:levels=2:num=4"), str(Choice("ple", {"levels": 2.0}))
        (Choice(name='ple', options={'levels': 2.0, 'num': 4.0}), 'ple:levels=2')
    """

    name: str
    options: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Choice:
        """The inverse of ``str``.

        Raises:
            UsageError: If an option has no number.
        """
        name, *rest = text.split(":")
        options = {}
        for one in rest:
            key, _, value = one.partition("=")
            try:
                options[key] = float(value)
            except ValueError as error:
                raise UsageError(f"{one!r} in {text!r} is no option; write name=number, as in ple:levels=2") from error
        return cls(name, options)

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={value:g}" for key, value in self.options.items())])


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Args:
        methods: Balancing methods; ``tuned`` is ``static`` with weights that were searched for.
        sharing: Sharing schemes.
        seeds: How many seeds, from the configuration's on.
        steps: Of every run.
        trials: Candidates of the search for weights, per sharing scheme.

    Raises:
        UsageError: If a name or option is unknown, or a number is below 1.
    """

    methods: tuple[Choice, ...]
    sharing: tuple[Choice, ...]
    seeds: int
    steps: int
    trials: int = 8

    def __post_init__(self) -> None:
        for name in ("seeds", "steps", "trials"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; wanted 1 or more")
        if not self.methods or not self.sharing:
            raise UsageError("name one balancing method and one sharing scheme at least")
        known = [TUNED, *BALANCING]
        for method in self.methods:
            if method.name not in known:
                raise UsageError(unknown_name("balancing method", method.name, known))
            if method.name == TUNED and method.options:
                raise UsageError(f"{method} has options, but 'tuned' takes none; --trials says how long it searches")
            make_balancer(_method(method), ["task"], options=method.options)
        for scheme in self.sharing:
            make_sharing(scheme.name, 2, tasks=["task"], options=scheme.options)


@dataclass(frozen=True)
class Run:
    """One training of the bake-off.

    Args:
        sharing, method, seed: What was run.
        steps: Its length.
        metrics: Main metric by task, on the held-back horizon.
        losses: By task, on validation data, with the weights that were kept.
        seconds: Wall time of the steps.
        weights: Of the losses, for a fixed sum.
        gates: Mean shares of the experts at the end, by task.
        parameters: Of the model.
    """

    sharing: str
    method: str
    seed: int
    steps: int
    metrics: dict[str, float]
    losses: dict[str, float]
    seconds: float
    weights: dict[str, float]
    gates: dict[str, list[float]]
    parameters: int


@dataclass(frozen=True)
class Bakery:
    """Trains and judges contenders.

    Args:
        seen: What may be learned from.
        tasks: What is learned.
        cases: By task, with the truth of the horizon held back.
        config: Everything but sharing, balancing, seed and steps.
        folder: Where results and checkpoints are kept.
        fingerprint: Of the data.
        tell: Told about the steps of a run.
    """

    seen: ShopArrays
    tasks: Mapping[str, Task]
    cases: Mapping[str, Cases]
    config: TrainConfig
    folder: Path
    fingerprint: str
    tell: Told

    def bake(self, plan: Plan) -> list[Run]:
        """All runs of a plan, one seed after the other; finished ones are read back."""
        found = []
        for scheme in plan.sharing:
            chosen = self.search(plan, scheme) if any(one.name == TUNED for one in plan.methods) else {}
            for seed in range(self.config.seed, self.config.seed + plan.seeds):
                for method in plan.methods:
                    fixed = self.config.weights if method.name == PLAIN else {}
                    weights = chosen if method.name == TUNED else fixed
                    found.append(self.run(scheme, method, seed=seed, steps=plan.steps, weights=weights))
        return found

    def search(self, plan: Plan, scheme: Choice) -> dict[str, float]:
        """Weights of a sum by random search with one halving, on validation losses of the first seed.

        Equal weights are a candidate, and losses are compared with theirs, so that no task counts for more because
        its loss is large.
        """
        names = loss_names(self.tasks)
        candidates = list(weights_to_try(names, plan.trials, seed=self.config.seed))
        tuned, seed = Choice(TUNED), self.config.seed
        short = max(1, plan.steps // HALVING)
        first = [self.run(scheme, tuned, seed=seed, steps=short, weights=one, judge=False) for one in candidates]
        order = sorted(range(len(first)), key=lambda place: relative_loss(first[place], first[0]))
        kept = [0, *(place for place in order if place)][: 1 + max(1, len(order) // HALVING)] if order else [0]
        last = {
            place: self.run(scheme, tuned, seed=seed, steps=plan.steps, weights=candidates[place], judge=False)
            for place in kept
        }
        return candidates[min(last, key=lambda place: relative_loss(last[place], last[0]))]

    def run(
        self,
        scheme: Choice,
        method: Choice,
        *,
        seed: int,
        steps: int,
        weights: Mapping[str, float],
        judge: bool = True,
    ) -> Run:
        """One training, or what is kept of it."""
        config = replace(
            self.config,
            seed=seed,
            patience=NEVER,  # the budgets are equal: nobody stops early, the best weights are kept
            sharing=scheme.name,
            sharing_options=dict(scheme.options),
            balancing=_method(method),
            balancing_options=dict(method.options),
            weights=dict(weights),
        )
        said = [self.fingerprint, code_fingerprint(), asdict(config), steps, judge]
        key = sha256(orjson.dumps(said)).hexdigest()[:20]
        path = self.folder / f"{key}.json"
        if path.is_file():
            return Run(**orjson.loads(path.read_bytes()))
        stage = f"{scheme}, {method}, seed {seed}" if judge else f"{scheme}, search for weights"
        trained = train_shared(
            self.seen,
            self.tasks,
            config,
            folder=self.folder / key,
            progress=lambda done, total, losses: self.tell(stage, done, total, losses),
            steps=steps,
        )
        history = trained.history
        run = Run(
            sharing=str(scheme),
            method=str(method),
            seed=seed,
            steps=history.steps,
            metrics=self._judged(SharedAnswers.of(trained, self.seen)) if judge else {},
            losses=kept_losses(history),
            seconds=round(history.seconds, 2),
            weights=dict(weights),
            gates={name: rows[-1] for name, rows in history.gates.items()},
            parameters=trained.model.count_parameters(),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, orjson.dumps(asdict(run), option=orjson.OPT_INDENT_2).decode())
        shutil.rmtree(self.folder / key, ignore_errors=True)
        return run

    def _judged(self, answers: SharedAnswers) -> dict[str, float]:
        found = {}
        for name, task in self.tasks.items():
            prediction = Shared(answers, name).predict(self.seen, self.cases[name].blind())
            found[name] = float(task.measure(self.cases[name], prediction).values()[task.metric])
        return found


def weights_to_try(names: Sequence[str], count: int, *, seed: int) -> Iterator[dict[str, float]]:
    """Equal weights, then random ones: log-normal, with a geometric mean of 1."""
    rng = np.random.default_rng([seed, 17])
    yield dict.fromkeys(names, 1.0)
    for _ in range(count - 1):
        logs = rng.normal(0.0, SPREAD, len(names))
        yield {name: float(one) for name, one in zip(names, np.exp(logs - logs.mean()), strict=True)}


def kept_losses(history: History) -> dict[str, float]:
    """Validation losses by task of the round whose weights were kept."""
    return {name: one[history.best_round] for name, one in history.valid.items() if name != RETRIEVAL and one}


def relative_loss(run: Run, beside: Run) -> float:
    """Mean over tasks of a run's validation loss over another one's; below 1 is better."""
    ratios = [run.losses[name] / max(abs(value), 1e-9) for name, value in beside.losses.items() if name in run.losses]
    return float(np.mean(ratios)) if ratios else math.inf


def available_methods(*, installed: bool = True) -> list[str]:
    """Balancing methods, the searched sum first; those whose packages are installed, or all."""
    found = [TUNED]
    for name in BALANCING:
        if not installed:
            found.append(name)
            continue
        try:
            make_balancer(name, ["task"])
        except MissingExtraError:
            continue
        found.append(name)
    return found


@dataclass(frozen=True)
class Row:
    """One contender over all seeds.

    Args:
        sharing, method: What it is.
        metrics: By task the mean and the standard error over seeds; the error is NaN with one seed.
        gain: Mean over tasks of the relative difference to the reference in per cent, above 0 is better; with its
            standard error over seeds.
        better, worse: Tasks that differ from the reference by more than two standard errors of the paired difference.
        seconds: Mean wall time of the steps.
        parameters: Of the model.
    """

    sharing: str
    method: str
    metrics: dict[str, tuple[float, float]]
    gain: tuple[float, float]
    better: tuple[str, ...]
    worse: tuple[str, ...]
    seconds: float
    parameters: int


def table(runs: Iterable[Run], tasks: Mapping[str, Task], reference: tuple[str, str]) -> list[Row]:
    """One row per contender, in the order of the runs; differences are paired by seed.

    Args:
        runs: All of one plan.
        tasks: For the direction of their metrics.
        reference: Sharing and method that all are compared with.
    """
    by_contender: dict[tuple[str, str], dict[int, Run]] = {}
    for run in runs:
        by_contender.setdefault((run.sharing, run.method), {})[run.seed] = run
    base = by_contender[reference]
    return [_row(key, found, base, tasks) for key, found in by_contender.items()]


def _row(key: tuple[str, str], runs: Mapping[int, Run], base: Mapping[int, Run], tasks: Mapping[str, Task]) -> Row:
    seeds = [seed for seed in runs if seed in base]
    gains: dict[str, list[float]] = {}
    for name, task in tasks.items():
        sign = -1.0 if task.lower_is_better else 1.0
        pairs = [(runs[seed].metrics[name], base[seed].metrics[name]) for seed in seeds]
        gains[name] = [100 * sign * (one - other) / max(abs(other), 1e-9) for one, other in pairs]
    measured = {name: values for name, values in gains.items() if np.isfinite(values).all()}
    clear = {name: mean / error for name, (mean, error) in _means(measured).items() if error > 0}
    return Row(
        sharing=key[0],
        method=key[1],
        metrics=_means({name: [run.metrics[name] for run in runs.values()] for name in tasks}),
        gain=_mean(np.mean(list(measured.values()), axis=0)) if measured else (math.nan, math.nan),
        better=tuple(name for name, ratio in clear.items() if ratio > 2),
        worse=tuple(name for name, ratio in clear.items() if ratio < -2),
        seconds=float(np.mean([run.seconds for run in runs.values()])),
        parameters=next(iter(runs.values())).parameters,
    )


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    return {name: _mean(np.array(one)) for name, one in values.items()}


def _mean(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean and standard error."""
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return float(values.mean()), error


def _method(method: Choice) -> str:
    return PLAIN if method.name == TUNED else method.name
