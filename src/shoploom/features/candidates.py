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

from shoploom.data.arrays import F32, F64, I32, Flags, Histories, Lines
from shoploom.data.keys import MOST_CODES, distinct, find, group_starts, rank_in_group
from shoploom.features.popularity import PlanGrid, Popularity
from shoploom.features.spectral import Spectral
from shoploom.features.trips import NUM_DENSE, ItemTrips, Trips, dense

NUM_STATIC = 17 + NUM_DENSE


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
class Moment:
    """What all queries of one moment share."""

    popularity: Popularity
    spectral: Spectral
    trips: ItemTrips


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


class Past:
    """What the histories of E queries say, whatever is offered to them: several tasks read the same one.

    Args:
        histories: One entry per query, nothing later than its ``as_of``.
        as_of: (E,) last moment of each history.
        moments: The distinct moments.
        moment: (E,) position in ``moments``.
        groupings: One (I,) array per grouping (finest category, brand): a code per item, 0 for none.
        timezone: Of the shop.
    """

    def __init__(
        self,
        histories: Histories,
        as_of: F64,
        moments: list[Moment],
        moment: NDArray[np.integer],
        groupings: tuple[I32, ...],
        timezone: str = "UTC",
    ) -> None:
        self.timezone = timezone
        self.histories = histories
        self.as_of = as_of
        self.moments = moments
        self.moment = moment
        self.num_items = len(groupings[0])
        self.owner = histories.rows
        self.age = (as_of[self.owner] - histories.lines.time).astype(np.float32)
        self.own = _Own.of(self.owner, histories.lines, self.age, self.num_items)
        self.groups = tuple(_Group.of(self.own, codes) for codes in groupings)
        self.visits = _visits(histories)
        self.since = _since(histories, as_of)
        self.profiles = [self._profile(number) for number in range(len(moments))]
        self._trips: tuple[F64, Trips] | None = None

    def __len__(self) -> int:
        return len(self.as_of)

    def trips(self, when: F64) -> Trips:
        """The visits at some moments beside what came before; tasks that ask about the same visits share it."""
        if self._trips is None or not np.array_equal(self._trips[0], when):
            found = Trips.of(self.histories, self.own.keys, when, num_items=self.num_items, timezone=self.timezone)
            self._trips = when, found
        return self._trips[1]

    def asking(self, number: int) -> NDArray[np.int64]:
        """Queries of a moment."""
        return np.flatnonzero(self.moment == number)

    def _profile(self, number: int) -> F32:
        part = self.histories if len(self.moments) == 1 else _some(self.histories, self.asking(number))
        return self.moments[number].spectral.profile(part, self.as_of[self.moment == number])


def offer(
    past: Past,
    when: F64,
    plan: PlanGrid,
    reach: Reach,
    *,
    allowed: Flags | None = None,
    exclude_own: bool = False,
) -> Candidates:
    """Candidates of E queries.

    Args:
        past: Their histories.
        when: (E,) moments of the visits.
        plan: Promotions.
        reach: How many candidates of each kind.
        allowed: (I,) items that may be shown.
        exclude_own: Leave out goods that the customer bought.
    """
    own, count = past.own, past.num_items
    goods = past.histories.lines.goods
    owned = distinct(past.owner[goods] * count + past.histories.lines.item[goods]) if exclude_own else None
    use_own = np.zeros(len(own), dtype=bool) if exclude_own or not reach.own else own.best(reach.own)
    if allowed is not None:
        use_own &= allowed[own.item]
    row, item, slot = _union(own, use_own, *_offered(past, reach, allowed), owned, count)
    matrix = _Padded(row, len(past))
    columns = [_habits(past, when, row, slot), _popularity(past, row, item), _visits_of(past, when, row)]
    columns += [_kinship(past, row, item), _trips_of(past, when, row, item, slot), plan.at(item, when[row])]
    candidate_groups = tuple(matrix.fill(one.find(row, item), 0) for one in past.groups)
    return Candidates(
        items=matrix.fill(item, -1).astype(np.int32),
        static=matrix.fill_rows(np.concatenate(columns, axis=1)),
        line_age=past.age,
        item_slot=own.slot_of_line + 1,
        group_slots=tuple(one.slot_of_pair[own.slot_of_line] for one in past.groups),
        candidate_slot=matrix.fill(slot, 0),
        candidate_groups=candidate_groups,
        num_slots=len(own) + 1,
        num_groups=tuple(len(one.keys) + 1 for one in past.groups),
    )


