"""One joint step: the losses of all tasks on their batches, computed with one pass through the shared encoders."""

# Shapes: B customers, Q cuts, E queries, M candidates, U distinct items, D width

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoploom.features.panel import Panel
from shoploom.features.pipeline import ShopView
from shoploom.model.build import ModelSpec
from shoploom.model.encoders.customer import CustomerState
from shoploom.model.encoders.item import ItemBatch
from shoploom.model.heads.demand import demand_batch
from shoploom.model.heads.ranking import sampled_softmax
from shoploom.model.inputs import ItemUse, candidate_batch, visit_batch
from shoploom.model.multitask import MultiTaskModel
from shoploom.tasks.base import Task, Truth
from shoploom.training.batches import Batcher, CustomerBatch, Sampled
from shoploom.training.examples import (
    CustomerExamples,
    CustomerPlan,
    CutCases,
    Examples,
    ProductExamples,
)

RETRIEVAL = "retrieval"
"""The loss of the taste part, which ranking tasks bring and which is no task."""


def loss_names(tasks: Mapping[str, Task]) -> list[str]:
    """Names of all losses that the steps of some tasks can have."""
    ranks = any(one.space == "customer" and one.shape == "ranking" for one in tasks.values())
    return [*tasks, *([RETRIEVAL] if ranks else [])]


@dataclass(frozen=True)
class Scales:
    """Training means that make losses of amounts and pieces comparable, by task."""

    mean: dict[str, float] = field(default_factory=dict)


