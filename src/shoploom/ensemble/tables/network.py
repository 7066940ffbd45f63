"""The multi-task network as a member: one net for all labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch

from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.tables.base import Held, Logits
from shoploom.features.table import TableShape, TableView
from shoploom.features.table_labels import LabelSet
from shoploom.model.table import TableNet
from shoploom.training.table import Heard, TableRecipe, new_table_net, table_logits, train_table_net


class Network:
    """A ``TableNet`` for all labels.

    Args:
        recipe: How it is trained.
        progress: Told after each epoch.
    """

    name: ClassVar[str] = "network"
    refit: ClassVar[bool] = False

    def __init__(self, recipe: TableRecipe | None = None, progress: Heard | None = None) -> None:
        self.recipe = recipe or TableRecipe()
        self.progress = progress
        self.shape: TableShape | None = None
        self.classes: dict[str, int] = {}
        self.net: TableNet | None = None

    def fresh(self) -> Self:
        """Another one with the same recipe."""
        return type(self)(self.recipe, self.progress)

    def fit(self, view: TableView, shape: TableShape, labels: LabelSet, *, held: Held | None = None, seed: int) -> None:
        """Train from random weights."""
        self.shape = shape
        self.classes = {label: len(one) for label, one in labels.classes.items()}
        net = new_table_net(shape, self.classes, self.recipe, seed=seed)
        self.net = train_table_net(net, view, labels, self.recipe, held=held, seed=seed, progress=self.progress)

    def logits(self, view: TableView) -> Logits:
        """The heads' logits."""
        assert self.net is not None, "fit first"
        return table_logits(self.net, view)

    def save(self, folder: Path) -> None:
        """Weights and recipe."""
        assert self.net is not None, "fit first"
        assert self.shape is not None
        shape = {
            "numbers": list(self.shape.numbers),
            "categories": list(self.shape.categories),
            "sizes": list(self.shape.sizes),
            "tokens": self.shape.tokens,
            "factors": self.shape.factors,
        }
        arrays = {f"net.{name}": one.numpy() for name, one in self.net.state_dict().items()}
        settings = {"recipe": asdict(self.recipe), "shape": shape, "classes": list(self.classes.items())}
        save_state(folder, settings, arrays | {"edges": self.shape.edges})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved net."""
        settings, arrays = load_state(folder)
        one = cls(TableRecipe(**settings["recipe"]))
        about = settings["shape"]
        one.shape = TableShape(
            numbers=tuple(about["numbers"]),
            categories=tuple(about["categories"]),
            sizes=tuple(about["sizes"]),
            edges=np.asarray(arrays.pop("edges")),
            tokens=about["tokens"],
            factors=about["factors"],
        )
        one.classes = dict(settings["classes"])
        one.net = new_table_net(one.shape, one.classes, one.recipe)
        one.net.load_state_dict({name.removeprefix("net."): torch.from_numpy(a) for name, a in arrays.items()})
        one.net.eval()
        return one
