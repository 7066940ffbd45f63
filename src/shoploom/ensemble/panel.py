"""The panel: which members collaborate, by which fusion, and what each of them is worth and costs."""

# Shapes: B cases, M members

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import ShopArrays
from shoploom.data.keys import Rows
from shoploom.ensemble.context import in_context
from shoploom.ensemble.fused import DEPTH, Rung
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.fusions.base import Fusion
from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.ensemble.members.base import Member
from shoploom.tasks.base import Cases, Ranked, Task

FOLDS = 3
MOST_COMPARED = 600
"""Cases on which fusions and ensembles are compared; the one that is chosen is then fitted and judged on all."""
TOLERATED = 0.003
"""Relative loss for which a cheaper ensemble is preferred: less than chance would give."""
MOST_SHARED = 300
"""Cases over which shares are averaged."""
TIMED = 9
LEAST_CASES = 60
"""With fewer nothing is learned that would hold."""


@dataclass(frozen=True)
class Role:
    """What a member does for the ensemble.

    Args:
        alone: Main metric of its own list.
        without: Main metric of the ensemble without it, cross-fitted.
        share: Of the scores of the first k places.
        ms: Time of one answer for one customer, on one core.
    """

    alone: float
    without: float
    share: float
    ms: float


@dataclass(frozen=True)
class Step:
    """Members, their main metric together, and the milliseconds of one answer."""

    members: tuple[str, ...]
    value: float
    ms: float


@dataclass(frozen=True)
class Panel:
    """What was found about a task's ensemble; all metrics are cross-fitted over customers.

    Args:
        fusion: The best kind of fusion.
        fusions: Main metric of every kind, over all members.
        roles: By member.
        ladder: Ever smaller ensembles; the member that is missed least goes first.
        rungs: The chosen one and those below it, fitted on all cases.
        lists: Cross-fitted lists of the chosen one, for the court.
    """

    fusion: str
    fusions: dict[str, float]
    roles: dict[str, Role]
    ladder: tuple[Step, ...]
    rungs: tuple[Rung, ...]
    lists: Ranked

    @property
    def rung(self) -> Rung:
        """The chosen one."""
        return self.rungs[0]

    def to_dict(self) -> dict[str, Any]:
        """For the report and the manifest."""
        return {
            "fusion": self.fusion,
            "fusions": self.fusions,
            "members": {name: asdict(one) for name, one in self.roles.items()},
            "rungs": [asdict(one) for one in self.ladder],
            "serves": list(self.rung.members),
        }


def convene(
    task: Task,
    shop: ShopArrays,
    cases: Cases,
    lists: Mapping[str, Ranked],
    ms: Mapping[str, float],
    *,
    max_ms: float,
    seed: int = 0,
) -> Panel | None:
    """Compare fusions and ladders of members on cases that the members have not seen.

    Args:
        task: A ranking.
        shop: As the members knew it.
        cases: With their truth.
        lists: Every member's answer, ``DEPTH`` deep or more.
        ms: Time of one answer by member.
        max_ms: Budget of one answer.
        seed: Of the fusions.

    Returns:
        None where there is nothing to fuse or too little to learn from.
    """
    if len(lists) < 2 or len(cases) < LEAST_CASES or cases.truth is None:
        return None
    bench = _Bench(task, shop, cases, lists, seed)
    some = bench if len(cases) <= MOST_COMPARED else bench.part(spread(len(cases), MOST_COMPARED))
    fusions = {name: some.value(name, tuple(lists)) for name in FUSIONS}
    kind = min(fusions, key=lambda name: bench.loss(fusions[name]))
    shares = some.shares(kind)
    without = {name: some.value(kind, tuple(one for one in lists if one != name)) for name in lists}
    alone = {name: task.measure(cases, one).values()[task.metric] for name, one in lists.items()}
    ranked = sorted(lists, key=lambda name: (-bench.loss(without[name]), -shares[name], bench.loss(alone[name])))
    ladder = [tuple(ranked[:count]) for count in range(len(ranked), 1, -1)]
    values = {names: some.value(kind, names) for names in ladder}
    cost = {names: round(sum(ms[one] for one in names), 3) for names in ladder}
    chosen = affordable(values, cost, max_ms, lower_is_better=task.lower_is_better)
    kept = [names for names in ladder if set(names) <= set(chosen)]
    rungs = tuple(Rung(names, bench.fitted(kind, names), values[names], cost[names]) for names in kept)
    roles = {name: Role(alone[name], without[name], shares[name], round(ms[name], 3)) for name in ranked}
    steps = tuple(Step(names, values[names], cost[names]) for names in ladder)
    return Panel(kind, fusions, roles, steps, rungs, bench.lists(kind, chosen))


