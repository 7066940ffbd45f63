"""What one step needs of some customers, made from features alone, before any weight is read."""

# Shapes: B customers, Q cuts, E queries, M candidates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.keys import distinct, find
from shoploom.features.candidates import Candidates, Past, Reach
from shoploom.features.pipeline import ShopView, VisitArrays
from shoploom.model.encoders.item import ItemBatch
from shoploom.model.inputs import ItemUse
from shoploom.tasks.base import Task
from shoploom.training.examples import CustomerExamples, CustomerPlan, CutCases

REPEAT = Reach(own=120, popular=50, kindred=30)
DISCOVER = Reach(own=0, popular=150, kindred=150)
NEGATIVES, POSITIVES = 512, 6


@dataclass(frozen=True)
class Wanted:
    """What one ranking task wants of E queries.

    Args:
        when: (E,) moment of the visit.
        offsets, items: Relevant items of query i are ``items[offsets[i]:offsets[i + 1]]``; of some there are none.
        exclude: Whether goods that the customer bought are no candidates.
    """

    when: NDArray[np.float64]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    exclude: bool

    @classmethod
    def of(
        cls, cuts: Sequence[CutCases | None], plan: CustomerPlan, days: NDArray[np.float64]
    ) -> tuple[Wanted, NDArray[np.int64]]:
        """Of all customers of the plan at all its cuts, and (B * Q,) how many items are relevant."""
        shape = (len(plan.cuts), len(plan.customers))
        when, sizes = np.repeat(days[plan.cuts], shape[1]).reshape(shape), np.zeros(shape, dtype=np.int64)
        items, exclude = [np.zeros(0, dtype=np.int64)], False
        for place, cut in enumerate(plan.cuts):
            found = cuts[cut]
            if found is None or found.cases.truth is None:
                continue
            truth, exclude = found.cases.truth, found.cases.repeats == "exclude"
            assert truth.offsets is not None
            assert truth.items is not None
            rows = found.place[plan.customers]
            known = np.flatnonzero(rows >= 0)
            rows = rows[known]
            sizes[place, known] = np.diff(truth.offsets)[rows]
            if found.cases.when is not None:
                when[place, known] = found.cases.when[rows]
            items += [truth.items[truth.offsets[row] : truth.offsets[row + 1]].astype(np.int64) for row in rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(when.ravel(), offsets, np.concatenate(items), exclude), sizes.ravel()

    def take(self, rows: NDArray[np.int64]) -> Wanted:
        """Some of the queries; those left out must have no relevant items."""
        sizes = np.diff(self.offsets)[rows]
        return Wanted(self.when[rows], np.concatenate([[0], np.cumsum(sizes)]), self.items, self.exclude)


@dataclass(frozen=True)
class Ranking:
    """One ranking task of a batch: what is wanted, what is offered, and (E, M) 1 where an offer is relevant."""

    wanted: Wanted
    candidates: Candidates
    labels: NDArray[np.float32]


@dataclass(frozen=True)
class Sampled:
    """Positives of the queries with states ``flat`` (n,), and negatives (S,) for all of them."""

    flat: NDArray[np.int64]
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]


@dataclass(frozen=True)
class CustomerBatch:
    """Everything that a step reads of its customers.

    Args:
        plan: Who, and when.
        visits: Their visits.
        as_of: (B, cuts) moments of all states.
        flat: (E,) state of each query among the (B * cuts).
        rankings: By task.
        sampled: For the taste part.
        use: The distinct products that occur.
        items: Their fields.
    """

    plan: CustomerPlan
    visits: VisitArrays
    as_of: NDArray[np.float64]
    flat: NDArray[np.int64]
    rankings: Mapping[str, Ranking]
    sampled: Sampled
    use: ItemUse
    items: ItemBatch


