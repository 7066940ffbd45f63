"""What every command prints: what it read, what it wrote, the likely next command; or one JSON object."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="The shop's directory.", show_default="here")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HERE = Path()
FILE_WIDTH = 200
"""Columns of a table in a file or pipe; a terminal has its own."""


class Output:
    """Collects what a command did, and prints it as it goes or as one JSON object at the end.

    Args:
        as_json: Whether standard output is for a machine.
        command: Name of the command, for the JSON object.
    """

    def __init__(self, as_json: bool, command: str) -> None:
        self.as_json = as_json
        self._result: dict[str, Any] = {"command": command, "read": [], "wrote": [], "next": None}
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """Where text goes: standard output for people, standard error beside JSON."""
        if self._console is None:
            from rich.console import Console

            console = Console(stderr=self.as_json, highlight=False, soft_wrap=True)
            if not console.is_terminal:
                console.width = FILE_WIDTH
            self._console = console
        return self._console

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.as_json:
            self.console.print(text, markup=False)

    def title(self, text: str) -> None:
        """A heading for people."""
        if not self.as_json:
            self.console.print(f"\n[bold]== {_plain(text)}[/bold]")

    def read(self, what: object) -> None:
        """Something that the command read."""
        self._result["read"].append(str(what))
        self._labelled("read", str(what))

    def wrote(self, what: object) -> None:
        """Something that the command wrote."""
        self._result["wrote"].append(str(what))
        self._labelled("wrote", str(what))

    def next(self, command: str) -> None:
        """The command that most people want after this one."""
        self._result["next"] = command
        if not self.as_json:
            self.console.print(f"next: [bold]{_plain(command)}[/bold]")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """A table for people.

        Args:
            header: Column titles.
            rows: The cells.
            right: Columns that hold numbers.
        """
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, title in enumerate(header):
            table.add_column(title, justify="right" if i in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    def done(self, **values: Any) -> None:
        """End of the command: with ``--json`` everything is printed now."""
        if self.as_json:
            sys.stdout.write(json.dumps({**self._result, **values}, ensure_ascii=False, default=str) + "\n")

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Print how long a stage took."""
        start = time.perf_counter()
        yield
        self.say(f"{stage} took {time.perf_counter() - start:.1f} s")

    def _labelled(self, label: str, text: str) -> None:
        if not self.as_json:
            self.console.print(f"[dim]{label}[/dim] {_plain(text)}")


def option_text(workspace: Path) -> str:
    """How ``--workspace`` has to be repeated in the next command: nothing for the current directory."""
    return "" if workspace == HERE else f" -w {workspace}"


def counts(values: Mapping[str, int]) -> str:
    """Row counts as words.

    Example:
        >>> counts({"events": 1200, "products": 7, "quarantine": 3})
        '1,200 events, 7 products, 3 in quarantine'
    """
    found = [f"{number:,} {name}" for name, number in values.items() if name != "quarantine"]
    doubtful = values.get("quarantine", 0)
    return ", ".join([*found, f"{doubtful:,} in quarantine"] if doubtful else found)


def cell(value: object) -> str:
    """A value of a table; floats with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
