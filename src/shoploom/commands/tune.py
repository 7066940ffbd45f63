"""``tune``: search for settings of the training; can be stopped and goes on where it was."""

from __future__ import annotations

from shlex import quote
from typing import Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text

STUDY_FILE = "tune.db"


def tune(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings that stay as said: size=tiny tasks='[\"churn\"]'.", metavar="KEY=VALUE"),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of earlier runs included.")] = 20,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no further trial is begun.")] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting to search for; may be repeated. Without: learning_rate, weight_decay, dropout, batch_size."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the trials of earlier runs.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Search for settings of the shared model's training on earlier data; the last horizon is not looked at.

    Trials that do worse than the others are given up early. The same command goes on where it was stopped.
    """
    from dataclasses import replace

    from shoploom.commands.model import settings
    from shoploom.commands.progress import TrainingBar
    from shoploom.data.arrays import ShopArrays
    from shoploom.evaluation.tune_page import write_tune_report
    from shoploom.shop import Shop
    from shoploom.training.tune import DEFAULT, tune_shop

    out = Output(as_json, "tune")
    shop = Shop.open(workspace)
    config = settings(shop, overrides or [])
    storage = shop.workspace.models_dir / STUDY_FILE
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    chosen = tuple(search or DEFAULT)
    name = _study_name(shop.workspace.fingerprint(), config.train, chosen)
    with shop.workspace.lock("tuning"):
        if fresh:
            storage.unlink(missing_ok=True)
        arrays = ShopArrays.build(replace(shop.workspace.load_tables(), clock=config.clock))
        with TrainingBar(out.console) as bar:
            tuning = tune_shop(
                arrays,
                config.train,
                storage=storage,
                name=name,
                trials=trials,
                timeout=timeout,
                settings=chosen,
                told=bar,
            )
        found = tuning.to_dict()
        page, data = write_tune_report({**found, "shop": config.shop.name}, shop.workspace.reports_dir)
    _print(out, found)
    for path in (page, data, storage):
        out.wrote(path)
    best = _rounded(found["best"])
    kept = [quote(one) for one in overrides or [] if one.partition("=")[0].strip().removeprefix("train.") not in best]
    words = " ".join([*kept, *(f"{key}={value}" for key, value in best.items())])
    out.next(f"shoploom train {words}{option_text(workspace)}")
    out.done(**found)


def _study_name(fingerprint: str, train: Any, chosen: tuple[str, ...]) -> str:
    """Other data, tasks or settings make another study: their scores do not compare."""
    import json
    from dataclasses import asdict
    from hashlib import sha256

    text = json.dumps([fingerprint, asdict(train), sorted(chosen)], sort_keys=True, default=list)
    return sha256(text.encode()).hexdigest()[:16]


def _rounded(best: dict[str, Any]) -> dict[str, Any]:
    """Settings with three digits: more would only seem exact."""
    return {key: float(f"{one:.3g}") if isinstance(one, float) else one for key, one in best.items()}


def _print(out: Output, found: dict[str, Any]) -> None:
    names = list(found["best"])
    rows = [
        (str(one["number"]), *(str(_rounded(one["settings"]).get(name, "")) for name in names),
         "" if one["score"] != one["score"] else f"{one['score']:.4f}", one["state"], f"{one['seconds']:.0f} s")
        for one in found["trials"]
    ]  # fmt: skip
    out.table(("trial", *names, "score", "", "time"), rows, right=(0, *range(1, len(names) + 2), len(names) + 3))
    if found["importance"]:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found["importance"].items())
        out.say(f"importance: {shares}")
    out.say(f"best score {found['score']:.4f}; 1 is the configuration as it stands, below 1 is better")
