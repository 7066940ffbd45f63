"""The one training loop: joint steps over all sample spaces, validation, early stopping, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shoploom.config import TrainConfig
from shoploom.errors import ShoploomError
from shoploom.features.panel import cut_rows
from shoploom.model.balancing.base import Balancer
from shoploom.model.balancing.static import Static
from shoploom.model.multitask import MultiTaskModel
from shoploom.training.batches import CustomerBatch
from shoploom.training.calibrate import Calibration, calibrate
from shoploom.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from shoploom.training.examples import (
    CustomerExamples,
    CustomerPlan,
    Examples,
    customer_plan,
    demand_panel,
    product_rows,
)
from shoploom.training.gates import watched
from shoploom.training.steps import RETRIEVAL, Stepper, loss_names

BATCH = {"tiny": 32, "small": 32, "base": 32}
CUTS = {"tiny": 2, "small": 4, "base": 4}
STEPS = {"tiny": 80, "small": 400, "base": 1500}
EVERY = {"tiny": 1, "small": 2, "base": 2}
"""Customers are asked in every so many steps, products and weeks in each: they cost little and need more of them."""
LINES = {"tiny": 1_000_000, "small": 1_950_000, "base": 20_000_000}
"""History lines after which training ends, however few steps that are: customers with long histories teach faster."""
ROUNDS = 6
"""Validations in a training: it is cut into so many rounds of equal length, whatever the size of the shop."""
PRODUCT_PASSES, MOST_PRODUCTS, PANEL_ROWS = 16, 1024, 1000
CHECKPOINT_SECONDS = 20.0
VALID_CUSTOMERS = 256
LEVEL_BOUNDS = (0.8, 1.25)


class DivergedError(ShoploomError):
    """A loss or gradient became NaN or infinite; the message names the task, the batch and what to try."""


class Progress(Protocol):
    """Is told how far the training is; ``losses`` are running means per task."""

    def __call__(self, step: int, total: int, losses: Mapping[str, float], /) -> None:
        """One step is done."""
        ...


@dataclass
class History:
    """What happened in training: mean losses per round and task, and the best round.

    Args:
        train: Per task one value per round.
        valid: Likewise, on what is held back.
        best_round: Round of the kept weights, -1 before the first validation.
        best_score: Its mean relative validation loss (lower is better).
        steps: Steps done.
        seconds: Wall time of the steps done, over all resumptions.
        weights: Per task one value per round: what its gradient was multiplied by at the end of the round.
        gates: Per task with a gate one row per round: the mean share of each expert on what is held back.
        experts: What the columns of ``gates`` are.
    """

    train: dict[str, list[float]] = field(default_factory=dict)
    valid: dict[str, list[float]] = field(default_factory=dict)
    best_round: int = -1
    best_score: float = math.inf
    steps: int = 0
    seconds: float = 0.0
    weights: dict[str, list[float]] = field(default_factory=dict)
    gates: dict[str, list[list[float]]] = field(default_factory=dict)
    experts: dict[str, list[str]] = field(default_factory=dict)


def choose_device(name: str) -> torch.device:
    """``auto`` takes a GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


