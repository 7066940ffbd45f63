"""``bakeoff``: which sharing scheme and which balancing method suit this shop, with equal budgets."""

from __future__ import annotations

import math
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text
from shoploom.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoploom.evaluation.bakeoff import Plan, Row, Run
    from shoploom.shop import Shop
    from shoploom.tasks.base import Task

FOLDER = "bakeoff"
NOT_HERE = {
    "sharing": "--sharing ple:levels=2",
    "sharing_options": "--sharing mmoe:num=8",
    "balancing": "--methods famo",
    "balancing_options": "--methods gradnorm:alpha=0.5",
}
"""Settings of a training that have options of their own."""
ALL = "all"


def bakeoff(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings of all runs: size=tiny, or tasks=['churn','spend'].", metavar="KEY=VALUE"),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Balancing methods with commas, options as dwa:temperature=1; all: every installed one.")
    ] = ALL,
    sharing: Annotated[
        str, typer.Option(help="Sharing schemes with commas, options as ple:levels=2; all: every one.")
    ] = "shared_bottom",
    seeds: Annotated[int, typer.Option(help="How many seeds each contender gets.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps of every run; 0: as many as a training of this size has.")] = 0,
    trials: Annotated[int, typer.Option(help="Weights that the search for the tuned sum tries.")] = 8,
    workspace: WorkspaceOption = HERE,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not use results that are kept.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train sharing schemes and balancing methods with equal budgets, beside a sum with searched weights.

    Finished runs are kept in the workspace; the same command goes on where it was stopped.
    """
    import shutil

    from shoploom.commands.model import settings
    from shoploom.commands.progress import TrainingBar
    from shoploom.evaluation.bakeoff import TUNED, Choice, Plan, available_methods, table
    from shoploom.model.sharing import SHARING
    from shoploom.shop import Shop
    from shoploom.training.loop import STEPS

    out = Output(as_json, "bakeoff")
    given = list(overrides or [])
    for one in given:
        key = one.partition("=")[0].strip().removeprefix("train.")
        if key in NOT_HERE:
            raise UsageError(f"{key} is what a bake-off compares: say it as {NOT_HERE[key]}")
    shop = Shop.open(workspace)
    config = settings(shop, given)
    chosen = available_methods() if methods == ALL else _names(methods)
    schemes = [*SHARING, "ple:levels=2"] if sharing == ALL else _names(sharing)
    plan = Plan(
        methods=tuple(Choice.read(one) for one in chosen),
        sharing=tuple(Choice.read(one) for one in schemes),
        seeds=seeds,
        steps=steps or STEPS[config.train.size],
        trials=trials,
    )
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    if methods == ALL and len(chosen) < len(available_methods(installed=False)):
        out.say('gradient aggregators are left out: pip install "shoploom[mtl]" brings them')
    folder = shop.workspace.reports_dir / FOLDER
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    with TrainingBar(out.console) as bar:
        tasks, runs = _bake(shop, config, plan, bar)
    reference = (str(plan.sharing[0]), TUNED if TUNED in chosen else str(plan.methods[0]))
    rows = table(runs, tasks, reference)
    _print(out, rows, tasks, reference, plan)
    out.wrote(folder)
    kept = [one for one in given if not one.strip().removeprefix("train.").startswith("weights")]
    words = " ".join([*(quote(one) for one in kept), _as_settings(_winner(rows, reference), runs)])
    out.next(f"shoploom train {words}{option_text(workspace)}")
    out.done(
        plan={**asdict(plan), "tasks": list(tasks)},
        reference={"sharing": reference[0], "method": reference[1]},
        rows=[asdict(row) for row in rows],
        runs=[asdict(run) for run in runs],
    )


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _bake(shop: Shop, config: Any, plan: Plan, bar: Any) -> tuple[Mapping[str, Task], list[Run]]:
    """Hold back the last horizon and run the plan, with the workspace locked."""
    from dataclasses import replace

    from shoploom.data.arrays import ShopArrays
    from shoploom.evaluation.bakeoff import Bakery
    from shoploom.pipeline import exam_of

    workspace = shop.workspace
    with workspace.lock("a bake-off"):
        exam = exam_of(ShopArrays.build(replace(workspace.load_tables(), clock=config.clock)), config.train)
        bakery = Bakery(
            seen=exam.seen,
            tasks=exam.tasks,
            cases=exam.cases,
            config=config.train,
            folder=workspace.reports_dir / FOLDER,
            fingerprint=f"{workspace.fingerprint()}/{exam.seen.end}",
            tell=bar,
        )
        return exam.tasks, bakery.bake(plan)


def _print(out: Output, rows: Sequence[Row], tasks: Mapping[str, Task], reference: tuple[str, str], plan: Plan) -> None:
    from shoploom.evaluation.bakeoff import TUNED

    beside = next(row for row in rows if (row.sharing, row.method) == reference)
    header = [f"{name}: {task.metric} {'↓' if task.lower_is_better else '↑'}" for name, task in tasks.items()]
    cells = [
        (
            row.sharing,
            row.method,
            *(_with_error(*row.metrics[name]) for name in tasks),
            "reference" if row is beside else f"{_with_error(*row.gain, signed=True)} %",
            f"{len(row.better)} / {len(row.worse)}",
            f"{row.seconds:.1f} s",
            f"{row.seconds / max(beside.seconds, 1e-9):.2f}",
        )
        for row in rows
    ]
    titles = ("sharing", "balancing", *header, "mean gain", "better / worse", "wall time", "times as long")
    out.table(titles, cells, right=tuple(range(2, len(titles))))
    out.say(
        f"means over {plan.seeds} seeds of {plan.steps} steps each, ± standard error; beside {reference[1]} with "
        f"{reference[0]}."
    )
    if reference[1] == TUNED:
        out.say(
            f"The search for weights took steps of its own: {plan.trials} short runs and some long ones a scheme, "
            "which the times above do not hold."
        )


def _winner(rows: Sequence[Row], reference: tuple[str, str]) -> Row:
    """The contender with the highest gain among those that gain more than two standard errors; else the reference."""
    clear = [row for row in rows if row.gain[0] > 2 * row.gain[1]]
    return max(clear, key=lambda row: row.gain[0], default=next(r for r in rows if (r.sharing, r.method) == reference))


def _with_error(mean: float, error: float, *, signed: bool = False) -> str:
    shown = f"{mean:+.2f}" if signed else f"{mean:.4f}"
    digits = 2 if signed else 4
    return shown if math.isnan(error) else f"{shown} ± {error:.{digits}f}"


def _as_settings(row: Row, runs: Sequence[Run]) -> str:
    """The settings that make a training like the contender."""
    from shoploom.evaluation.bakeoff import PLAIN, TUNED, Choice

    scheme, method = Choice.read(row.sharing), Choice.read(row.method)
    name = PLAIN if method.name == TUNED else method.name
    parts = [f"sharing={scheme.name}", f"balancing={name}"]
    weights = next(run.weights for run in runs if (run.sharing, run.method) == (row.sharing, row.method))
    tables = {"sharing_options": scheme.options, "balancing_options": method.options, "weights": weights}
    for key, values in tables.items():
        if values:
            parts.append(f"'{key}={{{', '.join(f'{one} = {value:.4g}' for one, value in values.items())}}}'")
    return " ".join(parts)