class Batcher:
    """Makes batches of customers.

    Args:
        view: Features of the training shop.
        tasks: By name.
        num_ids: Size of the model's id table.
    """

    def __init__(self, view: ShopView, tasks: Mapping[str, Task], num_ids: int) -> None:
        self.view = view
        self.num_ids = num_ids
        self.rankings = [name for name, one in tasks.items() if one.space == "customer" and one.shape == "ranking"]
        sold = np.bincount(view.shop.lines.item, minlength=len(view.shop.items)).astype(float)
        self.sold = np.flatnonzero(sold > 0)
        self.chance = sold[self.sold] ** 0.75
        self.chance /= self.chance.sum()
        self.log_chance = np.full(len(view.shop.items), np.log(1e-9), dtype=np.float32)
        self.log_chance[self.sold] = np.log(self.chance)

    def __call__(self, examples: CustomerExamples, plan: CustomerPlan, *, seed: int) -> CustomerBatch:
        """The batch of some customers at some cuts; the same arguments give the same batch."""
        visits = self.view.visits(plan.customers)
        flat, wanted = self._queries(examples, plan)
        cuts = len(examples.days)
        past = self.view.past(plan.customers[flat // cuts], examples.days[flat % cuts])
        rankings = {name: self._ranking(past, one) for name, one in wanted.items()} if len(flat) else {}
        sampled = self._sampled(wanted, flat, plan, seed)
        offered = (one.candidates.items for one in rankings.values())
        use = ItemUse.of(visits.line_items, *offered, sampled.positive, sampled.negative)
        return CustomerBatch(
            plan=plan,
            visits=visits,
            as_of=np.tile(examples.days - self.view.shop.end, (len(plan.customers), 1)),
            flat=flat,
            rankings=rankings,
            sampled=sampled,
            use=use,
            items=ItemBatch.of(self.view.item_arrays, use.rows, self.num_ids),
        )

    def _queries(self, examples: CustomerExamples, plan: CustomerPlan) -> tuple[NDArray[np.int64], dict[str, Wanted]]:
        """Customers at cuts at which something is relevant to any task: their states, and what is wanted of them."""
        if not self.rankings:
            return np.zeros(0, dtype=np.int64), {}
        found = {name: Wanted.of(examples.by_task[name], plan, examples.days) for name in self.rankings}
        rows = np.flatnonzero(np.sum([sizes for _, sizes in found.values()], axis=0))
        customer, cut = rows % len(plan.customers), plan.cuts[rows // len(plan.customers)]
        return customer * len(examples.days) + cut, {name: one.take(rows) for name, (one, _) in found.items()}

    def _ranking(self, past: Past, wanted: Wanted) -> Ranking:
        reach = DISCOVER if wanted.exclude else REPEAT
        candidates = self.view.candidates(past, wanted.when, exclude_own=wanted.exclude, reach=reach)
        return Ranking(wanted, candidates, _labels(candidates, wanted))

    def _sampled(self, wanted: Mapping[str, Wanted], flat: NDArray[np.int64], plan: CustomerPlan, seed: int) -> Sampled:
        """A few positives of each query, and negatives by popularity to the power of 3/4."""
        rng = np.random.default_rng([seed, 5, int(plan.customers[:1].sum()), int(plan.cuts.sum())])
        none = np.zeros(0, dtype=np.int64)
        flats, items = [none], [none]
        for one in wanted.values():
            sizes = np.diff(one.offsets)
            owner = np.repeat(np.arange(len(sizes)), np.minimum(sizes, POSITIVES))
            picked = one.offsets[owner] + (rng.random(len(owner)) * sizes[owner]).astype(np.int64)
            flats.append(flat[owner])
            items.append(one.items[picked])
        positive = np.concatenate(items)
        count = min(NEGATIVES, len(self.sold)) if len(positive) else 0
        negative = rng.choice(self.sold, size=count, p=self.chance) if count else none
        return Sampled(np.concatenate(flats), positive, negative.astype(np.int64))


def _labels(candidates: Candidates, wanted: Wanted) -> NDArray[np.float32]:
    """(E, M) 1 where the candidate is relevant."""
    width = int(max(candidates.items.max(initial=0), wanted.items.max(initial=0))) + 2
    sizes = np.diff(wanted.offsets)
    asked = np.arange(len(sizes))[:, None] * width + np.maximum(candidates.items, -1)
    hit = find(distinct(np.repeat(np.arange(len(sizes)), sizes) * width + wanted.items), asked.ravel()) >= 0
    return (hit.reshape(asked.shape) & (candidates.items >= 0)).astype(np.float32)
