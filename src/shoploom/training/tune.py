"""Search for settings of the shared model's training: a study that can be stopped, resumed and read.

Every trial trains with other settings and is scored by the validation losses of all tasks, each as a multiple of what
the configuration as it stands reaches: below 1 is better. The first trial is that configuration. Trials that are worse
than the median of the others at the same round are given up. The study lies in one SQLite file in the workspace; the
last horizon, on which versions are judged, is not looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from shoploom.config import SIZES, TrainConfig
from shoploom.data.arrays import ShopArrays
from shoploom.errors import DataError, MissingExtraError, NotReadyError, UsageError, unknown_name
from shoploom.tasks.base import Task
from shoploom.training.loop import BATCH, DivergedError
from shoploom.training.shared import train_shared, usable_tasks

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

REFERENCE: Final = "reference"
"""Attribute of the study: the best validation losses of the first trial by task."""
LEAST_FOR_IMPORTANCE: Final = 4
STARTUP: Final = 5

Curves = Mapping[str, Sequence[float]]
"""Validation losses by task, one per round."""
Train = Callable[[TrainConfig, Callable[[int, Mapping[str, float]], None]], Curves]
"""Trains with a configuration, tells (round, losses by task) after each validation, returns all of them."""


@dataclass(frozen=True)
class Numbers:
    """Numbers from ``low`` to ``high``, evenly or by their logarithm.

    Args:
        low, high: Both can be tried.
        log: Whether factors rather than differences are alike.
        whole: Whether only whole numbers are tried.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Trial, name: str) -> float:
        """A number for a trial."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


SPACE: Final[Mapping[str, Numbers | None]] = {
    "learning_rate": Numbers(5e-4, 2e-2, log=True),
    "weight_decay": Numbers(1e-4, 0.3, log=True),
    "dropout": Numbers(0.0, 0.5),
    "augment": Numbers(0.0, 0.4),
    "batch_size": Numbers(16, 128, log=True, whole=True),
    "size": None,
}
"""By name of a key of ``[train]`` what is tried; None: sizes up to the configured one, whether a smaller would do."""
DEFAULT: Final = ("learning_rate", "weight_decay", "dropout", "batch_size")


@dataclass(frozen=True)
class Tried:
    """One trial.

    Args:
        number: From 0 on; 0 is the configuration as it stands.
        settings: What was tried.
        score: Mean over tasks of loss over reference, NaN where it was given up or failed.
        state: ``complete``, ``pruned`` or ``failed``.
        seconds: Wall time.
        rounds: Score after each validation.
    """

    number: int
    settings: dict[str, Any]
    score: float
    state: str
    seconds: float
    rounds: tuple[float, ...]


@dataclass(frozen=True)
class Tuning:
    """What a study has found so far.

    Args:
        best: Settings of the best trial.
        score: Its score; 1 is the configuration as it stands.
        importance: Share of the variance of the score by setting, empty with few complete trials.
        trials: All of them.
        tasks: Names of the tasks that were trained.
    """

    best: dict[str, Any]
    score: float
    importance: dict[str, float]
    trials: tuple[Tried, ...]
    tasks: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def tune_shop(
    shop: ShopArrays,
    config: TrainConfig,
    *,
    storage: Path,
    name: str,
    trials: int,
    timeout: float | None = None,
    settings: Sequence[str] = DEFAULT,
    told: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
) -> Tuning:
    """Try settings on a shop whose last horizon is held back.

    Args:
        shop: Everything that is known.
        config: As it stands; what is not searched for stays.
        storage: The study's file.
        name: Of the study: another one starts anew.
        trials: How many the study shall have in all, those of earlier runs included.
        timeout: Seconds after which no further trial is begun.
        settings: Names from ``SPACE``.
        told: Is told (stage, steps done, of all, running losses).

    Raises:
        DataError: If the shop can feed no task.
        MissingExtraError: If Optuna is not installed.
    """
    past = shop.before(shop.end - shop.clock.horizon_days)
    tasks, missing = usable_tasks(past, config.tasks)
    if not tasks:
        raise DataError("the data can feed no task: " + "; ".join(f"{one}: {why}" for one, why in missing.items()))
    seen = past
    for task in tasks.values():
        seen = task.hold_out(seen)
    found = search(
        _trainer(seen, tasks, told),
        config,
        storage=storage,
        name=name,
        trials=trials,
        timeout=timeout,
        settings=settings,
    )
    return replace(found, tasks=tuple(tasks))


def search(
    train: Train,
    config: TrainConfig,
    *,
    storage: Path,
    name: str,
    trials: int,
    timeout: float | None = None,
    settings: Sequence[str] = DEFAULT,
) -> Tuning:
    """The search itself, whatever it is that trains.

    A killed search goes on when it is called again: trials that were under way are tried again first.

    Raises:
        UsageError: If a setting is unknown, or there is nothing to do.
        MissingExtraError: If Optuna is not installed.
        NotReadyError: If no trial was completed in time.
    """
    if trials < 1 or (timeout is not None and timeout <= 0) or not settings:
        raise UsageError(
            f"trials={trials}, timeout={timeout}, {len(settings)} settings; wanted one trial or more, seconds above 0 "
            "and one setting or more"
        )
    for one in settings:
        if one not in SPACE:
            raise UsageError(unknown_name("setting to tune", one, SPACE))
    if "batch_size" in settings and not config.batch_size:
        config = replace(config, batch_size=BATCH[config.size])
    _check_start(config, settings)
    study = open_study(storage, name, seed=config.seed)
    _pick_up(study)
    start = time.monotonic()
    while len(_finished(study)) < trials and (timeout is None or time.monotonic() - start < timeout):
        if not study.trials:  # what is tried first is what there is
            study.enqueue_trial({one: getattr(config, one) for one in settings})
        _try(study, train, config, settings)
    return result(study)


def open_study(storage: Path, name: str, *, seed: int = 0) -> Study:
    """The study of this name, made if it is new.

    Raises:
        MissingExtraError: If Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=name, storage=f"sqlite:///{storage.resolve()}", direction="minimize", load_if_exists=True
    )
    # Another seed for each resumption: with the same one it would propose what it has proposed.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), n_startup_trials=STARTUP)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1)
    return study


