"""Trains the shared model of a shop: which tasks it can feed, which heads they get, examples, loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from shoploom.config import TrainConfig
from shoploom.data.arrays import I32, ShopArrays
from shoploom.features.pipeline import FeaturePipeline, ShopView
from shoploom.model.balancing.base import Balancer
from shoploom.model.build import HeadSpec, ModelSpec, build_model
from shoploom.model.choose import make_balancer, make_sharing
from shoploom.model.multitask import MultiTaskModel
from shoploom.tasks import TASKS
from shoploom.tasks.base import Task
from shoploom.tasks.values import class_values
from shoploom.training.calibrate import Calibration
from shoploom.training.examples import Examples, collect, steps_per_epoch
from shoploom.training.loop import BATCH, EVERY, LINES, STEPS, History, Progress, Trainer, choose_device
from shoploom.training.steps import RETRIEVAL, Scales, Stepper, loss_names
from shoploom.training.wide import fit_wide_paths

MOST_CUTS = 14
LEAST_SHARE = 0.4
REFIT_SHARE = 0.35
"""Part of the steps that going on with everything takes."""


@dataclass(frozen=True)
class SharedModel:
    """A trained model with all that it needs to answer; ``view`` is of the shop it was trained on, if still at hand."""

    model: MultiTaskModel
    spec: ModelSpec
    pipeline: FeaturePipeline
    history: History
    calibration: dict[str, Calibration] = field(default_factory=dict)
    view: ShopView | None = field(default=None, compare=False, repr=False)


def usable_tasks(shop: ShopArrays, wanted: tuple[str, ...] = ()) -> tuple[dict[str, Task], dict[str, str]]:
    """Tasks that the shop's data can feed, and why the others cannot be trained."""
    names = list(wanted) or list(TASKS)
    tasks: dict[str, Task] = {name: TASKS.load(name)() for name in names}
    missing = {name: task.missing(shop) for name, task in tasks.items()}
    reasons = {name: reason for name, reason in missing.items() if reason}
    return {name: task for name, task in tasks.items() if name not in reasons}, reasons


def require_choices(config: TrainConfig) -> None:
    """Refuse a sharing scheme, a balancing method, options or weights that no training could use.

    Raises:
        UsageError: If a name is unknown, an option is unknown or out of range, or weights are for no task.
        MissingExtraError: If the method needs a package that is not installed.
    """
    tasks = list(config.tasks or TASKS)
    make_sharing(config.sharing, 2, tasks=tasks, options=config.sharing_options)
    make_balancer(config.balancing, [*tasks, RETRIEVAL], options=config.balancing_options, weights=config.weights)


def _balancer(config: TrainConfig, losses: list[str]) -> Balancer:
    weights = {name: one for name, one in config.weights.items() if name in losses}
    return make_balancer(config.balancing, losses, options=config.balancing_options, weights=weights)


def train_shared(
    shop: ShopArrays,
    tasks: Mapping[str, Task],
    config: TrainConfig,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    writer: Callable[[str, float, int], None] | None = None,
    start: SharedModel | None = None,
    share: float = 1.0,
    steps: int | None = None,
) -> SharedModel:
    """One joint training of all tasks.

    Args:
        shop: Ends at the cut; held rows are not learned from.
        tasks: What to learn.
        config: Seed, size and the like.
        folder: For checkpoints: a killed run goes on from there.
        progress: Told about steps.
        writer: Takes (tag, value, round), for TensorBoard.
        start: A trained model to go on from (with everything, nothing held back).
        share: Part of the steps to do, for going on.
        steps: How many; None: by the configuration.
    """
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    if device.type == "cpu":  # scattered sums by several threads end in another digit each time without it
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler: two seconds
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # all of it is written; filling costs a tenth
    pipeline = FeaturePipeline.fit(shop) if start is None else start.pipeline
    view = pipeline.view(shop)
    examples = collect(shop, view, tasks, most_cuts=MOST_CUTS, hold=start is None)
    spec = _spec(shop, tasks, examples, config) if start is None else start.spec
    model = build_model(spec, pipeline) if start is None else start.model
    model.to(device)
    scales = _scales(tasks, examples)
    stepper = Stepper(model, spec=spec, view=view, examples=examples, tasks=tasks, scales=scales, device=device)
    size = config.batch_size or BATCH[config.size]
    if steps is None:
        asked = config.epochs * steps_per_epoch(examples, size) if config.epochs else _steps(shop, config.size, size)
        steps = asked * EVERY[config.size]
    trainer = Trainer(
        model,
        stepper,
        config=config if start is None else replace(config, patience=10**6),
        steps=max(1, round(steps * share)),
        batch_size=size,
        folder=folder,
        balancer=_balancer(config, loss_names(tasks)),
        learning_rate=config.learning_rate * (1.0 if start is None else 0.5),
    )
    history = trainer.run(progress, writer=writer)
    calibration = trainer.calibrations() if start is None else start.calibration
    model.to("cpu").eval()
    fit_wide_paths(model, shop, view, dict(tasks))
    view.forget_moments()
    return SharedModel(model, spec, pipeline, history if start is None else start.history, calibration, view)


