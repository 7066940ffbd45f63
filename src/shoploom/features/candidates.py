"""Candidates of a visit and what the customer's own history says about each: the ranking head's input.

For every query (a customer at a moment) the candidates are the customer's own items and popular ones. The raw
times of all earlier purchases of the same item, category and brand go to the model as they are: *which* decay
matters is learned there (``model.heads.ranking``), not fixed here. Used alike in training and in serving.
"""

# Shapes: E queries, M candidates per query, N history lines of all queries, S own slots

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, Flags, Histories
from shoploom.data.keys import distinct
from shoploom.features.popularity import PlanGrid, Popularity
from shoploom.features.spectral import Spectral

NUM_STATIC = 17


@dataclass(frozen=True)
class Candidates:
    """A padded candidate matrix and the history lines that speak for each candidate.

    Args:
        items: (E, M) item rows, -1 where padded.
        static: (E, M, F) float features: recency, regularity, popularity, promotions.
        line_age: (N,) days since each history line.
        item_slot, group_slots: (N,) slot of the line's item, and per grouping of the line's group.
        candidate_slot, candidate_groups: (E, M) slot that speaks for the candidate, 0 for none.
        num_slots, num_groups: Slots including the empty slot 0.
    """

    items: I32
    static: F32
    line_age: F32
    item_slot: NDArray[np.int64]
    group_slots: tuple[NDArray[np.int64], ...]
    candidate_slot: NDArray[np.int64]
    candidate_groups: tuple[NDArray[np.int64], ...]
    num_slots: int
    num_groups: tuple[int, ...]


@dataclass(frozen=True)
class Query:
    """Queries of a batch: whose history (one entry of ``histories`` each), seen from which day, for which visit."""

    histories: Histories
    as_of: F64
    when: F64


@dataclass(frozen=True)
class Moment:
    """What all queries of one moment share."""

    popularity: Popularity
    spectral: Spectral


@dataclass(frozen=True)
class Reach:
    """How many candidates a query has at most.

    Args:
        own: Of the customer's own items, by decayed count; 0 for none.
        popular: Of the most popular items.
        kindred: Of the items that are bought together with the customer's own.
    """

    own: int
    popular: int
    kindred: int