class Trainer:
    """Trains a model on examples.

    Args:
        model: Freshly built or loaded weights.
        stepper: Computes the losses.
        config: Learning rate, patience and the like.
        steps: Upper bound of steps; customers are read in every ``EVERY``-th of them.
        batch_size: Customers per step.
        folder: Where checkpoints live; None: none are written.
        balancer: Turns the losses into one step; None: their plain sum.
        learning_rate: Overrides the configuration's.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        stepper: Stepper,
        *,
        config: TrainConfig,
        steps: int,
        batch_size: int,
        folder: Path | None = None,
        balancer: Balancer | None = None,
        learning_rate: float | None = None,
    ) -> None:
        self.model = model
        self.stepper = stepper
        self.config = config
        self.steps = steps
        self.batch_size = batch_size
        self.every = EVERY[config.size]
        self.folder = folder
        self.balancer = Static(loss_names(stepper.tasks)) if balancer is None else balancer
        self.learning_rate = config.learning_rate if learning_rate is None else learning_rate
        self.history = History()
        self.optimisers = _optimisers(model, self.learning_rate, config.weight_decay)
        self._best: dict[str, Tensor] | None = None
        self._asked: dict[str, tuple[str, NDArray[np.integer]]] = {}

    @property
    def examples(self) -> Examples:
        """What is learned from."""
        return self.stepper.examples

    def run(
        self, progress: Progress | None = None, *, writer: Callable[[str, float, int], None] | None = None
    ) -> History:
        """Train until the steps are over or validation stops improving; the best weights are left in the model.

        Args:
            progress: Told after each step.
            writer: Takes (tag, value, step), for TensorBoard.

        Raises:
            DivergedError: If a loss is not finite.
        """
        total = self.steps
        per_round = max(1, -(-total // ROUNDS))
        sums: dict[str, list[float]] = self._resume()
        saved = time.monotonic()
        while self.history.steps < total and not self._exhausted():
            start = time.monotonic()
            step = self.history.steps
            self._set_rate(step, total)
            for name, value in self._step(step, self.batch(step)).items():
                sums.setdefault(name, []).append(value)
            self.history.steps += 1
            round_done = self.history.steps % per_round == 0 or self.history.steps == total
            if round_done:
                self._end_round(-(-self.history.steps // per_round) - 1, sums, writer)
                sums = {}
            self.history.seconds += time.monotonic() - start
            if progress is not None:
                progress(self.history.steps, total, {name: float(np.mean(one[-20:])) for name, one in sums.items()})
            if self.folder is not None and (round_done or time.monotonic() - saved > CHECKPOINT_SECONDS):
                self._save(sums)
                saved = time.monotonic()
        if self._best is not None:
            self.model.load_state_dict(self._best)
        return self.history

    # ------------------------------------------------------------------------------------------------ steps

    def batch(self, step: int) -> CustomerBatch | None:
        """The customers of a step; None where it has none, and for a shop without any."""
        customers, seed = self.examples.customers, self.config.seed
        if customers is None or not len(customers.train) or step % self.every:
            return None
        number, cuts = step // self.every, CUTS[self.config.size]
        plan = customer_plan(customers, seed=seed, step=number, size=self.batch_size, cuts=cuts)
        return self.stepper.batcher(customers, plan, seed=seed)

    def _step(self, step: int, batch: CustomerBatch | None) -> dict[str, float]:
        self.model.train()
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        losses = self.losses(step, batch)
        for name, loss in losses.items():
            if not bool(torch.isfinite(loss)):
                raise DivergedError(self._diverged(f"the loss of task {name!r} became {float(loss)}", step, [name]))
        if not losses:  # nothing in this batch has a label
            return {}
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.balancer.backward(losses, parameters=self._trained, last_shared=self._last_shared)
        norm = nn.utils.clip_grad_norm_(_dense(self.model), 5.0)
        if not bool(torch.isfinite(norm)):
            largest = max(losses, key=lambda name: float(losses[name].detach()))
            what = (
                f"the gradient became {float(norm)}, though all losses are finite (the largest is that of {largest!r})"
            )
            raise DivergedError(self._diverged(what, step, [largest]))
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.balancer.after_step(lambda: self._again(step, batch))
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _again(self, step: int, batch: CustomerBatch | None) -> dict[str, Tensor]:
        """The losses of a step's batches after it, with the same dropout."""
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        return self.losses(step, batch)

    def _diverged(self, what: str, step: int, names: list[str]) -> str:
        asked = next((self._told(*self._asked[name]) for name in names if name in self._asked), "of this step")
        weights = self.balancer.task_weights()
        heavy = [f"{name!r} weighs {weights[name]:.3g}" for name in names if abs(weights.get(name, 1.0)) > 10]
        hint = f"; {' and '.join(heavy)}: another train.balancing may do" if heavy else ""
        return (
            f"{what} at step {step}, batch {asked}; try a smaller train.learning_rate (now {self.learning_rate}), "
            f"or look for absurd values with `shoploom check`{hint}"
        )

    def _told(self, kind: str, rows: NDArray[np.integer]) -> str:
        shop = self.stepper.view.shop
        ids = (shop.customers if kind == "customers" else shop.items).ids
        shown = ", ".join(repr(str(ids[row])) for row in rows[:3])
        return f"of {kind} {shown}" + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")

    @cached_property
    def _trained(self) -> list[nn.Parameter]:
        return [one for one in self.model.parameters() if one.requires_grad]

    @cached_property
    def _last_shared(self) -> list[nn.Parameter]:
        spaces = {name: task.space for name, task in self.stepper.tasks.items()}
        return self.model.last_shared(spaces, with_retrieval=RETRIEVAL in loss_names(self.stepper.tasks))

    def losses(self, step: int, batch: CustomerBatch | None) -> dict[str, Tensor]:
        """The losses of all tasks on the batches of one step."""
        seed, examples = self.config.seed, self.examples
        found: dict[str, Tensor] = {}
        if examples.customers is not None and batch is not None:
            found |= self.stepper.customer_losses(examples.customers, batch)
            self._asked |= dict.fromkeys(found, ("customers", batch.plan.customers))
        for salt, (name, products) in enumerate(examples.products.items()):
            size = int(np.clip(len(products.train) * PRODUCT_PASSES / self.steps, 32, MOST_PRODUCTS // self.every))
            rows = product_rows(products, seed=seed, step=step, size=size, salt=salt)
            found[name] = self.stepper.product_loss(name, products, rows)
            self._asked[name] = ("products", products.cases.units[rows])
        for name, demand in examples.demand.items():
            panel, items = demand_panel(demand, seed=seed, step=step, size=PANEL_ROWS // self.every)
            found[name] = self.stepper.demand_loss(name, panel, items)
            self._asked[name] = ("products", items)
        return found

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses on what is held back."""
        self.model.eval()
        examples = self.examples
        found: dict[str, Tensor] = {}
        held = self._held_batch
        if examples.customers is not None and held is not None:
            found |= self.stepper.customer_losses(examples.customers, held)
        for name, products in examples.products.items():
            if len(products.valid):
                found[name] = self.stepper.product_loss(name, products, products.valid[:4000])
        for name, demand in examples.demand.items():
            if len(demand.valid):
                panel = cut_rows(demand.source.at(demand.complete), demand.valid)
                found[name] = self.stepper.demand_loss(name, panel, demand.items[demand.valid])
        return {name: float(loss) for name, loss in found.items()}

    @cached_property
    def _held_batch(self) -> CustomerBatch | None:
        """Customers that are held back, at the newest cuts at which everything is known; the same in every round."""
        customers = self.examples.customers
        if customers is None or not len(customers.valid):
            return None
        cuts = len(customers.days)
        complete = [cut for cut in range(cuts) if all(one[cut] is not None for one in customers.by_task.values())]
        plan = CustomerPlan(customers.valid[:VALID_CUSTOMERS], np.array((complete or list(range(cuts)))[:2]))
        return self.stepper.batcher(customers, plan, seed=0)

    @torch.no_grad()
    def calibrations(self) -> dict[str, Calibration]:
        """Corrections of amounts, prices and pieces by what is held back."""
        self.model.eval()
        examples, found = self.examples, {}
        for name, products in examples.products.items():
            if self.stepper.tasks[name].shape == "quantiles" and len(products.valid):
                out, truth = self.stepper.product_numbers(name, products, products.valid)
                found[name] = calibrate(truth, *np.exp(out.T), relative=True)
        for name, demand in examples.demand.items():
            if len(demand.valid):
                panel = cut_rows(demand.source.at(demand.complete), demand.valid)
                out = self.stepper.demand_numbers(name, panel, demand.items[demand.valid])
                known = panel.truth[:, : out.shape[1]].ravel().astype(np.float64)
                found[name] = calibrate(known, *out.reshape(-1, 3).T)
        if examples.customers is not None and len(examples.customers.valid):
            plan = CustomerPlan(examples.customers.valid, np.zeros(1, dtype=np.int64))
            factors = self._levels(examples.customers)
            for name, (out, truth) in self.stepper.amounts(examples.customers, plan).items():
                found[name] = calibrate(truth, *out.T, factor=factors.get(name, 1.0))
        return found

    def _levels(self, examples: CustomerExamples) -> dict[str, float]:
        """By how much amounts were off in sum over the newest whole horizon: the shop's own trend, within bounds."""
        totals: dict[str, np.ndarray[Any, Any]] = {}
        everybody = np.concatenate([examples.train, examples.valid])
        for start in range(0, len(everybody), VALID_CUSTOMERS):
            plan = CustomerPlan(everybody[start : start + VALID_CUSTOMERS], np.zeros(1, dtype=np.int64))
            for name, (out, truth) in self.stepper.amounts(examples, plan, newest=True).items():
                totals[name] = totals.get(name, np.zeros(2)) + np.array([truth.sum(), out[:, 0].sum()])
        return {name: float(np.clip(one[0] / max(one[1], 1e-9), *LEVEL_BOUNDS)) for name, one in totals.items()}

    def _end_round(
        self, number: int, sums: Mapping[str, list[float]], writer: Callable[[str, float, int], None] | None
    ) -> None:
        history = self.history
        with watched(self.model.trunks) as gates:
            valid = self.validate()
        for name, values in sums.items():
            history.train.setdefault(name, []).append(float(np.mean(values)))
        for name, value in valid.items():
            history.valid.setdefault(name, []).append(value)
        score = self._score()
        if not valid or score < history.best_score:
            history.best_score, history.best_round = score, number
            self._best = {name: one.detach().clone() for name, one in self.model.state_dict().items()}
        for name, weight in self.balancer.task_weights().items():
            history.weights.setdefault(name, []).append(weight)
        for name, use in gates.items():
            history.gates.setdefault(name, []).append(use.shares)
            history.experts[name] = list(use.experts)
        if writer is not None:
            for name, weight in self.balancer.task_weights().items():
                writer(f"weight/{name}", weight, number)
            for name, use in gates.items():
                writer(f"gate_balance/{name}", use.balance, number)
                for expert, share in zip(use.experts, use.shares, strict=True):
                    writer(f"gate/{name}/{expert}", share, number)
            for name in sums:
                writer(f"train/{name}", history.train[name][-1], number)
            for name, value in valid.items():
                writer(f"valid/{name}", value, number)

    def _score(self) -> float:
        """Mean over tasks of the last validation loss relative to the first."""
        ratios = [one[-1] / max(abs(one[0]), 1e-9) for one in self.history.valid.values() if one]
        return float(np.mean(ratios)) if ratios else math.inf

    def _exhausted(self) -> bool:
        done = max((len(one) for one in self.history.valid.values()), default=0)
        return done > 0 and done - 1 - self.history.best_round >= self.config.patience

    def _set_rate(self, step: int, total: int) -> None:
        """Linear warm-up over 5 % of the steps, then a cosine down to 5 %."""
        warm = max(1, total // 20)
        part = min(1.0, (step + 1) / warm)
        cosine = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total))))
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * part * cosine

    # ---------------------------------------------------------------------------------------------- resume

    def _save(self, sums: Mapping[str, list[float]]) -> None:
        assert self.folder is not None
        state: dict[str, Any] = {"history": vars(self.history), "sums": dict(sums)}
        save_checkpoint(self.folder / "last.safetensors", self.model, self.optimisers, self.balancer, state)
        if self._best is not None:
            save_weights(self.folder / "best.safetensors", self._best)

    def _resume(self) -> dict[str, list[float]]:
        last = None if self.folder is None else self.folder / "last.safetensors"
        if last is None or not last.exists():
            return {}
        best = last.with_name("best.safetensors")
        if best.exists():
            self._best = load_weights(best)
        state = load_checkpoint(last, self.model, self.optimisers, self.balancer)
        self.history = History(**state["history"])
        return {name: list(values) for name, values in state["sums"].items()}


