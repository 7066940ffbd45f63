"""Trains a ``FunnelNet``: shuffled minibatches, a few passes, the numbers in standard deviations."""

# Shapes: n impressions, G numbers, H inputs (numbers, then a flag for each that has gaps), S stages

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoploom.data.arrays import F32, F64
from shoploom.data.impressions import Impressions
from shoploom.errors import DataError, ShoploomError
from shoploom.features.binary_regression import Columns
from shoploom.model.funnel.network import FunnelNet

Heard = Callable[[int, int, Mapping[str, float]], None]
LARGE_BATCH = 65_536
EXAMINATION_SPEED = 10.0


@dataclass(frozen=True)
class FunnelRecipe:
    """How a net is built and trained.

    Args:
        body, objective: Names in the tables of ``model.funnel``.
        embedding, hidden: Widths.
        dropout: Of the body's answer.
        raw: Leave out numbers that were counted from earlier outcomes: with many impressions of each code the
            embeddings know better, and counts only tempt (simulated shop: .019 below the best AUC without them, .023
            with them).
        epochs: Passes over the impressions. Embeddings of ids learn by heart in later ones, but for ``decay``.
        batch: Impressions at a time; fewer where that would leave less than ``least_steps`` steps in an epoch.
        least_steps: See ``batch``.
        learning_rate: Of Adam at its peak; rises for a twentieth of the steps and falls as a cosine.
        decay: Of embeddings towards 0, as a share of each step (AdamW); without it ids are learned by heart.
    """

    body: str = "mlp"
    objective: str = "esmm"
    embedding: int = 8
    hidden: int = 64
    dropout: float = 0.0
    raw: bool = True
    epochs: int = 4
    batch: int = 1024
    least_steps: int = 50
    learning_rate: float = 1e-2
    decay: float = 0.1


@dataclass(frozen=True)
class TrainedFunnel:
    """A net with how it reads numbers."""

    net: FunnelNet
    columns: Columns

    @torch.no_grad()
    def predict(self, rows: Impressions) -> F64:
        """(n, S) probabilities to be seen to reach each stage at the position, never rising along the chain.

        Where position and examination are unknown: once examined.
        """
        self.net.eval()
        parts = []
        for at in range(0, len(rows), LARGE_BATCH):
            some = slice(at, at + LARGE_BATCH)
            codes = torch.from_numpy(rows.codes[some].astype(np.int64))
            numbers = torch.from_numpy(as_inputs(self.columns, rows.numbers[some]))
            if rows.examined is None:
                looked = self.net.examination(torch.from_numpy(rows.position[some].astype(np.int64)))
            else:
                looked = torch.from_numpy(np.log(rows.examined[some]))
            parts.append((self.net(codes, numbers) + looked[:, None]).exp().numpy().astype(np.float64))
        return np.concatenate(parts) if parts else np.zeros((0, len(rows.stages)))


def train_funnel(
    rows: Impressions, recipe: FunnelRecipe, *, seed: int = 0, progress: Heard | None = None
) -> TrainedFunnel:
    """Train a net from random weights.

    Args:
        rows: Impressions whose outcome is known, as far as it has matured.
        recipe: Sizes and rates.
        seed: Of weights, batches and dropout.
        progress: Told (step, steps, losses).

    Raises:
        DataError: If there are no impressions, or nothing reached the first stage.
        ShoploomError: If the loss is no longer finite.
    """
    if not len(rows) or not len(rows.reached) or not rows.reached[:, 0].any():
        raise DataError(
            f"nothing to learn a funnel from: {len(rows)} impressions, none of which reached {rows.stages[0]!r}; "
            "import a log with later stages, or from an earlier day on"
        )
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 29])
    columns = Columns.fit(rows.numbers) if rows.numbers.shape[1] else _no_columns()
    if recipe.raw and rows.counted:
        other = np.array([name not in rows.counted for name in rows.number_names])
        columns = replace(columns, kept=columns.kept & other, gaps=columns.gaps & other)
    width = int(columns.kept.sum() + columns.gaps.sum())
    positions = int(rows.position.max(initial=-1)) + 1
    net = new_funnel_net(recipe, rows.sizes, width, len(rows.stages), positions)
    net.start(torch.from_numpy(np.maximum(rows.reached.mean(axis=0), 1e-6).astype(np.float32)))
    batch = max(16, min(recipe.batch, len(rows) // recipe.least_steps))
    steps = -(-len(rows) // batch)
    total = steps * recipe.epochs
    optimiser = _optimiser(net, recipe)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in optimiser.param_groups], total + 2, pct_start=0.05, cycle_momentum=False
    )
    net.train()
    step = 0
    for _ in range(recipe.epochs):
        order = rng.permutation(len(rows))
        for at in range(0, len(rows), batch):
            loss = _loss(net, rows, columns, order[at : at + batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
            step += 1
            if step % 100 == 0 or step == total:
                value = float(loss.detach())
                if not np.isfinite(value):
                    raise ShoploomError(
                        f"the funnel's loss became {value} at step {step} of {total} ({recipe.objective} on "
                        f"{recipe.body}); lower learning_rate ({recipe.learning_rate:g})"
                    )
                if progress is not None:
                    progress(step, total, {"funnel": value})
    return TrainedFunnel(net.eval(), columns)


def new_funnel_net(
    recipe: FunnelRecipe, sizes: tuple[int, ...], numbers: int, stages: int, positions: int
) -> FunnelNet:
    """A net with random weights."""
    return FunnelNet(
        sizes,
        numbers,
        stages,
        positions,
        body=recipe.body,
        objective=recipe.objective,
        embedding=recipe.embedding,
        hidden=recipe.hidden,
        dropout=recipe.dropout,
    )


def as_inputs(columns: Columns, numbers: F32) -> F32:
    """(n, H) what the net reads: signed logs in standard deviations, then flags of gaps; no constant."""
    if not numbers.shape[1]:
        return np.zeros((len(numbers), 0), dtype=np.float32)
    return np.ascontiguousarray(columns(numbers)[:, :-1])


def _no_columns() -> Columns:
    flags, values = np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.float32)
    return Columns(flags, flags, values, values)


def _optimiser(net: FunnelNet, recipe: FunnelRecipe) -> torch.optim.Optimizer:
    tables = [one for name, one in net.named_parameters() if name.endswith("table")]
    looks = list(net.examination.parameters())
    known = {id(one) for one in (*tables, *looks)}
    others = [one for one in net.parameters() if id(one) not in known]
    groups: list[dict[str, Any]] = [
        {"params": tables, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
        # a handful of numbers that every row speaks of: they may move fast
        {"params": looks, "weight_decay": 0.0, "lr": EXAMINATION_SPEED * recipe.learning_rate},
    ]
    return torch.optim.AdamW([one for one in groups if one["params"]], lr=recipe.learning_rate)


def _loss(net: FunnelNet, rows: Impressions, columns: Columns, at: NDArray[np.int64]) -> Tensor:
    return net.loss(
        torch.from_numpy(rows.codes[at].astype(np.int64)),
        torch.from_numpy(as_inputs(columns, rows.numbers[at])),
        torch.from_numpy(rows.position[at].astype(np.int64)),
        torch.from_numpy(rows.reached[at]),
        None if rows.matured is None else torch.from_numpy(np.log(rows.matured[at])),
        None if rows.examined is None else torch.from_numpy(np.log(rows.examined[at])),
    )
