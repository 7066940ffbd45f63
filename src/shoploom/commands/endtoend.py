"""``endtoend``: raw events against hand-made features."""

from __future__ import annotations

from typing import Annotated

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text


def endtoend(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings of the raw network: size=tiny.", metavar="KEY=VALUE")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each model.")] = 3,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Who will not come back: models on engineered features beside the network on raw events.

    Prints quality, time to learn, time of an answer, lines of code that say what is looked at, and what each model
    makes of a new signal (made-up product views) that nobody has written a feature for.
    """
    from dataclasses import asdict, replace

    from shoploom.commands.model import settings
    from shoploom.commands.progress import TrainingBar
    from shoploom.data.arrays import ShopArrays
    from shoploom.evaluation.endtoend import compare
    from shoploom.evaluation.numbers import number, signed
    from shoploom.shop import Shop

    out = Output(as_json, "endtoend")
    shop = Shop.open(workspace)
    config = settings(shop, overrides or [])
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    arrays = ShopArrays.build(replace(shop.workspace.load_tables(), clock=config.clock))
    with TrainingBar(out.console) as bar:
        first = config.train.seed
        found = compare(arrays, config.train, seeds=range(first, first + seeds), progress=bar)
    rows = [
        (
            one.name,
            one.reads,
            f"{number(one.auc.value)} [{number(one.auc.low)}, {number(one.auc.high)}]",
            "–" if (gap := one.difference) is None else f"{signed(gap.value)} [{signed(gap.low)}, {signed(gap.high)}]",
            f"{one.seconds:.1f}",
            f"{one.ms:.2f}",
            f"{one.lines:,}",
            number(one.with_signal),
            signed(one.with_signal - one.by_seed[0]),
        )
        for one in found
    ]
    header = (
        "model",
        "reads",
        "auc (95 %)",
        "minus best on features",
        "s to learn",
        "ms",
        "lines",
        "new signal",
        "gain",
    )
    out.table(header, rows, right=(4, 5, 6, 7, 8))
    out.say("lines: of code that says what is looked at; new signal: auc where made-up views tell who will buy")
    out.next(f"shoploom certify{option_text(workspace)}")
    out.done(models=[asdict(one) for one in found])
