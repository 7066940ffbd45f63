"""``train``, ``evaluate``, ``promote`` and ``rollback``: making versions and choosing the one that serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text
from shoploom.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from shoploom.config import Config, TrainConfig
    from shoploom.shop import Shop

CHOICES = ("sharing", "sharing_options", "balancing", "balancing_options", "weights")
Report = Mapping[str, Any]


def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Settings for this run: train.size=tiny, or size=tiny seed=1 in short.", metavar="KEY=VALUE"
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    promote: Annotated[bool, typer.Option("--promote", help="Let the new version serve at once.")] = False,
    max_ms: Annotated[
        float | None,
        typer.Option(help="Milliseconds that an ensemble of rankings may take per answer; short for train.max_ms."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not continue a training that was killed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train one model for all tasks, and its rivals; publish both.

    The model is evaluated beside the rivals first, then refitted with all data. The first version serves at once.
    """
    from shoploom.shop import Shop

    out = Output(as_json, "train")
    overrides = [*(overrides or []), *([] if max_ms is None else [f"train.max_ms={max_ms}"])]
    shop = Shop.open(workspace)
    # Before the data are looked at: a wrong setting is said at once, and rules of cleaning count for the check, too.
    shop.workspace.config = settings(shop, overrides)
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    shop.check().require()
    result = run_training(out, shop, overrides, promote=promote, resume=not fresh)
    serving = shop.registry.champion()
    out.next(f"shoploom serve{option_text(workspace)}" if serving == result.version else
             f"shoploom promote {result.version}{option_text(workspace)}")  # fmt: skip
    out.done(version=result.version, seconds=result.seconds, champion=serving, tasks=summary(result.report))


def run_training(out: Output, shop: Shop, overrides: list[str], *, promote: bool, resume: bool) -> Any:
    """Train with a progress bar, print the table and say what was written."""
    from shoploom.commands.progress import TrainingBar
    from shoploom.pipeline import train as train_workspace

    config = settings(shop, overrides)
    with TrainingBar(out.console) as bar:
        result = train_workspace(shop.workspace, config, progress=bar, resume=resume)
    if promote:
        shop.promote(result.version)
    print_report(out, result.report)
    folder = shop.registry.folder(result.version)
    out.wrote(f"{folder} in {result.seconds:.0f} s")
    out.wrote(folder / "report.html")
    return result


def settings(shop: Shop, overrides: list[str]) -> Config:
    """The configuration of a training on this machine; ``KEY=VALUE`` means a key of ``[train]``.

    Raises:
        UsageError: If a key, a value or a task is unknown, or a GPU is asked for where there is none.
    """
    from shoploom.config import Config
    from shoploom.data.workspace import CONFIG_FILE
    from shoploom.tasks import TASKS

    given = [one if "." in one.partition("=")[0] else f"train.{one}" for one in overrides]
    config = Config.read(shop.workspace.path / CONFIG_FILE, given)
    for name in config.train.tasks:
        if name not in TASKS:
            raise UsageError(unknown_name("task", name, TASKS))
    if config.train.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("train.device is 'cuda', but torch finds no GPU here; use device=auto or device=cpu")
    if _chooses(config.train):
        from shoploom.training.shared import require_choices

        require_choices(config.train)
    return config


def _chooses(train: TrainConfig) -> bool:
    """Whether the parts of the model that need a look at their options are not the plain ones."""
    return any(getattr(train, name) != getattr(type(train)(), name) for name in CHOICES)


