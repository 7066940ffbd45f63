"""What every member of the ensemble does, the shared model and a two-line heuristic alike."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, Self

from shoploom.data.arrays import ShopArrays
from shoploom.tasks.base import Cases, Prediction, Task


class Member(Protocol):
    """One model for one task. Instances are made without arguments.

    ``fit`` may use everything in ``shop`` (it ends at the cut) but rows in ``shop.held``; labels come from earlier
    cuts whose horizons end by then. ``predict`` reads histories as of ``shop.end``, which may be later than at
    ``fit`` and may know customers, items and live events that ``fit`` has not seen.
    """

    name: ClassVar[str]

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn the task from the shop's past."""
        ...

    def predict(self, shop: ShopArrays, cases: Cases) -> Prediction:
        """Answer the cases; one call for a whole batch, and quick for a batch of one."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that ``predict`` needs: JSON, safetensors or LightGBM text; never a pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A member that predicts exactly as the saved one."""
        ...
