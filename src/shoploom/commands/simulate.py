"""``simulate``: storefront sessions over a shop's catalogue, with a known truth."""

from __future__ import annotations

import ast
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text
from shoploom.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from shoploom.simulation import Settings, World


def simulate(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Other settings: click_model=cascade policy=plackett_luce ...", metavar="KEY=VALUE"),
    ] = None,
    workspace: WorkspaceOption = HERE,
    out: Annotated[Path | None, typer.Option(help="A new or empty directory for events and truth.")] = None,
    into: Annotated[Path | None, typer.Option(help="A workspace that gets the events, without the truth.")] = None,
    events: Annotated[float, typer.Option(help="About so many events in all: 1e6.")] = 1e6,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    days: Annotated[float, typer.Option(help="Length of the simulated time, from the end of the data on.")] = 90.0,
    products: Annotated[int | None, typer.Option(help="Only so many best sellers.", min=1)] = None,
    drift: Annotated[
        list[str] | None,
        typer.Option(help="What changes when, KIND@DAY=STRENGTH: taste@30=0.5; kinds: taste, appeal, clicks, price, "
                          "purchases. May be repeated."),
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Over a small made-up catalogue instead of the workspace's.")
    ] = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Simulate storefront sessions over the shop's catalogue, with a known truth.

    Customers want what they really bought. Impressions, searches, clicks, carts, purchases and refunds are written as
    events; the true probability of each step of every impression stands beside them.
    """
    from shoploom.commands.progress import TrainingBar
    from shoploom.data.workspace import Workspace
    from shoploom.simulation import Drift, Simulation
    from shoploom.simulation.export import PARAMETERS, export

    output = Output(as_json, "simulate")
    if out is None and into is None:
        raise UsageError("nowhere to write to; add --out DIR for files with the truth, or --into WORKSPACE")
    drifts = tuple(map(Drift.parse, drift or []))
    settings = _settings(overrides or [], events=events, seed=seed, days=days, drift=drifts)
    target = None if into is None else Workspace.open(into)
    world = _world(output, workspace, synthetic, products, seed)
    simulation = Simulation(world, settings)
    output.say(
        f"{len(world.customers):,} customers, {len(world.items):,} products on {len(world.shelves):,} shelves; "
        f"{simulation.sessions:,} sessions in {settings.days:g} days"
    )
    started = time.perf_counter()
    with TrainingBar(output.console) as bar:
        done = export(simulation, out, into=target, progress=lambda done, total: bar("simulating", done, total))
    seconds = time.perf_counter() - started
    output.table(("events", "rows"), [(name, f"{count:,}") for name, count in done.events.items()], right=(1,))
    output.say(f"{done.total:,} events in {seconds:.1f} s, {done.total / seconds:,.0f} per second")
    if out is not None:
        output.wrote(f"{out}: events/, truth/, {PARAMETERS}, world.safetensors; {done.bytes / 1e6:,.1f} MB")
    if target is not None:
        output.wrote(f"{target.store_dir}: {tables_text(target)}")
        target.close()
    output.next(
        f"shoploom check{option_text(into)}"
        if into is not None
        else f"shoploom import {out}/events -w ANOTHER_WORKSPACE"
    )
    output.done(**done.to_dict(), seconds=round(seconds, 2), name=simulation.name)


def _world(output: Output, workspace: Path, synthetic: bool, products: int | None, seed: int) -> World:
    from shoploom.data.arrays import ShopArrays
    from shoploom.data.workspace import Workspace
    from shoploom.simulation import World

    if synthetic:
        return World.synthetic(seed=seed) if products is None else World.synthetic(products=products, seed=seed)
    opened = Workspace.open(workspace)
    output.read(f"{workspace}: {tables_text(opened)}")
    with output.console.status("fitting preferences"):
        return World.of_shop(ShopArrays.build(opened.load_tables()), products=products, seed=seed)


def _settings(overrides: Sequence[str], **given: Any) -> Settings:
    """Options and ``KEY=VALUE`` as settings.

    Raises:
        UsageError: If a key is unknown or a value is of the wrong kind.
    """
    from shoploom.simulation import Settings

    known = {one.name: one.default for one in dataclasses.fields(Settings) if one.name not in (*given, "start")}
    for pair in overrides:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is no setting; write KEY=VALUE, for example click_model=cascade")
        if name in given:
            raise UsageError(f"{name} is an option; write --{name} {text}")
        if name not in known:
            raise UsageError(unknown_name("setting", name, known))
        given[name] = _value(name, text, known[name])
    return Settings(**given)


def _value(name: str, text: str, default: Any) -> Any:
    """The text as a value of the kind of the default."""
    if isinstance(default, str):
        return text
    try:
        found = ast.literal_eval(text)
        if isinstance(default, tuple):
            values = tuple(float(one) for one in found)
            if name.startswith("price_") or len(values) == len(default):
                return values
        elif isinstance(found, int) or (isinstance(default, float) and isinstance(found, float)):
            return type(default)(found)
    except (ValueError, SyntaxError, TypeError):
        pass
    wanted = f"{len(default)} numbers like {default}" if isinstance(default, tuple) else f"a number like {default}"
    raise UsageError(f"setting {name} is {text!r}; wanted {wanted}")
