"""One joint step: the losses of all tasks on their batches, computed with one pass through the shared encoders."""

# Shapes: B customers, Q cuts, E queries, M candidates, U distinct items, D width

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoploom.features.candidates import Candidates, Reach
from shoploom.features.panel import Panel
from shoploom.features.pipeline import ShopView, VisitArrays
from shoploom.model.build import ModelSpec
from shoploom.model.encoders.customer import CustomerState
from shoploom.model.encoders.item import ItemBatch
from shoploom.model.heads.demand import demand_batch
from shoploom.model.heads.ranking import sampled_softmax
from shoploom.model.inputs import ItemUse, candidate_batch, visit_batch
from shoploom.model.multitask import MultiTaskModel
from shoploom.tasks.base import Task, Truth
from shoploom.training.examples import (
    CustomerExamples,
    CustomerPlan,
    CutCases,
    Examples,
    ProductExamples,
    truth_rows,
)

REPEAT = Reach(own=120, popular=50, kindred=30)
DISCOVER = Reach(own=0, popular=150, kindred=150)
NEGATIVES, POSITIVES = 512, 6


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
        self._popular = _sampling(view)

    # -------------------------------------------------------------------------------------------- customers

    def customer_losses(self, examples: CustomerExamples, plan: CustomerPlan, *, seed: int) -> dict[str, Tensor]:
        """Losses of all customer tasks for some customers at some cuts."""
        as_of = np.tile(examples.days - self.view.shop.end, (len(plan.customers), 1))
        visits = self.view.visits(plan.customers)
        queries = self._queries(examples, plan)
        candidates = {name: self._candidates(name, plan, query) for name, query in queries.items()}
        sampled = self._sampled(queries, plan, seed)
        use = ItemUse.of(visits.line_items, *(one.items for one in candidates.values()), *sampled.rows)
        vectors = self.encode(use.rows)
        batch = visit_batch(visits, as_of, vectors, use.place(visits.line_items, self.device))
        state = self.model.encode_customers(batch)
        losses: dict[str, Tensor] = {}
        for name, found in candidates.items():
            if len(found.items):
                flat = torch.from_numpy(queries[name].flat).to(self.device)
                state_ED = state.vector.flatten(0, 1)[flat]
                viewed, taste = self.model.shared("customer", state_ED, name), self.model.retrieval(state_ED)
                picked = vectors[use.place(found.items, self.device)]
                scores = self.model.heads[name](viewed, taste, picked, candidate_batch(found, self.device))
                labels = torch.from_numpy(_labels(found, queries[name])).to(self.device)
                losses[name] = self.model.heads[name].loss(scores, labels)  # type: ignore[operator]
        if len(sampled.flat):
            losses["retrieval"] = self._retrieval(state.vector, vectors, use, sampled)
        for name, task in self.tasks.items():
            if task.space == "customer" and task.shape != "ranking":
                loss = self._plain(task, examples, plan, state.vector, state.rates)
                losses |= {} if loss is None else {name: loss}
        return losses

    def _states(self, examples: CustomerExamples, plan: CustomerPlan) -> tuple[VisitArrays, CustomerState]:
        """States of some customers at all cuts."""
        visits = self.view.visits(plan.customers)
        use = ItemUse.of(visits.line_items)
        vectors = self.encode(use.rows)
        as_of = np.tile(examples.days - self.view.shop.end, (len(plan.customers), 1))
        places = use.place(visits.line_items, self.device)
        return visits, self.model.encode_customers(visit_batch(visits, as_of, vectors, places))

    def _plain(
        self, task: Task, examples: CustomerExamples, plan: CustomerPlan, states: Tensor, rates: Tensor
    ) -> Tensor | None:
        """The loss of a task with one answer per customer and moment."""
        found = self._plain_cases(task, examples, plan)
        if found is None:
            return None
        place, truth = found
        x_nD = self.model.shared("customer", states.flatten(0, 1)[place], task.name)
        return self._loss(task, x_nD, truth, rates.flatten(0, 1)[place])

    def _plain_cases(
        self, task: Task, examples: CustomerExamples, plan: CustomerPlan, *, newest: bool = False
    ) -> tuple[Tensor, Truth] | None:
        """Positions among the states and the truth, at all cuts (they cost next to nothing) or the newest labelled."""
        flat, truths = [], []
        for cut in range(len(examples.days)):
            found: CutCases | None = examples.standing.get(task.name) or examples.by_task[task.name][cut]
            if found is None:
                continue
            rows = found.place[plan.customers]
            known = np.flatnonzero(rows >= 0)
            flat.append(known * len(examples.days) + cut)
            assert found.cases.truth is not None
            truths.append(truth_rows(found.cases.truth, rows[known]))
            if newest:
                break
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

    def _queries(self, examples: CustomerExamples, plan: CustomerPlan) -> dict[str, _Queries]:
        found = {}
        for name, task in self.tasks.items():
            if task.space == "customer" and task.shape == "ranking":
                found[name] = _Queries.of(examples.by_task[name], plan, examples.days)
        return found

    def _candidates(self, name: str, plan: CustomerPlan, query: _Queries) -> Candidates:
        exclude = bool(query.exclude)
        return self.view.candidates(
            plan.customers[query.customer],
            query.as_of,
            query.when,
            exclude_own=exclude,
            reach=DISCOVER if exclude else REPEAT,
        )

    # -------------------------------------------------------------------------------------------- retrieval

    def _sampled(self, queries: Mapping[str, _Queries], plan: CustomerPlan, seed: int) -> _Sampled:
        """A few positives of each query and shared negatives, for the taste part alone."""
        rng = np.random.default_rng([seed, 5, int(plan.customers[:1].sum()), int(plan.cuts.sum())])
        flats, items = [], []
        for query in queries.values():
            sizes = np.diff(query.offsets)
            take = np.minimum(sizes, POSITIVES)
            owner = np.repeat(np.arange(len(sizes)), take)
            picked = query.offsets[owner] + (rng.random(len(owner)) * sizes[owner]).astype(np.int64)
            flats.append(query.flat[owner])
            items.append(query.items[picked])
        flat = np.concatenate(flats) if flats else np.zeros(0, dtype=np.int64)
        positive = np.concatenate(items).astype(np.int64) if items else np.zeros(0, dtype=np.int64)
        rows, chance = self._popular
        negative = rng.choice(rows, size=min(NEGATIVES, len(rows)), p=chance) if len(flat) else rows[:0]
        return _Sampled(flat, positive, negative.astype(np.int64))

    def _retrieval(self, states: Tensor, vectors: Tensor, use: ItemUse, sampled: _Sampled) -> Tensor:
        rows, chance = self._popular
        log_q = np.full(len(self.view.shop.items), np.log(1e-9))
        log_q[rows] = np.log(chance)
        flat = torch.from_numpy(sampled.flat).to(self.device)
        same = torch.from_numpy(sampled.positive[:, None] == sampled.negative[None]).to(self.device)
        return 0.5 * sampled_softmax(
            self.model.retrieval(states.flatten(0, 1)[flat]),
            vectors[use.place(sampled.positive, self.device)],
            vectors[use.place(sampled.negative, self.device)],
            torch.from_numpy(log_q[sampled.positive].astype(np.float32)).to(self.device),
            torch.from_numpy(log_q[sampled.negative].astype(np.float32)).to(self.device),
            same,
        )

    # ------------------------------------------------------------------------------------ products, demand

    def product_loss(self, name: str, examples: ProductExamples, rows: NDArray[np.int64]) -> Tensor:
        """The loss of a product task on some labelled products."""
        task, cases = self.tasks[name], examples.cases
        assert cases.truth is not None
        vectors = self.encode(cases.units[rows], task.hides, keep_ids=True)
        return self._loss(task, self.model.shared("product", vectors, name), truth_rows(cases.truth, rows))

    def product_numbers(
        self, name: str, examples: ProductExamples, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Raw answers (n, 3) of a product task and the truth (n,)."""
        task, cases = self.tasks[name], examples.cases
        vectors = self.model.shared("product", self.encode(cases.units[rows], task.hides), name)
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
        state = self._states(examples, plan)[1]
        found = {}
        for name, task in self.tasks.items():
            if task.space == "customer" and task.shape == "amount":
                cases = self._plain_cases(task, examples, plan, newest=newest)
                if cases is not None:
                    flat, truth = cases
                    assert truth.numbers is not None
                    viewed = self.model.shared("customer", state.vector.flatten(0, 1)[flat], name)
                    out = self.model.heads[name](viewed, state.rates.flatten(0, 1)[flat])
                    found[name] = out.double().cpu().numpy(), truth.numbers
        return found

    def demand_loss(self, name: str, panel: Panel, items: NDArray[np.integer]) -> Tensor:
        """The loss of the demand task on some products at one origin."""
        vectors = self.model.shared("block", self.encode(items), name)
        batch = demand_batch(panel, self.device)
        truth = torch.from_numpy(panel.truth).to(self.device)
        scale = torch.tensor(self.scales.mean[name], device=self.device)
        head = self.model.heads[name]
        return head.loss(head(vectors, batch), truth, scale)  # type: ignore[no-any-return, operator]

    def encode(
        self, rows: NDArray[np.integer], hide: frozenset[str] = frozenset(), *, keep_ids: bool = False
    ) -> Tensor:
        """Item vectors of catalogue rows; ``keep_ids``: id vectors are read but not learned."""
        batch = ItemBatch.of(self.view.item_arrays, rows, self.spec.num_ids).to(self.device)
        return self.model.encode_items(batch, hide, keep_ids=keep_ids)


@dataclass(frozen=True)
class _Sampled:
    flat: NDArray[np.int64]
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]

    @property
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.positive, self.negative


@dataclass(frozen=True)
class _Queries:
    """Ranking cases of a batch: customer position, flat state position, moments, relevant items."""

    customer: NDArray[np.int64]
    flat: NDArray[np.int64]
    as_of: NDArray[np.float64]
    when: NDArray[np.float64]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    exclude: bool

    @classmethod
    def of(cls, cuts: object, plan: CustomerPlan, days: NDArray[np.float64]) -> _Queries:
        customer, flat, as_of, when, sizes, items = [], [], [], [], [], []
        exclude = False
        for cut in plan.cuts:
            found: CutCases | None = cuts[cut]  # type: ignore[index]
            if found is None or found.cases.truth is None:
                continue
            truth, exclude = found.cases.truth, found.cases.repeats == "exclude"
            assert truth.offsets is not None
            assert truth.items is not None
            rows = found.place[plan.customers]
            known = np.flatnonzero(rows >= 0)
            rows = rows[known]
            known = known[np.diff(truth.offsets)[rows] > 0]
            rows = found.place[plan.customers[known]]
            customer.append(known)
            flat.append(known * len(days) + cut)
            as_of.append(np.full(len(known), days[cut]))
            when.append(as_of[-1] if found.cases.when is None else found.cases.when[rows])
            sizes.append(np.diff(truth.offsets)[rows])
            items += [truth.items[truth.offsets[row] : truth.offsets[row + 1]] for row in rows]
        total = np.concatenate(sizes) if sizes else np.zeros(0, dtype=np.int64)
        return cls(
            customer=_cat(customer, np.int64),
            flat=_cat(flat, np.int64),
            as_of=_cat(as_of, np.float64),
            when=_cat(when, np.float64),
            offsets=np.concatenate([[0], np.cumsum(total)]).astype(np.int64),
            items=_cat(items, np.int64),
            exclude=exclude,
        )


def _cat(parts: Sequence[NDArray[Any]], kind: type[Any]) -> NDArray[Any]:
    return np.concatenate(parts).astype(kind) if parts else np.zeros(0, dtype=kind)


def _labels(candidates: Candidates, query: _Queries) -> NDArray[np.float32]:
    """(E, M) 1 where the candidate is relevant."""
    width = int(max(candidates.items.max(initial=0), query.items.max(initial=0))) + 2
    owner = np.repeat(np.arange(len(query.flat)), np.diff(query.offsets))
    keys = np.unique(owner * width + query.items)
    wanted = np.arange(len(candidates.items))[:, None] * width + np.where(candidates.items >= 0, candidates.items, -1)
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    hit = (keys[place] == wanted) & (candidates.items >= 0) if len(keys) else np.zeros(wanted.shape, dtype=bool)
    return hit.astype(np.float32)


def _joined(truths: list[Truth]) -> Truth:
    numbers = [one.numbers for one in truths if one.numbers is not None]
    names = truths[0].codes
    return Truth(
        numbers=np.concatenate(numbers) if numbers else None,
        codes={name: np.concatenate([one.codes[name] for one in truths]) for name in names},
    )


def _sampling(view: ShopView) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Items sold so far and their chance to be a negative: popularity to the power of 3/4."""
    sold = np.bincount(view.shop.lines.item, minlength=len(view.shop.items)).astype(float)
    rows = np.flatnonzero(sold > 0)
    weight = sold[rows] ** 0.75
    return rows, weight / weight.sum()
