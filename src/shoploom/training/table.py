"""Trains a ``TableNet`` on all labels at once: masks for missing ones, early stopping, remedies for rare classes."""

# Shapes: N rows, B rows of a batch, K classes

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shoploom.data.arrays import F64
from shoploom.errors import DataError, UsageError
from shoploom.features.table import TablePipeline, TableShape, TableView
from shoploom.features.table_labels import LabelSet, check_rows, inputs_of
from shoploom.model.sharing import SHARING
from shoploom.model.table import CrossLayer, Fields, Norm, TableBatch, TableNet, WidePath, body, task_name

Imbalance = Literal["none", "weights", "focal", "adjust", "over", "under"]
IMBALANCES: tuple[Imbalance, ...] = ("none", "weights", "focal", "adjust", "over", "under")
SCORED = 4096
"""Rows at a time when nothing is learned."""
Heard = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TableRecipe:
    """How a net is built and trained.

    Args:
        epochs: Passes over the rows at most.
        patience: Epochs without a better held-out loss before training ends.
        batch: Rows per step; few rows make smaller batches, 32 at least.
        learning_rate, weight_decay: Of AdamW; the rate rises for a tenth of the steps and falls as a cosine.
        imbalance: What is done for rare classes. ``weights``: each class weighs 1 / sqrt(its share), mean 1; ``focal``:
            (1 - p)^focus; ``adjust``: logits plus ``strength`` * log share in the loss (Menon et al. 2021,
            arXiv:2007.07314, Eq. 10); ``over`` and ``under``: rows are drawn so that the classes of the rarest kind
            that they have come more often, or the common ones less often.
        focus, strength: Of ``focal`` and ``adjust``.
        smoothing: Of labels, in [0, 1).
        held: Share of the rows held out for early stopping, where no rows are given.
        weights: Weight of each label's loss; 1 where not named.
        dim: Width of the trunk.
        width, text_width, token_width: Of embeddings of columns, of the factors of texts, and of their tokens (0: only
            the linear path reads tokens).
        crosses: Layers of crosses; 0 for none.
        dropout: In body and trunk.
        token_dropout: Of the tokens of texts.
        norm: ``layer``, ``batch`` or ``none``.
        sharing: Name of the sharing scheme.
        wide: Whether there is a linear path.
    """

    epochs: int = 5
    patience: int = 2
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    imbalance: Imbalance = "none"
    focus: float = 2.0
    strength: float = 1.0
    smoothing: float = 0.0
    held: float = 0.1
    weights: Mapping[str, float] = field(default_factory=dict)
    dim: int = 128
    width: int = 8
    text_width: int = 64
    token_width: int = 0
    crosses: int = 2
    dropout: float = 0.2
    token_dropout: float = 0.3
    norm: Norm = "layer"
    sharing: str = "shared_bottom"
    wide: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UsageError: If a value is out of its range.
        """
        if self.imbalance not in IMBALANCES:
            raise UsageError(f"imbalance {self.imbalance!r} is unknown; known: {', '.join(IMBALANCES)}")
        if not 0.0 <= self.smoothing < 1.0 or not 0.0 <= self.held < 1.0:
            raise UsageError(f"smoothing={self.smoothing} and held={self.held} must lie in [0, 1)")
        if self.epochs < 1 or self.batch < 2:
            raise UsageError(f"epochs={self.epochs} and batch={self.batch} must be at least 1 and 2")
        if self.imbalance == "focal" and self.smoothing:
            raise UsageError("imbalance='focal' and smoothing contradict each other; set smoothing=0")


def new_table_net(shape: TableShape, classes: Mapping[str, int], recipe: TableRecipe, *, seed: int = 0) -> TableNet:
    """A net with random weights.

    Args:
        shape: Of the table.
        classes: Number of classes of each label.
        recipe: Sizes.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    tasks = [task_name(place) for place in range(len(classes))]
    fields = Fields(
        shape, width=recipe.width, text_width=recipe.text_width, token_width=recipe.token_width, dropout=recipe.dropout
    )
    return TableNet(
        fields=fields,
        crosses=[CrossLayer(fields.width) for _ in range(recipe.crosses)],
        body=body(fields.width, recipe.dim, norm=recipe.norm, dropout=recipe.dropout),
        trunk=SHARING.load(recipe.sharing)(recipe.dim, tasks=tasks, dropout=recipe.dropout),
        heads={label: nn.Linear(recipe.dim, count) for label, count in classes.items()},
        wide=WidePath(fields, shape, sum(classes.values())) if recipe.wide else None,
        token_dropout=recipe.token_dropout,
    )