def _offered(past: Past, reach: Reach, allowed: Flags | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Popular and kindred candidates of all queries: rows and items, with repeats."""
    rows, items = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for number, one in enumerate(past.moments):
        mine = past.asking(number)
        top = one.popularity.top(reach.popular, allowed)
        kindred = one.spectral.best(past.profiles[number], reach.kindred, allowed)
        rows += [np.repeat(mine, len(top)), np.repeat(mine, kindred.shape[1])]
        items += [np.tile(top, len(mine)).astype(np.int64), kindred.ravel().astype(np.int64)]
    row, item = np.concatenate(rows), np.concatenate(items)
    if allowed is None:
        return row, item
    shown = allowed[item]
    return row[shown], item[shown]


def _habits(past: Past, when: F64, row: NDArray[np.int64], slot: NDArray[np.int64]) -> F32:
    """(n, 9) age, count and regularity of the own item, and how the customer visits."""
    own, known = past.own, slot > 0
    at = np.where(known, slot - 1, 0)
    wait = (when - past.as_of)[row]
    last, first = (np.where(known, one[at], 400.0) if len(one) else np.full(len(row), 400.0) for one in own.ages)
    orders = np.where(known, own.orders[at], 0) if len(own) else np.zeros(len(row))
    gap = (first - last) / np.maximum(orders - 1, 1)
    share = orders / np.maximum(past.visits, 1)[row]
    due = np.where(orders > 1, (last + wait) / np.maximum(gap, 1.0), 0.0)
    columns = [known, np.log1p(last + wait), np.log1p(first), np.log1p(orders), share, np.log1p(gap)]
    columns += [np.clip(due, 0, 5), np.log1p(past.visits)[row], np.log1p(wait)]
    return np.column_stack(columns).astype(np.float32)


def _popularity(past: Past, row: NDArray[np.int64], item: NDArray[np.int64]) -> F32:
    """(n, 4) counts in the windows and repeats, as of each query's moment."""
    found = np.zeros((len(row), 4), dtype=np.float32)
    moment = past.moment[row]
    for number, one in enumerate(past.moments):
        mine = moment == number
        found[mine] = one.popularity.features(item[mine])
    return found


def _visits_of(past: Past, when: F64, row: NDArray[np.int64]) -> F32:
    """(n, 2) usual size of the customer's visits, and days since the last one at the time of the visit."""
    lines = np.diff(past.histories.offsets)
    table = [np.log1p(lines / np.maximum(past.visits, 1)), np.log1p(past.since + when - past.as_of)]
    return np.column_stack(table).astype(np.float32)[row]


@dataclass(frozen=True)
class _Own:
    """Each query's own items, one row per (query, item), sorted.

    Args:
        keys: ``owner * items + item``.
        owner, item: Of each pair.
        slot_of_line: The pair of each line.
        ages: Days since the last and since the first line.
        orders: In how many orders.
        decayed: Lines, halved every 60 days.
    """

    keys: NDArray[np.int64]
    owner: NDArray[np.int64]
    item: NDArray[np.int64]
    slot_of_line: NDArray[np.int64]
    ages: tuple[F32, F32]
    orders: F64
    decayed: F64

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, owner: NDArray[np.int64], lines: Lines, age: F32, count: int) -> _Own:
        """Lines must be in order of time within each owner."""
        key = owner * count + lines.item
        order = np.argsort(key, kind="stable")
        key, age, number = key[order], age[order], lines.order[order]
        starts = group_starts(key)
        slot = np.zeros(len(key), dtype=np.int64)
        slot[starts[1:]] = 1
        slot_of_line = np.empty(len(key), dtype=np.int64)
        slot_of_line[order] = np.cumsum(slot)
        if not len(starts):
            none = np.zeros(0, dtype=np.float32)
            return cls(key, key, key, slot_of_line, (none, none), np.zeros(0), np.zeros(0))
        day = np.where(number < 0, np.floor(age), 0)  # without numbers the lines of a day are one order
        fresh = np.ones(len(key), dtype=np.float64)
        fresh[1:] = (number[1:] != number[:-1]) | (day[1:] != day[:-1])
        fresh[starts] = 1.0
        ends = np.append(starts[1:], len(key)) - 1
        keys = key[starts]
        return cls(
            keys=keys,
            owner=keys // count,
            item=keys % count,
            slot_of_line=slot_of_line,
            ages=(age[ends], age[starts]),
            orders=np.add.reduceat(fresh, starts),
            decayed=np.add.reduceat(np.exp2(-age.astype(np.float64) / 60.0), starts),
        )

    def best(self, number: int) -> Flags:
        """Mask of the own items with the highest decayed count of each query."""
        order = np.lexsort((-self.decayed, self.owner))
        mask = np.zeros(len(order), dtype=bool)
        mask[order[rank_in_group(self.owner[order]) < number]] = True
        return mask


