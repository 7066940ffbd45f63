"""What the most similar customers buy: the strongest cheap rival for first-time purchases."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.members.tifu_knn import NeighbourBlend
from shoploom.tasks.base import Cases, Ranked, Task


class SimilarCustomers:
    """The mean of the 300 nearest customers' decayed counts, nothing of one's own."""

    name: ClassVar[str] = "neighbours"

    def __init__(self) -> None:
        self.blend: NeighbourBlend | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Remember the customers' vectors."""
        self.blend = NeighbourBlend.fit(shop, own=0.0, new_only=task.name == "new_for_you", seed=seed)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Neighbours' scores of all products."""
        assert self.blend is not None, "fit or load first"
        return self.blend.lists(shop, cases)

    def save(self, folder: Path) -> None:
        """Vectors as arrays."""
        assert self.blend is not None, "fit first"
        save_state(folder, *self.blend.state())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        member = cls()
        member.blend = NeighbourBlend.from_state(*load_state(folder))
        return member