def train_table_net(
    net: TableNet,
    view: TableView,
    labels: LabelSet,
    recipe: TableRecipe,
    *,
    held: tuple[TableView, LabelSet] | None = None,
    seed: int = 0,
    progress: Heard | None = None,
) -> TableNet:
    """Train a net; the state with the lowest held-out loss stays.

    Args:
        net: Is changed.
        view: N rows.
        labels: Of the same rows; a row needs not have all.
        recipe: Rates and remedies.
        held: Rows for early stopping; None: ``recipe.held`` of the rows, none at all if that is 0.
        seed: Of batches and dropout.
        progress: Told (step, steps at most, losses by label) after each epoch.

    Raises:
        DataError: If a loss is no number; the message names the label and the step.
    """
    check_rows(view, labels)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 17])
    if held is None and recipe.held > 0:
        order = rng.permutation(len(view))
        cut = round(recipe.held * len(view))
        held = (view.take(order[:cut]), labels.take(order[:cut])) if cut else None
        view, labels = view.take(order[cut:]), labels.take(order[cut:])
    losses = {label: _loss_of(labels, label, recipe) for label in net.labels}
    codes = {label: torch.from_numpy(labels.codes[label]) for label in net.labels}
    size = int(np.clip(len(view) // 64, 32, recipe.batch))
    optimiser = torch.optim.AdamW(
        _groups(net, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True
    )
    steps = -(-len(view) // size)
    total = recipe.epochs * steps
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total + 1, pct_start=0.1)
    best, kept, waited, step = np.inf, None, 0, 0
    for _ in range(recipe.epochs):
        net.train()
        sums = dict.fromkeys(net.labels, 0.0)
        for rows in np.array_split(_drawn(labels, recipe.imbalance, rng), steps):
            logits = net(as_batch(view.take(rows)))
            chosen = torch.from_numpy(rows)
            own = {label: losses[label](logits[label], codes[label][chosen]) for label in net.labels}
            step += 1
            _check_losses(own, step, recipe)
            loss = torch.stack([recipe.weights.get(label, 1.0) * one for label, one in own.items()]).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            rate.step()
            for label, one in own.items():
                sums[label] += float(one.detach())
        told = {label: value / steps for label, value in sums.items()}
        if held is not None:
            told = held_out_losses(net, *held)
            mean = sum(recipe.weights.get(label, 1.0) * value for label, value in told.items())
            waited += 1
            if mean < best:
                best, kept, waited = mean, copy.deepcopy(net.state_dict()), 0
        if progress is not None:
            progress(step, total, told)
        if waited >= recipe.patience:
            break
    if kept is not None:
        net.load_state_dict(kept)
    return net.eval()


def held_out_losses(net: TableNet, view: TableView, labels: LabelSet) -> dict[str, float]:
    """Mean log loss of each label, over the entropy of its classes; 0 for labels without known rows."""
    found = table_logits(net, view)
    losses = {}
    for label in net.labels:
        known = labels.known(label)
        logits = torch.from_numpy(found[label][known])
        shares = np.bincount(labels.codes[label][known]) / max(1, len(known))
        entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
        codes = torch.from_numpy(labels.codes[label][known])
        losses[label] = float(functional.cross_entropy(logits, codes)) / max(entropy, 1e-3) if len(known) else 0.0
    return losses


@torch.no_grad()
def table_logits(net: TableNet, view: TableView) -> dict[str, F64]:
    """(N, K) logits of every label, without dropout."""
    training = net.training
    net.eval()
    parts: dict[str, list[F64]] = {label: [] for label in net.labels}
    for start in range(0, max(1, len(view)), SCORED):
        found = net(as_batch(view.take(np.arange(start, min(len(view), start + SCORED)))))
        for label, one in found.items():
            parts[label].append(one.double().numpy())
    net.train(training)
    return {label: np.concatenate(each) for label, each in parts.items()}


def as_batch(view: TableView) -> TableBatch:
    """Rows as tensors."""
    return TableBatch(
        numbers=torch.from_numpy(view.numbers),
        codes=torch.from_numpy(view.codes.astype(np.int64)),
        tokens=torch.from_numpy(view.texts.indices.astype(np.int64)),
        weights=torch.from_numpy(view.texts.data.astype(np.float32)),
        offsets=torch.from_numpy(view.texts.indptr[:-1].astype(np.int64)),
        factors=torch.from_numpy(view.factors),
    )


class TableModel:
    """A trained net with its pipeline: rows of a table in, probabilities out.

    Args:
        pipeline: Fitted.
        net: Trained.
        classes: Values of each label, in the order of the columns of ``predict``.
        recipe: How it was trained.
        seconds: What that took.
    """

    def __init__(
        self,
        pipeline: TablePipeline,
        net: TableNet,
        classes: Mapping[str, tuple[str, ...]],
        recipe: TableRecipe,
        seconds: float = 0.0,
    ) -> None:
        self.pipeline = pipeline
        self.net = net
        self.classes = dict(classes)
        self.recipe = recipe
        self.seconds = seconds

    @property
    def num_parameters(self) -> int:
        """Trained numbers of the net."""
        return self.net.num_parameters

    def predict(self, frame: pl.DataFrame) -> dict[str, F64]:
        """(N, K) probabilities of every label's classes."""
        return {label: softmax(one) for label, one in table_logits(self.net, self.pipeline.transform(frame)).items()}

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Settings for JSON and arrays for a file."""
        settings, arrays = self.pipeline.state()
        arrays = {f"pipeline.{name}": one for name, one in arrays.items()}
        arrays |= {f"net.{name}": one.numpy() for name, one in self.net.state_dict().items()}
        classes = [(label, list(one)) for label, one in self.classes.items()]
        about = {"pipeline": settings, "classes": classes, "recipe": asdict(self.recipe), "seconds": self.seconds}
        return about, arrays

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of ``state``."""
        own = {name.removeprefix("pipeline."): one for name, one in arrays.items() if name.startswith("pipeline.")}
        pipeline = TablePipeline.from_state(settings["pipeline"], own)
        classes = {label: tuple(one) for label, one in settings["classes"]}
        recipe = TableRecipe(**settings["recipe"])
        net = new_table_net(pipeline.shape, {label: len(one) for label, one in classes.items()}, recipe)
        state = {name.removeprefix("net."): one for name, one in arrays.items() if name.startswith("net.")}
        net.load_state_dict({name: torch.from_numpy(one) for name, one in state.items()})
        return cls(pipeline, net.eval(), classes, recipe, settings["seconds"])


def train_table(
    frame: pl.DataFrame,
    labels: Sequence[str],
    recipe: TableRecipe | None = None,
    seed: int = 0,
    *,
    leave_out: Sequence[str] = (),
    progress: Heard | None = None,
) -> TableModel:
    """Train one network on some label columns of a table, for example on one: a single-task twin.

    Args:
        frame: Training rows.
        labels: Names of label columns.
        recipe: How; the same recipe gives every choice of labels the same budget.
        seed: Of everything random.
        leave_out: Columns that are no input, for example the labels of other tasks and ids.
        progress: Told after each epoch.
    """
    start = time.perf_counter()
    recipe = recipe or TableRecipe()
    known = LabelSet.read(frame, labels)
    inputs = inputs_of(frame, labels, leave_out)
    pipeline = TablePipeline().fit(inputs, seed=seed)
    net = new_table_net(pipeline.shape, {label: len(one) for label, one in known.classes.items()}, recipe, seed=seed)
    view = pipeline.transform(inputs)
    train_table_net(net, view, known, recipe, seed=seed, progress=progress)
    return TableModel(pipeline, net, known.classes, recipe, time.perf_counter() - start)


def softmax(logits: F64) -> F64:
    """Rows that add up to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _groups(net: TableNet, decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only: norms and biases have none."""
    matrices = [one for one in net.parameters() if one.ndim > 1]
    others = [one for one in net.parameters() if one.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _loss_of(labels: LabelSet, label: str, recipe: TableRecipe) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean loss over the known rows of a batch, 0 without one."""
    shares = torch.from_numpy(labels.shares(label)).float()
    weights = None
    if recipe.imbalance == "weights":
        weights = shares**-0.5
        weights = weights / (weights * shares).sum()
    lift = recipe.strength * shares.log() if recipe.imbalance == "adjust" else None

    def loss(logits: Tensor, codes: Tensor) -> Tensor:
        known = codes >= 0
        if not known.any():
            return logits.sum() * 0.0
        logits, codes = logits[known], codes[known]
        if lift is not None:
            logits = logits + lift
        if recipe.imbalance == "focal":
            log_p = functional.log_softmax(logits, dim=1).gather(1, codes[:, None])[:, 0]
            return -((1.0 - log_p.exp()) ** recipe.focus * log_p).mean()
        return functional.cross_entropy(logits, codes, weight=weights, label_smoothing=recipe.smoothing)

    return loss


def _drawn(labels: LabelSet, imbalance: Imbalance, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rows of a pass in random order; with ``over`` and ``under`` drawn by the rarest class that each has."""
    number = len(labels)
    if imbalance not in ("over", "under"):
        return rng.permutation(number)
    share = np.ones(number)
    for label, codes in labels.codes.items():
        own = labels.shares(label) * len(labels.classes[label])  # 1 where all classes are as frequent
        share = np.minimum(share, np.where(codes >= 0, own[codes], 1.0))
    weight = share**-0.5
    if imbalance == "over":
        return rng.choice(number, number, p=weight / weight.sum())
    return rng.permutation(np.flatnonzero(rng.random(number) < weight / weight.max()))


def _check_losses(losses: Mapping[str, Tensor], step: int, recipe: TableRecipe) -> None:
    for label, one in losses.items():
        if not torch.isfinite(one):
            raise DataError(
                f"the loss of label {label!r} is {float(one.detach())} at step {step}; try a learning rate below "
                f"{recipe.learning_rate} or norm='layer', and look for extreme values in the inputs"
            )