@dataclass(frozen=True)
class _Group:
    """Lines of each query by group of their items; slot 0 is that of items without a group.

    Args:
        codes: (I,) group of each item.
        keys: (groups,) ``owner * MOST_CODES + code``, sorted.
        slot_of_pair: The group's slot of each own pair.
    """

    codes: I32
    keys: NDArray[np.int64]
    slot_of_pair: NDArray[np.int64]

    @classmethod
    def of(cls, own: _Own, codes: I32) -> _Group:
        code = codes[own.item]
        keys, slot = np.unique(own.owner * MOST_CODES + code, return_inverse=True)
        return cls(codes, keys, np.where(code > 0, slot + 1, 0))

    def find(self, row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) slot of each candidate's group."""
        code = self.codes[item]
        return np.where(code > 0, find(self.keys, row * MOST_CODES + code) + 1, 0)


def _visits(histories: Histories) -> F64:
    """(E,) number of orders of each query's customer."""
    lines, owner = histories.lines, histories.rows
    queries = len(histories.offsets) - 1
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


def _since(histories: Histories, as_of: F64) -> F64:
    """(E,) days since the last line of each query's customer, 400 without one."""
    offsets, time = histories.offsets, histories.lines.time
    some = np.diff(offsets) > 0
    since = np.full(len(as_of), 400.0)
    since[some] = as_of[some] - time[offsets[1:][some] - 1]
    return since


def _some(histories: Histories, rows: NDArray[np.int64]) -> Histories:
    counts = np.diff(histories.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    flat = np.arange(offsets[-1]) + np.repeat(histories.offsets[rows] - offsets[:-1], counts)
    return Histories(histories.lines.take(flat), offsets)


def _kinship(past: Past, row: NDArray[np.int64], item: NDArray[np.int64]) -> F32:
    """(n, 2) spectral score of each candidate, as it is and in units of its query's spread."""
    score = np.zeros(len(row), dtype=np.float32)
    moment, place = past.moment[row], np.zeros(len(past), dtype=np.int64)
    for number, one in enumerate(past.moments):
        mine, pairs = past.asking(number), moment == number
        place[mine] = np.arange(len(mine))
        score[pairs] = one.spectral.scores(past.profiles[number], place[row[pairs]], item[pairs])
    count = np.maximum(np.bincount(row, minlength=len(past)), 1)
    spread = np.sqrt(np.bincount(row, score**2, minlength=len(past)) / count) + 1e-6
    return np.column_stack([np.sign(score) * np.log1p(10 * np.abs(score)), score / spread[row]]).astype(np.float32)


def _trips_of(past: Past, when: F64, row: NDArray[np.int64], item: NDArray[np.int64], slot: NDArray[np.int64]) -> F32:
    """(n, NUM_DENSE) each candidate beside the kind of trip."""
    trips = past.trips(when)
    found = np.zeros((len(row), NUM_DENSE), dtype=np.float32)
    moment = past.moment[row]
    for number, one in enumerate(past.moments):
        mine = np.flatnonzero(moment == number)
        found[mine] = dense(trips, one.trips, row[mine], item[mine], slot[mine] - 1)
    return found


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
    if owned is not None and len(owned):
        key = key[find(owned, key) < 0]
    keys = distinct(np.concatenate([own.keys[use], key]))
    return keys // count, keys % count, find(own.keys, keys) + 1
