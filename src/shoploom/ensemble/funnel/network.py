"""The funnel's networks as members: body, objective and recipe are all that differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from shoploom.data.arrays import F64
from shoploom.data.impressions import Impressions
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.binary_regression import Columns
from shoploom.training.funnel import FunnelRecipe, Heard, TrainedFunnel, new_funnel_net, train_funnel

FEW: Final = 200_000
"""Below so many impressions ids are not embedded for long: dropout, decay and narrow layers."""


class FunnelNetwork:
    """A trained net.

    Args:
        name: In the table of members.
        recipe: How it is trained with many impressions; ``suited`` narrows it with few.
        progress: Told about the steps.
    """

    def __init__(self, name: str, recipe: FunnelRecipe, progress: Heard | None = None) -> None:
        self.name = name
        self.recipe = recipe
        self.progress = progress
        self.trained: TrainedFunnel | None = None
        self.shape: tuple[tuple[int, ...], int, int, int] = ((), 0, 0, 0)

    def fit(self, rows: Impressions, *, seed: int = 0) -> None:
        """Train from scratch."""
        recipe = suited(self.recipe, len(rows))
        self.recipe = recipe
        self.trained = train_funnel(rows, recipe, seed=seed, progress=self.progress)
        columns, positions = self.trained.columns, len(self.trained.net.examination.raw) + 1
        self.shape = (rows.sizes, int(columns.kept.sum() + columns.gaps.sum()), len(rows.stages), positions)

    def predict(self, rows: Impressions) -> F64:
        """Coherent by construction."""
        assert self.trained is not None, "fit first"
        return self.trained.predict(rows)

    def theta(self) -> F64:
        """(P,) chance that each position is examined, as the net has learned it."""
        assert self.trained is not None, "fit first"
        with torch.no_grad():
            return self.trained.net.examination.log_theta().exp().numpy().astype(np.float64)

    def save(self, folder: Path) -> None:
        """Weights, recipe, shapes."""
        assert self.trained is not None, "fit first"
        columns = self.trained.columns
        arrays = {f"net.{name}": one.numpy() for name, one in self.trained.net.state_dict().items()}
        arrays |= {name: getattr(columns, name) for name in ("kept", "gaps", "mean", "scale")}
        sizes, *rest = self.shape
        save_state(folder, {"recipe": asdict(self.recipe), "sizes": list(sizes), "shape": rest}, arrays)

    def load(self, folder: Path) -> FunnelNetwork:
        """The saved member."""
        settings, arrays = load_state(folder)
        one = FunnelNetwork(self.name, FunnelRecipe(**settings["recipe"]))
        numbers, stages, positions = settings["shape"]
        one.shape = (tuple(settings["sizes"]), numbers, stages, positions)
        net = new_funnel_net(one.recipe, one.shape[0], numbers, stages, positions)
        weights = {name: torch.from_numpy(value) for name, value in arrays.items() if name.startswith("net.")}
        net.load_state_dict({name.removeprefix("net."): value for name, value in weights.items()})
        flags = (arrays["kept"].astype(np.bool_), arrays["gaps"].astype(np.bool_))
        one.trained = TrainedFunnel(net.eval(), Columns(*flags, arrays["mean"], arrays["scale"]))
        return one


@dataclass(frozen=True)
class Kind:
    """What the table of members holds for a network: makes one, or loads a saved one."""

    name: str
    recipe: FunnelRecipe

    def __call__(self) -> FunnelNetwork:
        """An unfitted member."""
        return FunnelNetwork(self.name, self.recipe)

    def load(self, folder: Path) -> FunnelNetwork:
        """A saved member."""
        return self().load(folder)


def suited(recipe: FunnelRecipe, rows: int) -> FunnelRecipe:
    """The recipe, for as many impressions as there are."""
    if rows >= FEW or recipe.embedding <= 4:
        return recipe
    changed = {
        "learning_rate": 3e-3,
        "embedding": 4,
        "hidden": 32,
        "dropout": 0.3,
        "decay": 1.0,
        "epochs": 6,
        "raw": False,
    }
    return FunnelRecipe(**(asdict(recipe) | changed))


LINEAR: Final = Kind("linear", FunnelRecipe(body="linear"))
DEEPFM: Final = Kind("deepfm", FunnelRecipe(body="deepfm"))
DCN: Final = Kind("dcn", FunnelRecipe(body="dcn"))
ESMM: Final = Kind("esmm", FunnelRecipe())
ESCM2_IPS: Final = Kind("escm2_ips", FunnelRecipe(objective="escm2_ips"))
ESCM2_DR: Final = Kind("escm2_dr", FunnelRecipe(objective="escm2_dr"))
AITM: Final = Kind("aitm", FunnelRecipe(objective="aitm"))
NETWORKS: Final[Sequence[Kind]] = (LINEAR, DEEPFM, DCN, ESMM, ESCM2_IPS, ESCM2_DR, AITM)