def evaluate(
    version: Annotated[str | None, typer.Argument(help="A version; the newest if none is named.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show every task's shared model beside its best rival."""
    from shoploom.shop import Shop

    out = Output(as_json, "evaluate")
    shop = Shop.open(workspace)
    name = version or shop.newest()
    report = shop.evaluate(name)
    folder = shop.registry.folder(name)
    out.read(folder / "report.json")
    print_report(out, report)
    out.say(f"page: {folder / 'report.html'}")
    champion = shop.registry.champion()
    out.next(f"shoploom {'serve' if champion == name else f'promote {name}'}{option_text(workspace)}")
    out.done(version=name, champion=champion, page=str(folder / "report.html"), tasks=summary(report))


def promote(
    version: Annotated[str | None, typer.Argument(help="A version; the newest if none is named.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Let a version serve, after checking its files."""
    from shoploom.shop import Shop

    out = Output(as_json, "promote")
    shop = Shop.open(workspace)
    before = shop.registry.champion()
    name = shop.promote(version)
    out.read(shop.registry.folder(name))
    out.wrote(shop.registry.models_dir / "champion.json")
    out.say(f"{name} serves" + (f"; {before} served before" if before not in (None, name) else ""))
    out.next(f"shoploom serve{option_text(workspace)}")
    out.done(champion=name, before=before)


def rollback(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Let the version serve again that served before."""
    from shoploom.shop import Shop

    out = Output(as_json, "rollback")
    shop = Shop.open(workspace)
    before = shop.registry.champion()
    name = shop.rollback()
    out.wrote(shop.registry.models_dir / "champion.json")
    out.say(f"{name} serves again; {before} is taken back, `shoploom promote {before}` returns to it")
    out.next(f"shoploom serve{option_text(workspace)}")
    out.done(champion=name, before=before)


def print_report(out: Output, report: Report) -> None:
    """The table of tasks and rivals, tasks that are off, and warnings."""
    from shoploom.evaluation.numbers import number, signed

    rows = []
    for name, task in summary(report).items():
        if task["missing"]:
            continue
        low, high = task["difference_low"], task["difference_high"]
        interval = "–" if None in (low, high) else f"{signed(task['difference'])} [{signed(low)}, {signed(high)}]"
        arrow = "↓" if task["lower_is_better"] else "↑"
        served = (task["served_by"], number(task["served_value"]))
        measured = (number(task["shared"]), task["rival"] or "–", number(task["rival_value"]), interval)
        rows.append((name, f"{task['metric']} {arrow}", *served, *measured, task["verdict"]))
    header = ("task", "metric", "served by", "its value", "shared", "best rival", "its value")
    out.table((*header, "shared minus rival (95 %)", "shared is"), rows, right=(3, 4, 6, 7))
    for name, task in report["tasks"].items():
        if task.get("missing"):
            out.say(f"{name} is off: {task['missing']}")
    for warning in report.get("warnings", []):
        out.say(f"warning: {warning}")
    out.say(proof_text(report))
    if report["shop"].get("caveat"):
        out.say(report["shop"]["caveat"])


def proof_text(report: Report) -> str:
    """The latest certificate and its age, in a sentence."""
    proof = report.get("certificate")
    if proof is None:
        return "no certificate says yet whether a task is worse off for being trained with the others: shoploom certify"
    days = proof["age_days"]
    age = f"{days:.0f} day{'' if round(days) == 1 else 's'} old" if days >= 1 else "of today"
    data = "" if proof["same_data"] else ", about other data"
    return f"certificate {age}{data}: {proof['summary']}"


def summary(report: Report) -> dict[str, dict[str, Any]]:
    """The table as data: per task what serves, its, the shared model's and the best rival's value, their difference."""
    from shoploom.evaluation.verdicts import best_rival, difference, main_value, verdict

    found = {}
    for name, task in report["tasks"].items():
        rival = best_rival(task)
        beside = difference(task, rival)
        found[name] = {
            "metric": task.get("metric"),
            "lower_is_better": task.get("lower_is_better"),
            "served_by": task.get("served_by"),
            "served_value": main_value(task, task.get("served_by")),
            "shared": main_value(task, "shared"),
            "rival": rival,
            "rival_value": main_value(task, rival),
            "difference": beside["value"],
            "difference_low": beside["low"],
            "difference_high": beside["high"],
            "verdict": verdict(task, rival),
            "missing": task.get("missing"),
        }
    return found
