"""``certify``: is any task worse off for being trained together with the others?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text
from shoploom.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoploom.evaluation.certificate import Certificate, Line

GROUPS = ("none", "auto")


def certify(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings as for train: size=tiny, or train.patience=4.", metavar="KEY=VALUE"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each kind.")] = 5,
    margin: Annotated[
        float, typer.Option(min=0, max=0.5, help="Part of a twin's metric that may be lost and still is no harm.")
    ] = 0.005,
    group: Annotated[
        str,
        typer.Option(help="auto: train tasks that help each other as groups, too, and route harmed ones to theirs."),
    ] = "none",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if a task is worse off.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train everything again.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Train all tasks together and each alone, several times, and state who is better, no worse, or worse off.

    It takes about three times as long as a training, per seed. Trainings are kept: a run that is stopped goes on, and
    a second one trains what changed. Tasks that are shown to be worse off get a specialist in the next training.
    """
    from shoploom.certify import certify as run
    from shoploom.commands.model import settings
    from shoploom.commands.progress import TrainingBar
    from shoploom.errors import HarmError
    from shoploom.evaluation.certificate import FOLDER, LATEST
    from shoploom.shop import Shop

    if group not in GROUPS:
        raise UsageError(unknown_name("--group", group, GROUPS))
    out = Output(as_json, "certify")
    shop = Shop.open(workspace)
    config = settings(shop, overrides or [])
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    with TrainingBar(out.console) as bar:
        made = run(shop.workspace, config, seeds=seeds, margin=margin, group=group == "auto", fresh=fresh, progress=bar)
    print_certificate(out, made)
    out.wrote(workspace / FOLDER / LATEST)
    step = "train" if made.routes or not shop.registry.versions() else "serve"
    out.next(f"shoploom {step}{option_text(workspace)}")
    out.done(**made.to_dict())
    if strict and made.harmed:
        raise HarmError(f"worse than trained alone: {', '.join(made.harmed)}; `shoploom train` gives them specialists")


def print_certificate(out: Output, made: Certificate) -> None:
    """Tables of tasks, of kinds of customers, of affinities, and the costs."""
    out.title(made.summary())
    _print_lines(out, made.tasks, margin=True)
    for task, why in made.missing.items():
        out.say(f"{task} is off: {why}")
    if len(made.seeds) == 1:
        out.say("one seed: how much trainings differ among themselves is not in the intervals; 5 tell")
    kinds = [one for one in made.lines if one.slice]
    if kinds:
        out.say("by kind of customer")
        _print_lines(out, kinds, margin=False)
    if made.grouped:
        out.say("in groups of tasks that help each other, beside the same twins")
        _print_lines(out, [one for one in made.grouped if not one.slice], margin=True)
    names = list(made.affinity)
    if names:
        out.say("what a step for the task on the left does for the others (relative fall of the loss, in thousandths)")
        rows = [
            (name, *("" if name == other else f"{1e3 * made.affinity[name].get(other, 0.0):+.2f}" for other in names))
            for name in names
        ]
        out.table(("", *names), rows, right=tuple(range(1, len(names) + 1)))
        out.say("groups by affinity: " + "; ".join(" + ".join(one) for one in made.groups))
    shares = made.shares
    out.say(
        f"cost of all tasks together: {shares['parameters']:.0%} of the parameters of the twins, "
        f"{shares['cpu_seconds']:.0%} of their processor time"
    )
    for task, partners in made.routes.items():
        whom = "by itself" if partners == [task] else "with " + ", ".join(one for one in partners if one != task)
        out.say(f"{task} is worse off: the next training gives it a specialist that is trained {whom}")


def _print_lines(out: Output, lines: Sequence[Line], *, margin: bool) -> None:
    from shoploom.evaluation.numbers import number, signed

    rows = [
        (
            one.task if not one.slice else f"{one.task}, {one.slice}",
            f"{one.metric} {'↓' if one.lower_is_better else '↑'}",
            f"{one.units:,}",
            number(one.joint),
            number(one.twin),
            f"{signed(one.gain)} [{signed(one.low)}, {signed(one.high)}]",
            *([signed(-one.margin)] if margin else []),
            f"{one.p_no_worse:.3f}",
            f"{one.p_better:.3f}",
            one.verdict,
        )
        for one in lines
    ]
    header = ("task", "metric", "units", "together", "alone", "gain (95 %)", *(["margin"] if margin else []))
    out.table((*header, "p no worse", "p better", "together it is"), rows, right=(2, 3, 4, 6, 7, 8))