def affordable(
    values: Mapping[tuple[str, ...], float],
    cost: Mapping[tuple[str, ...], float],
    max_ms: float,
    *,
    lower_is_better: bool = False,
) -> tuple[str, ...]:
    """Of the ensembles within the budget the cheapest that is as good as the best one but for ``TOLERATED``.

    Where none is within the budget, the cheapest of all.

    Example:
        >>> affordable({("a", "b", "c"): 0.2001, ("a", "b"): 0.2}, {("a", "b", "c"): 9.0, ("a", "b"): 5.0}, 10.0)
        ('a', 'b')
    """
    within = [names for names in values if cost[names] <= max_ms]
    if not within:
        return min(values, key=lambda names: cost[names])
    sign = -1.0 if lower_is_better else 1.0
    best = max(sign * values[names] for names in within)
    good = [names for names in within if sign * values[names] >= best - TOLERATED * abs(best)]
    return min(good, key=lambda names: (cost[names], -sign * values[names]))


def spread(count: int, most: int) -> Rows:
    """At most ``most`` positions out of ``count``, evenly spread and ascending."""
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


class _Bench:
    """Fits fusions on some folds and measures them on the others; what was asked once is kept."""

    def __init__(self, task: Task, shop: ShopArrays, cases: Cases, lists: Mapping[str, Ranked], seed: int) -> None:
        self.task, self.cases, self.seed = task, cases, seed
        shallow = {name: one.first(DEPTH) for name, one in lists.items()}
        self.pool = in_context(shop, cases, Pool.of(shallow))
        self.fold = folds(cases.units)
        self._lists: dict[tuple[str, frozenset[str]], Ranked] = {}

    def part(self, rows: Rows) -> _Bench:
        """The same bench with some of the cases."""
        made = copy(self)
        made.cases, made.pool, made.fold, made._lists = self.cases.take(rows), self.pool.take(rows), self.fold[rows], {}
        return made

    def loss(self, value: float) -> float:
        return value if self.task.lower_is_better else -value

    def value(self, kind: str, names: tuple[str, ...]) -> float:
        return float(self.task.measure(self.cases, self.lists(kind, names)).values()[self.task.metric])

    def lists(self, kind: str, names: tuple[str, ...]) -> Ranked:
        """Cross-fitted: each case is answered by a fusion that was fitted without its customer."""
        key = kind, frozenset(names)
        if key not in self._lists:
            pool = self.pool.of_members(names)
            found = [self._fold(kind, pool, number) for number in range(FOLDS)]
            items = np.full((len(self.cases), self.cases.k), -1, dtype=np.int32)
            scores = np.zeros((len(self.cases), self.cases.k))
            for rows, one in found:
                items[rows], scores[rows] = one.items, one.scores
            self._lists[key] = Ranked(items, scores)
        return self._lists[key]

    def fitted(self, kind: str, names: tuple[str, ...]) -> Fusion:
        """On all cases."""
        return self._fit(kind, self.pool.of_members(names), np.arange(len(self.cases)))

    def shares(self, kind: str) -> dict[str, float]:
        """Mean share of each member in the first k places of some cases."""
        fusion = self.fitted(kind, self.pool.members)
        some = self.pool.take(np.arange(0, len(self.cases), max(1, len(self.cases) // MOST_SHARED)))
        lists = top(some, fusion.score(some), self.cases.k)
        width = int(some.item.max(initial=0)) + 1
        row, column = np.nonzero(lists.items >= 0)
        chosen = np.isin(some.row * width + some.item, row * width + lists.items[row, column])
        mean = fusion.shares(some)[chosen].mean(axis=0)
        return {name: round(float(one), 4) for name, one in zip(self.pool.members, mean, strict=True)}

    def _fold(self, kind: str, pool: Pool, number: int) -> tuple[Rows, Ranked]:
        rest, rows = np.flatnonzero(self.fold != number), np.flatnonzero(self.fold == number)
        asked = pool.take(rows)
        return rows, top(asked, self._fit(kind, pool, rest).score(asked), self.cases.k)

    def _fit(self, kind: str, pool: Pool, rows: Rows) -> Fusion:
        fusion: Fusion = FUSIONS.load(kind)()
        assert self.cases.truth is not None
        part = pool.take(rows)
        fusion.fit(part, part.hits(self.cases.truth.take(rows)), seed=self.seed)
        return fusion


def milliseconds(member: Member, shop: ShopArrays, cases: Cases) -> float:
    """Time of one answer for one case, of one core: the median of a few after the first."""
    spent = []
    for row in np.linspace(0, len(cases) - 1, min(len(cases), TIMED + 1)).astype(np.int64):
        start = time.thread_time()
        member.predict(shop, cases.take(np.array([row])))
        spent.append(1e3 * (time.thread_time() - start))
    return float(np.median(spent[1:] or spent)) if spent else 0.0


def folds(units: NDArray[np.integer], number: int = FOLDS) -> Rows:
    """(B,) fold of each unit, by a multiplicative hash (Knuth), so that a customer is always in the same one."""
    mixed = (np.asarray(units).astype(np.uint64) + np.uint64(1)) * np.uint64(2654435761) % np.uint64(2**32)
    return np.asarray((mixed >> np.uint64(16)) % np.uint64(number)).astype(np.int64)