def result(study: Study) -> Tuning:
    """What a study has found.

    Raises:
        NotReadyError: If no trial is complete.
    """
    tried = tuple(_tried(one) for one in _finished(study))
    complete = [one for one in tried if one.state == "complete"]
    if not complete:
        raise NotReadyError(
            f"none of {len(tried)} trials was completed; take more of them, or begin with a smaller train.learning_rate"
        )
    best = min(complete, key=lambda one: one.score)
    return Tuning(best.settings, best.score, _importance(study, complete), tried)


def _try(study: Study, train: Train, config: TrainConfig, settings: Sequence[str]) -> None:
    """Ask, train, tell."""
    from optuna.exceptions import TrialPruned
    from optuna.trial import TrialState

    trial = study.ask()
    changed = replace(config, **{one: _suggested(trial, one, config) for one in settings})
    reference: dict[str, float] | None = study.user_attrs.get(REFERENCE)

    def after_round(number: int, losses: Mapping[str, float]) -> None:
        if reference is not None:
            trial.report(_score(losses, reference), number)
            if trial.should_prune():
                raise TrialPruned

    try:
        curves = train(changed, after_round)
        lowest = _at_best_round(curves)
        if reference is None:
            study.set_user_attr(REFERENCE, lowest)
            for number in range(max(len(one) for one in curves.values())):
                trial.report(_score({name: one[number] for name, one in curves.items()}, lowest), number)
        study.tell(trial, _score(lowest, reference or lowest))
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except DivergedError as error:
        trial.set_user_attr("failure", str(error))
        study.tell(trial, state=TrialState.FAIL)


