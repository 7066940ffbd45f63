"""Labelled examples of every task from a shop's past, and deterministic batches of them.

Tasks about the future are asked at earlier moments ("cuts") whose horizons have passed; tasks with standing labels
(attributes, categories, prices) are asked of what is labelled. Batch number n of seed s is always the same batch,
so a run that is killed resumes exactly.
"""

# Shapes: B customers, Q cuts per batch, C customers of the shop, E queries

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Flags, ShopArrays
from shoploom.features.panel import Panel, PanelSource, cut_rows
from shoploom.features.pipeline import ShopView
from shoploom.tasks.base import Cases, Task

CUT_DAYS = 14.0
LEAST_HISTORY_DAYS = 42.0
VALID_PERCENT = 10
LABELLED_SHARE = 0.25


@dataclass(frozen=True)
class CutCases:
    """The cases of one task at one cut; ``place`` (C,) is a customer's case or -1."""

    cases: Cases
    place: I32


@dataclass(frozen=True)
class CustomerExamples:
    """Cases of the customer tasks.

    Args:
        days: (cuts,) moments, newest first.
        by_task: For each task its cases per cut, None where its horizon had not passed by then.
        standing: Cases of tasks whose labels have no date.
        train: Customers to learn from.
        valid: Customers to stop by.
        labelled: Those to learn from that have standing labels.
    """

    days: F64
    by_task: Mapping[str, Sequence[CutCases | None]]
    standing: Mapping[str, CutCases]
    train: I32
    valid: I32
    labelled: I32


@dataclass(frozen=True)
class ProductExamples:
    """Labelled products of one task, split into those to learn from and those to stop by."""

    cases: Cases
    train: NDArray[np.int64]
    valid: NDArray[np.int64]


@dataclass(frozen=True)
class DemandExamples:
    """Panels of the products that sell.

    Args:
        source: Panels at any origin.
        items: (n,) product rows.
        origins: Blocks after which to forecast; the newest ones have part of their horizon only.
        complete: The last origin with a whole horizon.
        train: Rows of ``items`` to learn from.
        valid: Rows to stop by.
    """

    source: PanelSource
    items: I32
    origins: NDArray[np.int64]
    complete: int
    train: NDArray[np.int64]
    valid: NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """All examples of a shop."""

    customers: CustomerExamples | None
    products: Mapping[str, ProductExamples]
    demand: Mapping[str, DemandExamples]


def collect(shop: ShopArrays, view: ShopView, tasks: Mapping[str, Task], *, most_cuts: int, hold: bool) -> Examples:
    """Examples of every task.

    Args:
        shop: As known at the end of training.
        view: Its features.
        tasks: Tasks that the shop can feed.
        most_cuts: Most earlier moments to ask at.
        hold: Whether a tenth is held back to stop training by; otherwise all is learned from.
    """
    by_space: dict[str, dict[str, Task]] = {"customer": {}, "product": {}, "block": {}}
    for name, task in tasks.items():
        by_space[task.space][name] = task
    customers = _customers(shop, by_space["customer"], most_cuts, hold) if by_space["customer"] else None
    products = {name: _products(shop, task, hold) for name, task in by_space["product"].items()}
    demand = {name: _demand(shop, view, hold) for name in by_space["block"]}
    return Examples(customers, products, demand)


def _customers(shop: ShopArrays, tasks: Mapping[str, Task], most_cuts: int, hold: bool) -> CustomerExamples:
    horizon = float(shop.clock.horizon_days)
    first = float(shop.lines.time.min()) + min(LEAST_HISTORY_DAYS, (shop.end - shop.start) / 4)
    step = min(CUT_DAYS, horizon / 2)
    days = shop.end - step * np.arange(1, most_cuts + 1)
    days = days[days >= first] if (days >= first).any() else days[:1]
    dated: dict[str, list[CutCases | None]] = {}
    standing: dict[str, CutCases] = {}
    for name, task in tasks.items():
        known = task.labelled(shop)
        if known is not None:
            standing[name] = _placed(known, len(shop.customers))
        else:
            dated[name] = []
    for day in days:
        past, future = shop.before(float(day)), shop.between(float(day), min(float(day) + horizon, shop.end))
        complete = day + horizon <= shop.end + 1e-9
        for name in dated:
            task = tasks[name]
            usable = complete or task.shape == "ranking"
            dated[name].append(_placed(task.cases(past, future), len(shop.customers)) if usable else None)
    buyers = np.unique(shop.lines.customer[shop.lines.customer >= 0]).astype(np.int32)
    held = _held(shop.customers.ids, buyers) if hold else np.zeros(len(buyers), dtype=bool)
    train = buyers[~held]
    labelled = np.zeros(len(shop.customers), dtype=bool)
    for labels in standing.values():
        labelled |= labels.place >= 0
    return CustomerExamples(
        np.asarray(days, dtype=np.float64), dated, standing, train, buyers[held], train[labelled[train]]
    )