def _sparse_names(model: nn.Module) -> set[str]:
    tables = (nn.Embedding, nn.EmbeddingBag)
    return {f"{name}.weight" for name, one in model.named_modules() if isinstance(one, tables) and bool(one.sparse)}


def _dense(model: nn.Module) -> list[nn.Parameter]:
    sparse = _sparse_names(model)
    return [one for name, one in model.named_parameters() if name not in sparse]


def _decays(name: str, weight: nn.Parameter) -> bool:
    """Stacked biases of experts are tables, and biases still."""
    return weight.ndim > 1 and not name.endswith("bias")


def _optimisers(model: nn.Module, rate: float, decay: float) -> dict[str, torch.optim.Optimizer]:
    """AdamW for dense weights (no decay on vectors: biases, norms, time constants), lazy Adam for big tables."""
    sparse = _sparse_names(model)
    dense = [(name, one) for name, one in model.named_parameters() if name not in sparse]
    groups = [
        {"params": [one for name, one in dense if _decays(name, one)], "weight_decay": decay},
        {"params": [one for name, one in dense if not _decays(name, one)], "weight_decay": 0.0},
    ]
    found: dict[str, torch.optim.Optimizer] = {"dense": torch.optim.AdamW(groups, lr=rate, fused=True)}
    tables = [one for name, one in model.named_parameters() if name in sparse]
    if tables:
        found["tables"] = torch.optim.SparseAdam(tables, lr=rate)
    return found
