"""``features``: which engineered features are worth having for a task, and whether one of them knows the answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text
from shoploom.errors import UsageError, unknown_name

SHOWN = 20


def features(
    task: Annotated[str, typer.Option(help="A task about customers: churn or spend.")] = "churn",
    runs: Annotated[int, typer.Option(min=19, help="How often labels are shuffled to know what noise gains.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Rate the engineered features of a task, choose among them, and look for leaks.

    Permutation, gain and null importance, mutual information, redundancy; ends with 1 where a feature knows the answer.
    """
    from dataclasses import replace

    from shoploom.commands.progress import TrainingBar
    from shoploom.data.arrays import ShopArrays
    from shoploom.evaluation.feature_page import write_feature_report
    from shoploom.evaluation.feature_study import study_features
    from shoploom.shop import Shop
    from shoploom.tasks import TASKS

    if task not in TASKS:
        raise UsageError(unknown_name("task", task, TASKS))
    out = Output(as_json, "features")
    shop = Shop.open(workspace)
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    arrays = ShopArrays.build(replace(shop.workspace.load_tables(), clock=shop.config.clock))
    with TrainingBar(out.console) as bar:
        found = study_features(arrays, task, runs=runs, seed=seed, told=bar).to_dict()
    page, data = write_feature_report({**found, "shop": shop.config.shop.name}, shop.workspace.reports_dir)
    _print(out, found)
    out.wrote(page)
    out.wrote(data)
    leaks = found["leaks"]
    out.next("leave the named columns out of the import" if leaks else f"shoploom train{option_text(workspace)}")
    out.done(**found)
    if leaks:
        raise typer.Exit(1)


def _print(out: Output, found: dict[str, Any]) -> None:
    rows = [
        (one["name"], "kept" if one["kept"] else "", f"{one['permutation']:+.4f}", f"{one['gain']:.1%}",
         f"{one['null_gain']:.1%}", f"{one['null_p']:.3f}", f"{one['information']:.4f}", one["reason"])
        for one in found["features"][:SHOWN]
    ]  # fmt: skip
    header = ("feature", "", "permutation", "gain", "gain, shuffled", "p", "information", "why")
    out.table(header, rows, right=(2, 3, 4, 5, 6))
    if len(found["features"]) > SHOWN:
        out.say(f"{len(found['features']) - SHOWN} more stand in the report")
    out.say(
        f"{found['metric']} on validation rows: {found['score_all']:.4f} with all {len(found['features'])} features, "
        f"{found['score_kept']:.4f} with the {len(found['kept'])} kept, {found['score_none']:.4f} with none"
    )
    for leak in found["leaks"]:
        out.say(f"leak     {leak['why']}")
    if not found["leaks"]:
        out.say("no feature knows the answer")
