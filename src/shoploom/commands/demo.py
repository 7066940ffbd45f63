"""``demo``: the whole tour on a real shop, stage by stage; a second run continues where the first one ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoploom.commands.output import JsonOption, Output, counts, option_text

if TYPE_CHECKING:
    from shoploom.shop import Shop

SOURCE = "complete_journey"
FOLDER = Path("demo-shop")


def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Directory of the demo's shop.")] = FOLDER,
    size: Annotated[str, typer.Option(help="tiny, small or base.")] = "small",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the dashboard at the end.")] = True,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port of the dashboard.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take the whole tour on a real shop, dashboard included.

    Imports The Complete Journey, checks, trains, evaluates, promotes and serves; a second run continues.
    """
    from shoploom.commands.service import check_port, run_service
    from shoploom.config import Config, TrainConfig
    from shoploom.data.workspace import CONFIG_FILE

    TrainConfig(size=size, seed=seed)  # what is wrong is said before the import, not after it
    if serve:
        settings = Config.read(workspace / CONFIG_FILE).serve
        check_port(settings.host, port or settings.port)
    out = Output(as_json, "demo")
    clock = Stages(out)
    with clock.stage("import"):
        shop = _import(out, workspace)
    with clock.stage("check"):
        _check(out, shop)
    with clock.stage("train and evaluate"):
        version = _train(out, shop, size, seed)
    with clock.stage("promote"):
        if shop.registry.champion() != version:
            shop.promote(version)
        out.say(f"{version} serves")
    with clock.stage("load the service"):
        answer = shop.recommend(_somebody(shop), k=5)
        out.say("a first answer: " + ", ".join(str(item.get("title") or item["product_id"]) for item in answer))
    clock.report()
    out.next(f"shoploom serve{option_text(workspace)}")
    if serve:
        run_service(out, shop, None, port)
    else:
        out.done(version=version, seconds=clock.seconds, peak_memory_mb=_peak_memory())


class Stages:
    """Times stages and prints a line for each.

    Args:
        out: Where to print.
    """

    def __init__(self, out: Output) -> None:
        self.out = out
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run a stage."""
        self.out.title(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)

    def report(self) -> None:
        """How long everything took."""
        self.out.title("done")
        rows = [(name, f"{spent:.1f} s") for name, spent in self.seconds.items()]
        self.out.table(("stage", "time"), [*rows, ("in all", f"{sum(self.seconds.values()):.1f} s")], right=(1,))
        memory = _peak_memory()
        if memory:
            self.out.say(f"peak memory {memory / 1024:.1f} GB")


def _import(out: Output, folder: Path) -> Shop:
    from shoploom.commands.data import import_named_source
    from shoploom.data.migrations import FORMAT_FILE
    from shoploom.shop import Shop

    made = folder.is_file() or (folder / "store" / FORMAT_FILE).exists()
    shop = Shop.open(folder) if made else Shop.create(folder, name="The Complete Journey")
    import_named_source(out, shop, SOURCE)
    out.say(counts(shop.workspace.counts()))
    return shop


def _check(out: Output, shop: Shop) -> None:
    from shoploom.commands.data import print_findings

    print_findings(out, shop, shop.check())


def _train(out: Output, shop: Shop, size: str, seed: int) -> str:
    """Train, unless a version of the same data and settings is there already."""
    from shoploom.commands.model import print_report, run_training
    from shoploom.data.memory import give_back_memory

    fingerprint = shop.workspace.fingerprint()
    for version in reversed(shop.registry.versions()):
        settings = version.manifest.get("config", {}).get("train", {})
        if version.manifest.get("data_fingerprint") == fingerprint and (
            settings.get("size"), settings.get("seed")) == (size, seed):  # fmt: skip
            out.say(f"{version.name} was trained on the same data with the same settings; it is used again")
            print_report(out, shop.evaluate(version.name))
            return version.name
    result = run_training(out, shop, [f"size={size}", f"seed={seed}"], promote=False, resume=True)
    name = str(result.version)
    del result
    give_back_memory()  # else the service's tables come on top of the training's peak
    return name


def _somebody(shop: Shop) -> str:
    """A customer with a history."""
    state = shop.engine.current.state
    return str(state.shop.customers.ids[0]) if len(state.shop.customers) else ""


def _peak_memory() -> float:
    """Megabytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
