"""Several fitted members and a learned fusion as one member: collaborates, and goes on when a member drops out."""

# Shapes: B cases, k list length

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.context import in_context
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.fusions.base import Fusion
from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.errors import NotReadyError
from shoploom.tasks.base import Cases, Ranked, Task

LOG = logging.getLogger("shoploom.ensemble")
DEPTH = 60
"""How far down the members' lists are read."""
MOST_VISITORS = 16
"""So many cases at most are visitors who wait; more are a table that may take its time."""


@dataclass(frozen=True)
class Rung:
    """A subset of the members with a fusion of its own.

    Args:
        members: Their names, those that matter most first.
        fusion: Fitted on their lists alone.
        value: Main metric, cross-fitted on the held-back horizon.
        ms: What an answer for one customer costs all of them together, in milliseconds of one core.
    """

    members: tuple[str, ...]
    fusion: Fusion
    value: float
    ms: float


@dataclass(frozen=True)
class Contribution:
    """Who put an item where it is: by member its rank (0: not listed) and its share of the score."""

    item: int
    score: float
    ranks: dict[str, int]
    shares: dict[str, float]


class Fused:
    """A ladder of ensembles over the same members; the best rung that the budget allows answers.

    A member that raises or that is not reached in time is left out of that answer, and counted in ``dropped``.

    Args:
        members: Fitted, by name.
        rungs: At least one; each names some of the members.
        max_ms: Time that one answer may take; None: as long as all members take.
    """

    name: ClassVar[str] = "fused"

    def __init__(self, members: Mapping[str, Member], rungs: Sequence[Rung], *, max_ms: float | None = None) -> None:
        self.members = dict(members)
        self.rungs = sorted(rungs, key=lambda one: -one.value)
        self.max_ms = max_ms
        self.dropped: Counter[tuple[str, str]] = Counter()

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Fit the members; the fusions stay."""
        for member in self.members.values():
            member.fit(shop, task, seed=seed)

    @property
    def rung(self) -> Rung:
        """The best one that the budget allows, or else the cheapest."""
        within = [one for one in self.rungs if self.max_ms is None or one.ms <= self.max_ms]
        return within[0] if within else min(self.rungs, key=lambda one: one.ms)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The fused lists."""
        pool, fusion = self._pool(shop, cases)
        return top(pool, fusion.score(pool), cases.k)

    def contributions(self, shop: ShopArrays, cases: Cases) -> list[list[Contribution]]:
        """For each case its list, best first, with who is answerable for each item."""
        pool, fusion = self._pool(shop, cases)
        score = fusion.score(pool)
        order = np.lexsort((pool.item, -score, pool.row))
        starts = np.searchsorted(pool.row[order], np.arange(len(cases) + 1))
        chosen = [order[a:b][: cases.k] for a, b in pairwise(starts)]
        flat = np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)
        shares = fusion.shares(pool)
        said = {int(place): _said(pool, int(place), score, shares) for place in flat}
        return [[said[int(place)] for place in places] for places in chosen]

    def _pool(self, shop: ShopArrays, cases: Cases) -> tuple[Pool, Fusion]:
        rung = self.rung
        deep = replace(cases, k=max(DEPTH, cases.k))
        nobody = Ranked(np.full((len(cases), 1), -1, dtype=np.int32), np.zeros((len(cases), 1)))
        lists, start = dict.fromkeys(rung.members, nobody), time.perf_counter()
        answered: list[str] = []
        for name in rung.members:
            spent = 1e3 * (time.perf_counter() - start)
            if answered and self.max_ms is not None and len(cases) <= MOST_VISITORS and spent > self.max_ms:
                self.dropped[name, "slow"] += 1
                continue
            found = self._asked(name, shop, deep)
            if found is not None:
                lists[name] = found
                answered.append(name)
        if not answered:
            raise NotReadyError("no member of the ensemble could answer; the service's log says why")
        lists, fusion = self._fitting(rung, lists, answered)
        return in_context(shop, cases, Pool.of(lists)), fusion

    def _asked(self, name: str, shop: ShopArrays, cases: Cases) -> Ranked | None:
        try:
            found = self.members[name].predict(shop, cases)
        except Exception:  # whatever a member breaks on, the others answer
            self.dropped[name, "failed"] += 1
            LOG.exception("member %s of an ensemble failed and is left out of the answer", name)
            return None
        return found if isinstance(found, Ranked) else None

    def _fitting(
        self, rung: Rung, lists: dict[str, Ranked], answered: Sequence[str]
    ) -> tuple[dict[str, Ranked], Fusion]:
        """The fusion that was fitted for those who answered; without one, that of the whole rung, others silent."""
        if len(answered) == len(rung.members):
            return lists, rung.fusion
        for other in self.rungs:
            if set(other.members) == set(answered):
                return {name: lists[name] for name in other.members}, other.fusion
        return lists, rung.fusion

    def save(self, folder: Path) -> None:
        """Each member and each rung's fusion in a folder of its own."""
        rungs = [{"members": one.members, "value": one.value, "ms": one.ms} for one in self.rungs]
        save_state(folder, {"members": list(self.members), "rungs": rungs})
        for number, one in enumerate(self.rungs):
            settings, arrays = one.fusion.state()
            save_state(folder / f"rung{number}", {"fusion": one.fusion.name, "state": settings}, arrays)
        for name, member in self.members.items():
            member.save(folder / "members" / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved ensemble."""
        settings, _ = load_state(folder)
        members = {name: MEMBERS.load(name).load(folder / "members" / name) for name in settings["members"]}
        rungs = [_rung(folder / f"rung{number}", about) for number, about in enumerate(settings["rungs"])]
        return cls(members, rungs)


def _rung(folder: Path, about: Mapping[str, Any]) -> Rung:
    settings, arrays = load_state(folder)
    fusion: Fusion = FUSIONS.load(settings["fusion"]).from_state(settings["state"], arrays)
    return Rung(tuple(about["members"]), fusion, float(about["value"]), float(about["ms"]))


def _said(pool: Pool, place: int, score: F64, shares: F64) -> Contribution:
    names = pool.members
    return Contribution(
        item=int(pool.item[place]),
        score=float(score[place]),
        ranks={name: int(rank) for name, rank in zip(names, pool.rank[place], strict=True)},
        shares={name: round(float(one), 4) for name, one in zip(names, shares[place], strict=True)},
    )
