"""The progress bar of a training: the stage, steps, time left, and the loss of each task."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console


class TrainingBar:
    """A context manager that the training calls while it works.

    Args:
        console: Where to draw; where it is no terminal, each stage gets a line instead.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.console = console
        self._stage = ""
        self._task: Any = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, stage: str, done: int, total: int, losses: Mapping[str, float] | None = None) -> None:
        """Told by the training how far a stage is."""
        if stage != self._stage:
            self._stage = stage
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(stage, total=total, losses="")
            self.console.print(f"[dim]{stage}[/dim]")
        shown = "  ".join(f"{name} {loss:.3g}" for name, loss in (losses or {}).items())
        self._bar.update(self._task, completed=done, total=total, losses=shown)
