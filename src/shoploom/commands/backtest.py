"""``backtest``: a task's members on several horizons of the past, with mean and spread."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text
from shoploom.errors import DataError, UsageError


def backtest(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Settings for this run: train.size=tiny, or size=tiny seed=1 in short.", metavar="KEY=VALUE"
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="A task about the future: churn, spend, next_basket, demand ...")] = "churn",
    folds: Annotated[int, typer.Option(min=1, help="How many horizons to judge on.")] = 4,
    step_days: Annotated[float | None, typer.Option(help="Days from one to the next; a horizon if not given.")] = None,
    window: Annotated[
        str, typer.Option(help="expanding: learn from everything before; sliding: from --train-days.")
    ] = ("expanding"),
    train_days: Annotated[float | None, typer.Option(help="Days to learn from; with expanding at least.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Train the shared model on this task, too; slow.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Cross-validation in time: fit before, judge after, on several horizons; the last one is not looked at."""
    from dataclasses import replace

    from shoploom.commands.model import settings
    from shoploom.commands.progress import TrainingBar
    from shoploom.data.arrays import ShopArrays
    from shoploom.evaluation.backtest import backtest as run
    from shoploom.evaluation.report import finite
    from shoploom.shop import Shop

    if window not in ("expanding", "sliding"):
        raise UsageError(f"--window is {window!r}; wanted expanding or sliding")
    out = Output(as_json, "backtest")
    shop = Shop.open(workspace)
    config = settings(shop, overrides or [])
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    arrays = ShopArrays.build(replace(shop.workspace.load_tables(), clock=config.clock))
    with TrainingBar(out.console) as bar:
        found = run(
            arrays,
            task,
            config.train,
            folds=folds,
            step_days=step_days,
            window="sliding" if window == "sliding" else "expanding",
            train_days=train_days,
            shared=shared,
            told=bar,
        ).to_dict()
    if all(math.isnan(one[found["metric"]]["mean"]) for one in found["members"].values()):
        raise DataError(
            f"{task} cannot be judged on any of these horizons: {found['metric']} has no value where all answers are "
            "the same; a longer history, fewer --folds or another clock.horizon_days may help"
        )
    content = finite(found)
    path = shop.workspace.reports_dir / f"backtest-{task}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    _print(out, found)
    out.wrote(path)
    out.next(f"shoploom train{option_text(workspace)}")
    out.done(**content)


def _print(out: Output, found: dict[str, Any]) -> None:
    metric, sign = found["metric"], 1 if found["lower_is_better"] else -1
    ranked = sorted(found["members"].items(), key=lambda one: sign * one[1][metric]["mean"])
    rows = []
    for name, metrics in ranked:
        one = metrics[metric]
        rows.append(
            (name, f"{one['mean']:.4f}", f"± {one['deviation']:.4f}", *(f"{value:.4f}" for value in one["values"]))
        )
    dates = [f"from {fold['from']}" for fold in found["folds"]]
    arrow = "↓" if found["lower_is_better"] else "↑"
    out.table(("member", f"{metric} {arrow}", "spread", *dates), rows, right=tuple(range(1, 3 + len(dates))))
    cases = ", ".join(f"{fold['cases']:,}" for fold in found["folds"])
    out.say(f"mean and standard deviation over {len(dates)} horizons with {cases} cases")
