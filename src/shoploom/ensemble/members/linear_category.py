"""Logistic regression on words of title, brand and attributes, and on price, sales and company."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.shelving import MOST_TAUGHT, Labelled, WordClasses, answered, facts, readable
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.tasks.base import Cases, Classes, Task


class LinearCategory:
    """A multinomial regression; what a product is bought with is read as of ``shop.end``."""

    name: ClassVar[str] = "linear_category"

    def __init__(self) -> None:
        self.values: tuple[str, ...] = ()
        self.known: dict[str, int] = {}
        self.model: WordClasses | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Learn from all labelled products, or from 15,000 of them."""
        del task
        labelled = Labelled.of(shop)
        self.values = labelled.values
        self.known = dict(zip(labelled.ids, labelled.codes.tolist(), strict=True))
        chosen = labelled.sample(MOST_TAUGHT, seed)
        items = labelled.items[chosen]
        dense = facts(shop, items, self.known, len(self.values))
        codes, weight = labelled.codes[chosen], labelled.weights(chosen)
        self.model = WordClasses.fit(readable(shop, items), dense, codes, len(self.values), weight)

    def predict(self, shop: ShopArrays, cases: Cases) -> Classes:
        """Probabilities of the categories."""
        assert self.model is not None, "fit or load first"
        dense = facts(shop, cases.units, self.known, len(self.values))
        return answered(self.values, self.model(readable(shop, cases.units), dense))

    def save(self, folder: Path) -> None:
        """Weights, and the class of each known product."""
        assert self.model is not None, "fit first"
        save_state(folder, {"values": list(self.values), "known": self.known}, self.model.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.values, member.known = tuple(settings["values"]), settings["known"]
        member.model = WordClasses.from_arrays(arrays)
        return member