class Stepper:
    """Computes the losses of batches.

    Args:
        model: The model to train.
        spec: Its shape.
        view: Features of the training shop.
        examples: What it learns from.
        tasks: By name.
        scales: Means of amounts.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        *,
        spec: ModelSpec,
        view: ShopView,
        examples: Examples,
        tasks: Mapping[str, Task],
        scales: Scales,
        device: torch.device,
    ) -> None:
        self.model = model
        self.spec = spec
        self.view = view
        self.examples = examples
        self.tasks = tasks
        self.scales = scales
        self.device = device
        self.batcher = Batcher(view, tasks, spec.num_ids)

    # -------------------------------------------------------------------------------------------- customers

    def customer_losses(self, examples: CustomerExamples, batch: CustomerBatch) -> dict[str, Tensor]:
        """Losses of all customer tasks on a batch."""
        use, vectors = batch.use, self.model.encode_items(batch.items.to(self.device))
        places = use.place(batch.visits.line_items, self.device)
        state = self.model.encode_customers(visit_batch(batch.visits, batch.as_of, vectors, places))
        losses: dict[str, Tensor] = {}
        state_ED = state.vector.flatten(0, 1)[torch.from_numpy(batch.flat).to(self.device)]
        taste_ED = self.model.retrieval(state_ED)
        for name, ranking in batch.rankings.items():
            found = ranking.candidates
            viewed = self.model.shared("customer", state_ED, name)
            picked = vectors[use.place(found.items, self.device)]
            scores = self.model.heads[name](viewed, taste_ED, picked, candidate_batch(found, self.device))
            labels = torch.from_numpy(ranking.labels).to(self.device)
            losses[name] = self.model.heads[name].loss(scores, labels)  # type: ignore[operator]
        if len(batch.sampled.flat):
            losses[RETRIEVAL] = self._retrieval(state.vector, vectors, use, batch.sampled)
        for name, task in self.tasks.items():
            if task.space == "customer" and task.shape != "ranking":
                loss = self._plain(task, examples, batch.plan, state.vector, state.rates)
                losses |= {} if loss is None else {name: loss}
        return losses

    def _states(self, examples: CustomerExamples, plan: CustomerPlan, cuts: Sequence[int]) -> CustomerState:
        """States of some customers at some cuts."""
        visits = self.view.visits(plan.customers)
        use = ItemUse.of(visits.line_items)
        vectors = self.encode(use.rows)
        as_of = np.tile(examples.days[list(cuts)] - self.view.shop.end, (len(plan.customers), 1))
        places = use.place(visits.line_items, self.device)
        return self.model.encode_customers(visit_batch(visits, as_of, vectors, places))

    def _plain(
        self, task: Task, examples: CustomerExamples, plan: CustomerPlan, states: Tensor, rates: Tensor
    ) -> Tensor | None:
        """The loss of a task with one answer per customer and moment."""
        found = self._plain_cases(task, examples, plan, range(len(examples.days)))
        if found is None:
            return None
        place, truth = found
        x_nD = self.model.shared("customer", states.flatten(0, 1)[place], task.name)
        return self._loss(task, x_nD, truth, rates.flatten(0, 1)[place])

    def _plain_cases(
        self, task: Task, examples: CustomerExamples, plan: CustomerPlan, cuts: Sequence[int]
    ) -> tuple[Tensor, Truth] | None:
        """Positions among the states at some cuts (all of them cost next to nothing) and the truth."""
        flat, truths = [], []
        for place, cut in enumerate(cuts):
            found: CutCases | None = examples.standing.get(task.name) or examples.by_task[task.name][cut]
            if found is None:
                continue
            rows = found.place[plan.customers]
            known = np.flatnonzero(rows >= 0)
            flat.append(known * len(cuts) + place)
            assert found.cases.truth is not None
            truths.append(found.cases.truth.take(rows[known]))
        if not sum(len(one) for one in flat):
            return None
        return torch.from_numpy(np.concatenate(flat)).to(self.device), _joined(truths)

    def _loss(self, task: Task, x_nD: Tensor, truth: Truth, rates: Tensor | None = None) -> Tensor:
        head = self.model.heads[task.name]
        if task.shape == "classes":
            codes = {name: torch.from_numpy(one.astype(np.int64)).to(self.device) for name, one in truth.codes.items()}
            return head.loss(head(x_nD), codes)  # type: ignore[no-any-return, operator]
        assert truth.numbers is not None
        numbers = torch.from_numpy(truth.numbers.astype(np.float32)).to(self.device)
        if task.shape == "amount":
            scale = torch.tensor(self.scales.mean[task.name], device=self.device)
            return head.loss(head(x_nD, rates), numbers, scale)  # type: ignore[no-any-return, operator]
        return head.loss(head(x_nD), numbers)  # type: ignore[no-any-return, operator]

    def _retrieval(self, states: Tensor, vectors: Tensor, use: ItemUse, sampled: Sampled) -> Tensor:
        log_q = self.batcher.log_chance
        flat = torch.from_numpy(sampled.flat).to(self.device)
        same = torch.from_numpy(sampled.positive[:, None] == sampled.negative[None]).to(self.device)
        return 0.5 * sampled_softmax(
            self.model.retrieval(states.flatten(0, 1)[flat]),
            vectors[use.place(sampled.positive, self.device)],
            vectors[use.place(sampled.negative, self.device)],
            torch.from_numpy(log_q[sampled.positive]).to(self.device),
            torch.from_numpy(log_q[sampled.negative]).to(self.device),
            same,
        )

    # ------------------------------------------------------------------------------------ products, demand

    def product_loss(self, name: str, examples: ProductExamples, rows: NDArray[np.int64]) -> Tensor:
        """The loss of a product task on some labelled products."""
        task, cases = self.tasks[name], examples.cases
        assert cases.truth is not None
        vectors = self.encode(cases.units[rows], task.hides, keep_ids=True, task=name)
        return self._loss(task, self.model.shared("product", vectors, name), cases.truth.take(rows))

    def product_numbers(
        self, name: str, examples: ProductExamples, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Raw answers (n, 3) of a product task and the truth (n,)."""
        task, cases = self.tasks[name], examples.cases
        vectors = self.model.shared("product", self.encode(cases.units[rows], task.hides, task=name), name)
        assert cases.truth is not None
        assert cases.truth.numbers is not None
        return self.model.heads[name](vectors).double().cpu().numpy(), cases.truth.numbers[rows]

    def demand_numbers(self, name: str, panel: Panel, items: NDArray[np.integer]) -> NDArray[np.float64]:
        """Forecasts (n, W, 3) at one origin."""
        vectors = self.model.shared("block", self.encode(items), name)
        out: NDArray[np.float64] = (
            self.model.heads[name](vectors, demand_batch(panel, self.device)).double().cpu().numpy()
        )
        return out

    def amounts(
        self, examples: CustomerExamples, plan: CustomerPlan, *, newest: bool = False
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Raw answers (n, 3) and truth (n,) of every amount task for some customers, at all cuts or the newest one."""
        found = {}
        for cuts, tasks in self._amount_tasks(examples, newest=newest).items():
            state = self._states(examples, plan, cuts)
            for task in tasks:
                cases = self._plain_cases(task, examples, plan, cuts)
                if cases is not None:
                    flat, truth = cases
                    assert truth.numbers is not None
                    viewed = self.model.shared("customer", state.vector.flatten(0, 1)[flat], task.name)
                    out = self.model.heads[task.name](viewed, state.rates.flatten(0, 1)[flat])
                    found[task.name] = out.double().cpu().numpy(), truth.numbers
        return found

    def _amount_tasks(self, examples: CustomerExamples, *, newest: bool) -> dict[tuple[int, ...], list[Task]]:
        """Amount tasks by the cuts to ask them at: all, or the newest with labels."""
        found: dict[tuple[int, ...], list[Task]] = {}
        for task in self.tasks.values():
            if task.space == "customer" and task.shape == "amount":
                cuts = tuple(
                    cut
                    for cut in range(len(examples.days))
                    if task.name in examples.standing or examples.by_task[task.name][cut] is not None
                )
                found.setdefault(cuts[:1] if newest else cuts, []).append(task)
        return {cuts: tasks for cuts, tasks in found.items() if cuts}

    def demand_loss(self, name: str, panel: Panel, items: NDArray[np.integer]) -> Tensor:
        """The loss of the demand task on some products at one origin."""
        vectors = self.model.shared("block", self.encode(items), name)
        batch = demand_batch(panel, self.device)
        truth = torch.from_numpy(panel.truth).to(self.device)
        scale = torch.tensor(self.scales.mean[name], device=self.device)
        head = self.model.heads[name]
        return head.loss(head(vectors, batch), truth, scale)  # type: ignore[no-any-return, operator]

    def encode(
        self,
        rows: NDArray[np.integer],
        hide: frozenset[str] = frozenset(),
        *,
        keep_ids: bool = False,
        task: str = "",
    ) -> Tensor:
        """Item vectors of catalogue rows as ``task`` reads them; ``keep_ids``: id vectors are read but not learned."""
        batch = ItemBatch.of(self.view.item_arrays, rows, self.spec.num_ids).to(self.device)
        return self.model.encode_items_for(task, batch, hide, keep_ids=keep_ids)


def _joined(truths: list[Truth]) -> Truth:
    numbers = [one.numbers for one in truths if one.numbers is not None]
    names = truths[0].codes
    return Truth(
        numbers=np.concatenate(numbers) if numbers else None,
        codes={name: np.concatenate([one.codes[name] for one in truths]) for name in names},
    )