def _trainer(
    seen: ShopArrays, tasks: Mapping[str, Task], told: Callable[[str, int, int, Mapping[str, float]], None] | None
) -> Train:
    """The shared model's training as a function of its configuration; rounds are told as soon as they end."""
    number = 0

    def train(config: TrainConfig, after_round: Callable[[int, Mapping[str, float]], None]) -> Curves:
        nonlocal number
        number += 1
        rounds: dict[int, dict[str, float]] = {}
        passed: set[int] = set()

        def write(tag: str, value: float, at: int) -> None:
            part, _, name = tag.partition("/")
            if part == "valid":
                rounds.setdefault(at, {})[name] = value

        def progress(step: int, total: int, losses: Mapping[str, float]) -> None:
            if told is not None:
                told(f"trial {number}", step, total, losses)
            for at in rounds.keys() - passed:
                passed.add(at)
                after_round(at, rounds[at])

        return train_shared(seen, tasks, config, progress=progress, writer=write).history.valid

    return train


def _at_best_round(curves: Curves) -> dict[str, float]:
    """The losses of the round whose weights training keeps: by the mean over tasks relative to the first round."""
    rounds = min((len(one) for one in curves.values()), default=0)
    if not rounds:
        raise DataError("training had no validation losses; there is nothing held back to tune by")
    means = [np.mean([one[at] / max(abs(one[0]), 1e-9) for one in curves.values()]) for at in range(rounds)]
    best = int(np.argmin(means))
    return {name: float(one[best]) for name, one in curves.items()}


def _score(losses: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Mean over tasks of the loss as a multiple of the reference."""
    return float(np.mean([losses[name] / max(abs(value), 1e-9) for name, value in reference.items()]))


def _pick_up(study: Study) -> None:
    """Trials that were under way when a search was killed are closed, and tried again."""
    from optuna.trial import TrialState

    for one in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(one.number, state=TrialState.FAIL)
        if one.params:
            study.enqueue_trial(one.params)


def _finished(study: Study) -> list[FrozenTrial]:
    """Trials that count: killed ones, which have no failure of their own, are not among them."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return [
        one for one in study.get_trials(states=states) if one.state != TrialState.FAIL or "failure" in one.user_attrs
    ]


def _suggested(trial: Trial, name: str, config: TrainConfig) -> Any:
    numbers = SPACE[name]
    if numbers is None:
        return trial.suggest_categorical(name, SIZES[: SIZES.index(config.size) + 1])
    return numbers.suggest(trial, name)


def _check_start(config: TrainConfig, settings: Sequence[str]) -> None:
    """The configuration as it stands must be one of what can be tried."""
    for name in settings:
        numbers, value = SPACE[name], getattr(config, name)
        if numbers is not None and not numbers.low <= value <= numbers.high:
            raise UsageError(
                f"train.{name} is {value}, and {numbers.low:g} to {numbers.high:g} is searched; name the settings to "
                f"search without it, or begin inside: shoploom tune {name}={numbers.low:g}"
            )


def _tried(one: FrozenTrial) -> Tried:
    from optuna.trial import TrialState

    state = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(one.state, "failed")
    seconds = 0.0 if one.duration is None else one.duration.total_seconds()
    score = one.value if one.value is not None and state == "complete" else math.nan
    rounds = tuple(one.intermediate_values[at] for at in sorted(one.intermediate_values))
    return Tried(one.number, dict(one.params), score, state, round(seconds, 2), rounds)


def _importance(study: Study, complete: Sequence[Tried]) -> dict[str, float]:
    """Functional ANOVA over the complete trials (Hutter et al. 2014); empty where it would say nothing."""
    if len(complete) < LEAST_FOR_IMPORTANCE or len({one.score for one in complete}) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(value) for name, value in shares.items()}