def _placed(cases: Cases, count: int) -> CutCases:
    place = np.full(count, -1, dtype=np.int32)
    place[cases.units] = np.arange(len(cases))
    return CutCases(cases, place)


def _products(shop: ShopArrays, task: Task, hold: bool) -> ProductExamples:
    cases = task.labelled(shop)
    assert cases is not None, f"product task {task.name} must give its labelled cases"
    held = _held(shop.items.ids, cases.units) if hold else np.zeros(len(cases), dtype=bool)
    return ProductExamples(cases, np.flatnonzero(~held), np.flatnonzero(held))


def _demand(shop: ShopArrays, view: ShopView, hold: bool) -> DemandExamples:
    """Best sellers of the whole history, so that each origin has products that sold well then."""
    items = np.sort(shop.best_sellers(2 * shop.clock.demand_products, max(shop.clock.demand_days, 182)))
    source = PanelSource(shop, items, view.item_arrays.log_price)
    ahead, blocks = source.ahead, source.blocks
    first = max(1, min(10, blocks - ahead - 2))
    held = _held(shop.items.ids, items) if hold else np.zeros(len(items), dtype=bool)
    return DemandExamples(
        source=source,
        items=items,
        origins=np.arange(first, max(first + 1, blocks)),
        complete=max(first, blocks - ahead),
        train=np.flatnonzero(~held),
        valid=np.flatnonzero(held),
    )


def _held(ids: Sequence[str], rows: NDArray[np.integer]) -> Flags:
    """True for the tenth of the ids whose hash falls into the part to stop by."""
    digests = [blake2b(ids[row].encode(), digest_size=8, key=b"valid").digest() for row in rows]
    return np.array([int.from_bytes(one, "big") % 100 < VALID_PERCENT for one in digests], dtype=bool)


# ------------------------------------------------------------------------------------------------------ batches


@dataclass(frozen=True)
class CustomerPlan:
    """Which customers at which cuts: (B,) rows and (Q,) positions in ``CustomerExamples.days``."""

    customers: I32
    cuts: NDArray[np.int64]


def customer_plan(examples: CustomerExamples, *, seed: int, step: int, size: int, cuts: int) -> CustomerPlan:
    """The customers and cuts of one training step."""
    count = len(examples.train)
    size = min(size, count)
    per_epoch = max(1, count // size)
    order = np.random.default_rng([seed, 1, step // per_epoch]).permutation(count)
    start = (step % per_epoch) * size
    rng = np.random.default_rng([seed, 2, step])
    chosen = rng.choice(len(examples.days), size=min(cuts, len(examples.days)), replace=False)
    customers = examples.train[order[start : start + size]]
    more = min(int(size * LABELLED_SHARE), len(examples.labelled))
    if more and len(examples.labelled) < len(examples.train) / 2:  # labels are rare: see each of them more often
        extra = rng.choice(examples.labelled, size=more, replace=False)
        customers = np.unique(np.concatenate([customers[: size - more], extra]))
    return CustomerPlan(customers, np.sort(chosen))


def steps_per_epoch(examples: Examples, size: int) -> int:
    """Steps in which each customer is seen once (or 50 for a shop without customer tasks)."""
    if examples.customers is None or not len(examples.customers.train):
        return 50
    return max(1, len(examples.customers.train) // min(size, len(examples.customers.train)))


def product_rows(examples: ProductExamples, *, seed: int, step: int, size: int, salt: int) -> NDArray[np.int64]:
    """The cases of one training step."""
    rng = np.random.default_rng([seed, 3, salt, step])
    return rng.choice(examples.train, size=min(size, len(examples.train)), replace=False)


def demand_panel(examples: DemandExamples, *, seed: int, step: int, size: int) -> tuple[Panel, I32]:
    """A random origin with a random part of the products."""
    rng = np.random.default_rng([seed, 4, step])
    origin = int(rng.choice(examples.origins))
    rows = np.sort(rng.choice(examples.train, size=min(size, len(examples.train)), replace=False))
    return cut_rows(examples.source.at(origin), rows), examples.items[rows]