class CandidateFeatures:
    """Makes ``Candidates`` for a task.

    Args:
        groups: One (I,) array per grouping (finest category, brand): a code per item, 0 for none.
        reach: How many candidates of each kind.
    """

    def __init__(self, groups: tuple[I32, ...], reach: Reach) -> None:
        self.groups = groups
        self.reach = reach

    def __call__(
        self,
        query: Query,
        moments: list[Moment],
        moment: NDArray[np.integer],
        plan: PlanGrid,
        *,
        allowed: Flags | None = None,
        exclude_own: bool = False,
    ) -> Candidates:
        """Candidates of E queries.

        Args:
            query: Histories already cut at ``as_of``.
            moments: The distinct moments.
            moment: (E,) position in ``moments``.
            plan: Promotions.
            allowed: (I,) items that may be shown.
            exclude_own: Leave out goods that the customer bought.
        """
        lines, owner = query.histories.lines, query.histories.rows
        count = len(self.groups[0])
        queries = len(query.as_of)
        age = (query.as_of[owner] - lines.time).astype(np.float32)
        own = _Own.of(owner, lines.item, age, lines.order, count)
        owned = set_keys(owner, lines.item, count, lines.goods) if exclude_own else None
        use_own = (
            np.zeros(len(own.owner), dtype=bool) if exclude_own or not self.reach.own else own.best(self.reach.own)
        )
        if allowed is not None:
            use_own &= allowed[own.item]
        profile = _profiles(query, moments, moment)
        offered = self._offered(moments, moment, profile, allowed)
        row, item, slot = _union(own, use_own, *offered, owned, count)
        matrix = _Padded(row, queries)
        items = matrix.fill(item, -1).astype(np.int32)
        slots = matrix.fill(slot, 0)
        static = self._static(query, own, row, item, slot, moments, moment, plan)
        static[:, -2 - plan.kinds : -plan.kinds or None] = _kinship(profile, row, item, moments, moment)
        group_slots, candidate_groups, sizes = self._grouped(owner, lines.item, row, item, matrix)
        return Candidates(
            items=items,
            static=matrix.fill_rows(static),
            line_age=age,
            item_slot=own.slot_of_line + 1,
            group_slots=group_slots,
            candidate_slot=slots,
            candidate_groups=candidate_groups,
            num_slots=len(own.owner) + 1,
            num_groups=sizes,
        )

    def _offered(
        self,
        moments: list[Moment],
        moment: NDArray[np.integer],
        profile: list[F32],
        allowed: Flags | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Popular and kindred candidates of all queries: rows and items, with repeats."""
        rows, items = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for number, one in enumerate(moments):
            mine = np.flatnonzero(moment == number)
            top = one.popularity.top(self.reach.popular, allowed)
            kindred = one.spectral.best(profile[number], self.reach.kindred, allowed)
            rows += [np.repeat(mine, len(top)), np.repeat(mine, kindred.shape[1])]
            items += [np.tile(top, len(mine)).astype(np.int64), kindred.ravel().astype(np.int64)]
        row, item = np.concatenate(rows), np.concatenate(items)
        if allowed is None:
            return row, item
        shown = allowed[item]
        return row[shown], item[shown]

    def _static(
        self,
        query: Query,
        own: _Own,
        row: NDArray[np.int64],
        item: NDArray[np.int64],
        slot: NDArray[np.int64],
        moments: list[Moment],
        moment: NDArray[np.integer],
        plan: PlanGrid,
    ) -> F32:
        """(n, F): ages and regularity of the own item, popularity, room for kinship, promotion shares."""
        known = slot > 0
        at = np.where(known, slot - 1, 0)
        wait = (query.when - query.as_of)[row]
        last, first = (np.where(known, part[at], 400.0) if len(part) else np.full(len(row), 400.0) for part in own.ages)
        orders = np.where(known, own.orders[at], 0) if len(own.orders) else np.zeros(len(row))
        gap = (first - last) / np.maximum(orders - 1, 1)
        visits = own.visits(len(query.as_of), query)
        share = orders / np.maximum(visits[row], 1)
        popular = np.zeros((len(row), 4), dtype=np.float32)
        for number, one in enumerate(moments):
            mine = moment[row] == number
            popular[mine] = one.popularity.features(item[mine])
        due = np.where(orders > 1, (last + wait) / np.maximum(gap, 1.0), 0.0)
        columns = [known, np.log1p(last + wait), np.log1p(first), np.log1p(orders), share, np.log1p(gap)]
        columns += [np.clip(due, 0, 5), np.log1p(visits[row]), np.log1p(wait), *popular.T]
        lines = np.diff(query.histories.offsets)
        since = _since(query)
        columns += [np.log1p(lines / np.maximum(visits, 1))[row], np.log1p(since + query.when - query.as_of)[row]]
        columns += [np.zeros(len(row)), np.zeros(len(row))]
        shares = plan.at(item, query.when[row])
        return np.column_stack([*columns, shares]).astype(np.float32)

    def _grouped(
        self,
        owner: NDArray[np.int64],
        line_item: I32,
        row: NDArray[np.int64],
        item: NDArray[np.int64],
        matrix: _Padded,
    ) -> tuple[tuple[NDArray[np.int64], ...], tuple[NDArray[np.int64], ...], tuple[int, ...]]:
        """Slots of lines and candidates per grouping; group 0 (none) has the empty slot."""
        lines, candidates, sizes = [], [], []
        for codes in self.groups:
            width = int(codes.max(initial=0)) + 1
            code = codes[line_item]
            keys, slot = np.unique(owner * width + code, return_inverse=True)
            lines.append(np.where(code > 0, slot + 1, 0))
            wanted = row * width + codes[item]
            place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
            found = (keys[place] == wanted) & (codes[item] > 0) if len(keys) else np.zeros(len(row), dtype=bool)
            candidates.append(matrix.fill(np.where(found, place + 1, 0), 0))
            sizes.append(len(keys) + 1)
        return tuple(lines), tuple(candidates), tuple(sizes)


@dataclass(frozen=True)
class _Own:
    """Each query's own items, one row per (query, item)."""

    owner: NDArray[np.int64]
    item: NDArray[np.int64]
    slot_of_line: NDArray[np.int64]
    ages: tuple[F32, F32]
    orders: F64
    decayed: F64

    @classmethod
    def of(cls, owner: NDArray[np.int64], item: I32, age: F32, order: I32, count: int) -> _Own:
        key = owner * count + item
        unique, slot = np.unique(key, return_inverse=True)
        size = len(unique)
        last, first = np.full(size, np.inf, dtype=np.float32), np.zeros(size, dtype=np.float32)
        np.minimum.at(last, slot, age)
        np.maximum.at(first, slot, age)
        _, one_per_order = (
            np.unique(np.column_stack([slot, order, np.floor(age)]), axis=0, return_index=True)
            if (order < 0).any()
            else np.unique(slot.astype(np.int64) * (int(order.max(initial=0)) + 1) + order, return_index=True)
        )
        times: F64 = np.bincount(slot[one_per_order], minlength=size).astype(np.float64)
        decayed: F64 = np.bincount(slot, np.exp2(-age.astype(np.float64) / 60.0), size).astype(np.float64)
        return cls(unique // count, unique % count, slot, (last, first), times, decayed)

    def best(self, number: int) -> Flags:
        """Mask of the own items with the highest decayed count of each query."""
        order = np.lexsort((-self.decayed, self.owner))
        sizes = np.bincount(self.owner[order]) if len(order) else np.zeros(0, dtype=np.int64)
        rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        mask = np.zeros(len(order), dtype=bool)
        mask[order[rank < number]] = True
        return mask

    @staticmethod
    def visits(queries: int, query: Query) -> F64:
        """Number of orders of each query's customer."""
        lines, owner = query.histories.lines, query.histories.rows
        if not len(lines):
            return np.zeros(queries)
        new = np.concatenate([[True], (lines.order[1:] != lines.order[:-1]) | (owner[1:] != owner[:-1])])
        return np.bincount(owner[new], minlength=queries).astype(float)


class _Padded:
    """Turns a flat list of (query, value) into an (E, M) matrix; rows must be sorted."""

    def __init__(self, row: NDArray[np.int64], queries: int) -> None:
        sizes = np.bincount(row, minlength=queries)
        self.shape = (queries, max(1, int(sizes.max(initial=0))))
        starts = np.cumsum(sizes) - sizes
        self.place = row * self.shape[1] + np.arange(len(row)) - np.repeat(starts, sizes)

    def fill(self, values: NDArray[np.int64], empty: int) -> NDArray[np.int64]:
        out = np.full(self.shape[0] * self.shape[1], empty, dtype=np.int64)
        out[self.place] = values
        return out.reshape(self.shape)

    def fill_rows(self, values: F32) -> F32:
        out = np.zeros((self.shape[0] * self.shape[1], values.shape[1]), dtype=np.float32)
        out[self.place] = values
        return out.reshape(*self.shape, values.shape[1])


def set_keys(owner: NDArray[np.int64], item: I32, count: int, mask: Flags) -> NDArray[np.int64]:
    """Sorted unique keys ``owner * count + item`` where the mask is true."""
    return distinct(owner[mask] * count + item[mask])


def _since(query: Query) -> F64:
    """(E,) days since the last line of each query's customer, 400 without one."""
    offsets, time = query.histories.offsets, query.histories.lines.time
    some = np.diff(offsets) > 0
    since = np.full(len(query.as_of), 400.0)
    since[some] = query.as_of[some] - time[offsets[1:][some] - 1]
    return since


def _profiles(query: Query, moments: list[Moment], moment: NDArray[np.integer]) -> list[F32]:
    """For each moment the spectral profiles (queries of the moment, R)."""
    found = []
    for number, one in enumerate(moments):
        mine = np.flatnonzero(moment == number)
        part = query.histories if len(moments) == 1 else _some(query.histories, mine)
        found.append(one.spectral.profile(part, query.as_of[mine]))
    return found


def _some(histories: Histories, rows: NDArray[np.int64]) -> Histories:
    counts = np.diff(histories.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    flat = np.arange(offsets[-1]) + np.repeat(histories.offsets[rows] - offsets[:-1], counts)
    return Histories(histories.lines.take(flat), offsets)


def _kinship(
    profile: list[F32],
    row: NDArray[np.int64],
    item: NDArray[np.int64],
    moments: list[Moment],
    moment: NDArray[np.integer],
) -> F32:
    """(n, 2) spectral score of each candidate, as it is and in units of its query's spread."""
    score = np.zeros(len(row), dtype=np.float32)
    for number, one in enumerate(moments):
        mine = np.flatnonzero(moment == number)
        place = np.full(len(moment), -1, dtype=np.int64)
        place[mine] = np.arange(len(mine))
        pairs = moment[row] == number
        score[pairs] = one.spectral.scores(profile[number], place[row[pairs]], item[pairs])
    count = np.maximum(np.bincount(row, minlength=len(moment)), 1)
    spread = np.sqrt(np.bincount(row, score**2, minlength=len(moment)) / count) + 1e-6
    return np.column_stack([np.sign(score) * np.log1p(10 * np.abs(score)), score / spread[row]]).astype(np.float32)


def _union(
    own: _Own,
    use: Flags,
    row: NDArray[np.int64],
    item: NDArray[np.int64],
    owned: NDArray[np.int64] | None,
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Own and offered candidates of every query without repeats, sorted by query: rows, items, own slots (0: none)."""
    key = row * count + item
    own_key = own.owner * count + own.item
    if owned is not None and len(owned):
        place = np.minimum(np.searchsorted(owned, key), len(owned) - 1)
        key = key[owned[place] != key]
    keys = distinct(np.concatenate([own_key[use], key]))
    place = np.minimum(np.searchsorted(own_key, keys), max(len(own_key) - 1, 0))
    slot = np.where(own_key[place] == keys, place + 1, 0) if len(own_key) else np.zeros(len(keys), dtype=np.int64)
    return keys // count, keys % count, slot