def trainer_of(shared: SharedModel, shop: ShopArrays, tasks: Mapping[str, Task], config: TrainConfig) -> Trainer:
    """A trainer on a trained model and what it learned from, to probe it with; it writes nothing."""
    view = shared.pipeline.view(shop)
    examples = collect(shop, view, tasks, most_cuts=MOST_CUTS, hold=True)
    stepper = Stepper(
        shared.model,
        spec=shared.spec,
        view=view,
        examples=examples,
        tasks=tasks,
        scales=_scales(tasks, examples),
        device=torch.device("cpu"),
    )
    size = config.batch_size or BATCH[config.size]
    steps = _steps(shop, config.size, size) * EVERY[config.size]
    return Trainer(shared.model, stepper, config=config, steps=steps, batch_size=size)


def _steps(shop: ShopArrays, size: str, batch: int) -> int:
    """Steps with customers: by size, fewer (down to 40 %) where a batch of customers brings many lines."""
    known = int(shop.offsets[-1])
    customers = max(1, int((np.diff(shop.offsets) > 0).sum()))
    enough = LINES[size] / max(1.0, batch * known / customers)
    return int(np.clip(enough, LEAST_SHARE * STEPS[size], STEPS[size]))


def _spec(shop: ShopArrays, tasks: Mapping[str, Task], examples: Examples, config: TrainConfig) -> ModelSpec:
    heads = {
        name: HeadSpec(
            task.space,
            f"{task.space}/{task.shape}",
            tuple(sorted(task.hides)),
            _options(task, examples, shop, config.imbalance),
        )
        for name, task in tasks.items()
    }
    return ModelSpec(
        config.size,
        len(shop.items),
        heads,
        sharing=config.sharing,
        dropout=config.dropout,
        augment=config.augment,
        sharing_options=dict(config.sharing_options),
    )


def _options(task: Task, examples: Examples, shop: ShopArrays, imbalance: float) -> dict[str, object]:
    """Numbers that the head reads off the training data."""
    if task.shape == "classes":
        labelled = task.labelled(shop)
        assert labelled is not None
        assert labelled.truth is not None
        values = class_values(shop, task)
        priors = {name: _shares(codes, len(values[name])) for name, codes in labelled.truth.codes.items()}
        return {"priors": priors, "strength": imbalance}
    if task.shape == "amount":
        return {"days": float(shop.clock.horizon_days)}
    if task.space == "block":
        return {"calendar_used": examples.demand[task.name].source.calendar_used()}
    if task.space == "product" and task.shape == "quantiles":
        numbers = examples.products[task.name].cases.truth.numbers  # type: ignore[union-attr]
        assert numbers is not None
        return {"centre": float(np.log(numbers).mean())}
    return {}


def _shares(codes: I32, values: int) -> list[float]:
    """The share of each value, also of those that only held-back cases have."""
    counts = np.bincount(codes[codes >= 0], minlength=values) + 1.0
    return [float(one) for one in counts / counts.sum()]


def _scales(tasks: Mapping[str, Task], examples: Examples) -> Scales:
    means: dict[str, float] = {}
    for name, task in tasks.items():
        if task.space == "customer" and task.shape == "amount" and examples.customers is not None:
            found = [one.cases.truth.numbers for one in examples.customers.by_task[name] if one and one.cases.truth]
            numbers = np.concatenate([one for one in found if one is not None]) if found else np.ones(1)
            means[name] = float(max(numbers.mean(), 1e-6))
    for name, demand in examples.demand.items():
        means[name] = float(max(demand.source.units.mean(), 1e-6))
    return Scales(means)
