"""Cross-validation in time: a task's members judged on several horizons of the past, each fitted on what came before.

One horizon may be a lucky one; the spread over several says how far a single judgement can be trusted. The last horizon
is not looked at, so that choices may be made by what is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shoploom.config import TrainConfig
from shoploom.data.arrays import ShopArrays, moment_of
from shoploom.ensemble.court import SHARED
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.members.shared import Shared, SharedAnswers
from shoploom.errors import DataError, UsageError, unknown_name
from shoploom.tasks import TASKS
from shoploom.tasks.base import Task
from shoploom.training.shared import train_shared
from shoploom.training.time_folds import Spread, TimeFold, Window, spread, time_folds

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Backtest:
    """What was found.

    Args:
        task, metric, lower_is_better: Of the task.
        folds: First and last day that each fold judges, as dates, oldest first, with its number of cases.
        members: By member and metric the mean, the spread and the values over folds.
    """

    task: str
    metric: str
    lower_is_better: bool
    folds: tuple[tuple[str, str, int], ...]
    members: dict[str, dict[str, Spread]]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        members = {
            name: {metric: {"mean": one.mean, "deviation": one.deviation, "values": list(one.values)}
                   for metric, one in metrics.items()}
            for name, metrics in self.members.items()
        }  # fmt: skip
        folds = [{"from": first, "until": last, "cases": cases} for first, last, cases in self.folds]
        return {"task": self.task, "metric": self.metric, "lower_is_better": self.lower_is_better,
                "folds": folds, "members": members}  # fmt: skip


def backtest(
    shop: ShopArrays,
    name: str,
    config: TrainConfig,
    *,
    folds: int = 4,
    step_days: float | None = None,
    window: Window = "expanding",
    train_days: float | None = None,
    shared: bool = False,
    told: Told | None = None,
) -> Backtest:
    """Judge a task's rivals, and the shared model if it is wanted, on ``folds`` horizons.

    Args:
        shop: Everything that is known; its last horizon is left out.
        name: Of a task about the future.
        config: Seed, and what the shared model is trained with.
        folds: How many.
        step_days: From one fold to the next; a horizon if None, so that nothing is judged twice.
        window: ``expanding``: each fold learns from everything before it; ``sliding``: from ``train_days`` days.
        train_days: See ``window``; with ``expanding`` the least history, two horizons if None.
        shared: Whether to train the shared model on this task alone, once per fold.
        told: Is told (stage, done, all).

    Raises:
        UsageError: If the task is unknown, or its labels have no date.
        DataError: If the history is too short, or a fold can feed no case.
    """
    if name not in TASKS:
        raise UsageError(unknown_name("task", name, TASKS))
    task, tell = TASKS.load(name)(), told or (lambda stage, done, total: None)
    if task.space == "product" or task.labelled(shop) is not None:
        raise UsageError(f"the labels of {name!r} have no date; only tasks about the future are judged over time")
    horizon = float(shop.clock.horizon_days)
    first = float(shop.lines.time.min()) if len(shop.lines) else shop.end
    least = 2 * horizon if train_days is None and window == "expanding" else train_days
    cuts = time_folds(
        first,
        shop.end - horizon,
        folds=folds,
        valid_days=horizon,
        step_days=step_days,
        window=window,
        train_days=least,
    )
    measured: list[dict[str, dict[str, float]]] = []
    described = []
    for number, fold in enumerate(cuts):
        tell(f"fold {number + 1} of {folds}", number, folds)
        values, cases = _judged(shop, task, fold, config, shared)
        measured.append(values)
        described.append((f"{moment_of(fold.valid[0]):%Y-%m-%d}", f"{moment_of(fold.valid[1]):%Y-%m-%d}", cases))
    members = {one: spread([values[one] for values in measured]) for one in measured[0]}
    return Backtest(name, task.metric, task.lower_is_better, tuple(described), members)


def _judged(
    shop: ShopArrays, task: Task, fold: TimeFold, config: TrainConfig, shared: bool
) -> tuple[dict[str, dict[str, float]], int]:
    """Every metric of every member on one fold, and the number of its cases."""
    past = _since(shop.before(fold.train[1]), fold.train[0])
    reason = task.missing(past)
    if reason:
        raise DataError(f"the data before {moment_of(fold.train[1]):%Y-%m-%d} cannot feed {task.name}: {reason}")
    cases = task.cases(past, shop.between(*fold.valid))
    if not len(cases):
        raise DataError(f"nothing to judge {task.name} on after {moment_of(fold.valid[0]):%Y-%m-%d}; take fewer folds")
    seen = task.hold_out(past)
    fitted: dict[str, Member] = {}
    for rival in task.rivals:
        fitted[rival] = MEMBERS.load(rival)()
        fitted[rival].fit(seen, task, seed=config.seed)
    if shared:
        model = train_shared(seen, {task.name: task}, config)
        fitted = {SHARED: Shared(SharedAnswers.of(model, seen), task.name), **fitted}
    answers: Mapping[str, Any] = {name: one.predict(seen, cases.blind()) for name, one in fitted.items()}
    return {name: task.measure(cases, one).values() for name, one in answers.items()}, len(cases)


def _since(shop: ShopArrays, day: float) -> ShopArrays:
    """The shop without what happened before a day."""
    lines = shop.lines.take(shop.lines.time >= day)
    counts = np.bincount(lines.customer[lines.customer >= 0], minlength=len(shop.customers))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    whole = np.floor((shop.end - max(day, shop.start)) / shop.clock.block_days)
    return replace(shop, lines=lines, offsets=offsets, start=shop.end - float(whole) * shop.clock.block_days)
