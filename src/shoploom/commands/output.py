"""What every command prints: what it read, what it wrote, the likely next command; or one JSON object."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from shoploom.data.workspace import Workspace

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="The shop's directory.", show_default="here")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HERE = Path()
FILE_WIDTH = 200
"""Columns of a table in a file or pipe; a terminal has its own."""
LEAST_PROBABILITY = 0.0001
"""Smaller ones are not told apart."""


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


def counts(values: Mapping[str, int], *, buyers: int = 0) -> str:
    """Row counts as words.

    Args:
        values: Rows per table.
        buyers: Customers that the events name, for a shop without a table of customers.

    Example:
        >>> counts({"events": 1200, "products": 7, "quarantine": 3})
        '1,200 events, 7 products, 3 in quarantine'
    """
    found = {name: f"{number:,} {name}" for name, number in values.items() if name != "quarantine"}
    if buyers:
        found["customers"] = f"{buyers:,} customers in orders, no customer table"
    doubtful = values.get("quarantine", 0)
    return ", ".join([*found.values(), f"{doubtful:,} in quarantine"] if doubtful else found.values())


def tables_text(workspace: Workspace) -> str:
    """What a workspace holds, as words."""
    from shoploom.data import schema

    values = workspace.counts()
    if values["customers"] or not values["events"]:
        return counts(values)
    return counts(values, buyers=workspace.read("events")[schema.CUSTOMER].drop_nulls().n_unique())


def local_times(frame: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """The same table with its moments, which are stored in UTC without a zone, on the shop's clock."""
    import polars as pl

    naive = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone is None]
    return frame.with_columns(pl.col(naive).dt.replace_time_zone("UTC").dt.convert_time_zone(timezone))


def time_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The same table with moments that have a zone as ISO 8601 text with offset."""
    import polars as pl

    zoned = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone]
    return frame.with_columns(pl.col(zoned).dt.strftime("%Y-%m-%dT%H:%M:%S%.f%:z"))


def titles(frame: pl.DataFrame) -> list[str]:
    """Column titles; those of moments name their zone."""
    zones = {name: getattr(kind, "time_zone", None) for name, kind in frame.schema.items()}
    return [f"{name} ({zone})" if zone else name for name, zone in zones.items()]


def cells(frame: pl.DataFrame) -> list[list[str]]:
    """The cells of a table for people."""
    return [[cell(value, probability=name == "probability") for name, value in row.items()] for row in frame.to_dicts()]


def cell(value: object, *, probability: bool = False) -> str:
    """A value of a table: two decimals from 100 on, four digits below; moments as the clock shows them.

    Example:
        >>> cell(138.149), cell(12.3456), cell(0.00001234, probability=True), cell(None)
        ('138.15', '12.35', '< 0.0001', '')
    """
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ")
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if probability and 0 < value < LEAST_PROBABILITY:
        return f"< {LEAST_PROBABILITY}"
    return f"{value:.2f}" if abs(value) >= 100 else f"{value:.4g}"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
