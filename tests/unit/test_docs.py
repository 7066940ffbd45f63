"""The pages are complete and true: what exists has a heading, and what they name exists."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from shoploom.cli import app
from shoploom.config import Config
from shoploom.ensemble.members import MEMBERS
from shoploom.tasks import TASKS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
COMMANDS = typer.main.get_group(app).commands
CONFIG = Config()
KEYS = [
    f"{section}.{field.name}"
    for section in ("shop", "cleaning", "clock", "train", "recommend", "serve")
    for field in dataclasses.fields(getattr(CONFIG, section))
]


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ +(.+?) *$", path.read_text(encoding="utf-8"), flags=re.M)


def shown_commands() -> Iterator[tuple[str, str]]:
    """Every line ``shoploom ...`` in an indented or fenced block."""
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if re.match(r"^(    )?shoploom [a-z]", line):
                yield page.name, line.strip()


def test_there_is_something_to_look_at() -> None:
    assert len(PAGES) > 15
    assert len(list(shown_commands())) > 20
    assert len(KEYS) > 20


@pytest.mark.parametrize("name", list(TASKS))
def test_each_task_has_a_page_that_names_its_metric_and_rivals(name: str) -> None:
    page = (DOCS / "tasks" / f"{name}.md").read_text(encoding="utf-8")
    task = TASKS.load(name)
    assert page.startswith(f"# {name}\n")
    for words in (
        "**Who is asked.**",
        "**Label.**",
        "**Metric.**",
        "**Rivals.**",
        "**Must not see.**",
        "**Poor data.**",
    ):
        assert words in page, f"{name}.md lacks {words}"
    assert f"`{task.metric}`" in page
    rivals = page.partition("**Rivals.**")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", rivals)) == set(task.rivals)


def test_no_page_is_about_a_task_that_is_gone() -> None:
    assert {page.stem for page in (DOCS / "tasks").glob("*.md")} - {"README"} == set(TASKS)
    assert f"{'eight' if len(TASKS) == 8 else len(TASKS)} questions" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", list(TASKS))
def test_rivals_exist(name: str) -> None:
    assert [rival for rival in TASKS.load(name).rivals if rival not in MEMBERS] == []


def test_each_config_key_has_a_heading_and_no_heading_is_stale() -> None:
    found = {one for one in headings(DOCS / "configuration.md") if "." in one}
    assert found == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_the_page_states_the_default(key: str) -> None:
    page = (DOCS / "configuration.md").read_text()
    text = page.partition(f"## {key}\n")[2].partition("\n#")[0]
    section, _, name = key.partition(".")
    stated = re.search(r"Default `(.+?)`", text)
    assert stated is not None, f"{key} has no default on its page"
    default = getattr(getattr(CONFIG, section), name)
    shown = {"true": True, "false": False}.get(stated[1], stated[1])
    value = shown if isinstance(shown, bool) else ast.literal_eval(stated[1])
    assert value == (list(default) if isinstance(default, tuple) else default)


def test_each_command_has_a_heading() -> None:
    assert [one for one in headings(DOCS / "cli.md") if one != "Command line"] == list(COMMANDS)


@pytest.mark.parametrize(("page", "line"), list(shown_commands()))
def test_commands_on_the_pages_exist_with_these_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    assert words[1] in COMMANDS, f"{page}: {line}"
    command = COMMANDS[words[1]]
    if isinstance(command, TyperGroup):
        assert words[2] in command.commands, f"{page}: {line}"
        command = command.commands[words[2]]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    assert [word for word in words[2:] if word.startswith("-") and word not in known] == [], f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    "target", re.findall(r"(?:^    |`)(?:\w+=\d )?make ([a-z]+)", (ROOT / "README.md").read_text(), flags=re.M)
)
def test_make_targets_of_the_readme_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.M)


def test_the_python_example_is_valid_and_uses_what_exists() -> None:
    from shoploom import Shop

    blocks = re.findall(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert blocks
    for node in ast.walk(ast.parse("\n".join(blocks))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("shop", "Shop"):
            assert hasattr(Shop, node.attr), node.attr
