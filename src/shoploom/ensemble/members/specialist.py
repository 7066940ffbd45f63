"""A model of its own for a task that is worse off in the shared one: the same network, trained for few tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

from shoploom.config import TrainConfig
from shoploom.data.arrays import F32, ShopArrays
from shoploom.ensemble.members.shared import Shared, SharedAnswers
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Prediction, Task
from shoploom.training.shared import REFIT_SHARE, SharedModel, train_shared


class Specialist:
    """The shared network, trained for one task or for a few that help it.

    It is not fitted beside another training: both draw from torch's one stream of random numbers.

    Args:
        config: Size and the like; the seed is given when fitting.
        partners: Tasks that are trained with it.
    """

    name: ClassVar[str] = "specialist"

    def __init__(self, config: TrainConfig | None = None, *, partners: tuple[str, ...] = ()) -> None:
        self.config = config or TrainConfig(size="tiny", device="cpu")
        self.partners = partners
        self.model: SharedModel | None = None
        self.shared = Shared()

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Train from scratch; a second time go on from the weights that are there, with nothing held back."""
        tasks: dict[str, Task] = {name: TASKS.load(name)() for name in self.partners if name != task.name}
        config = replace(self.config, seed=seed)
        share = 1.0 if self.model is None else REFIT_SHARE
        self.model = train_shared(shop, {task.name: task, **tasks}, config, start=self.model, share=share)
        self.shared = Shared(SharedAnswers.of(self.model, shop), task.name)

    def predict(self, shop: ShopArrays, cases: Cases) -> Prediction:
        """Answer the cases as of ``shop.end``."""
        return self.shared.predict(shop, cases)

    def item_vectors(self, shop: ShopArrays) -> F32:
        """(I, D) float32 vectors of the catalogue, as this task sees them."""
        return self.shared.item_vectors(shop)

    def save(self, folder: Path) -> None:
        """As the shared model is saved, weights included."""
        self.shared.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Answers as before; to be fitted anew it starts from scratch."""
        made = cls()
        made.shared = Shared.load(folder)
        return made
