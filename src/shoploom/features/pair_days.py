"""Which of the items that a user views on a day go further on that day: features as of the day's beginning.

One row is a user, an item and a day. What the user did before the day is read from the log; of the day itself only the
set of viewed pairs is read, because that is what a question consists of: how many items of the category one looks at
says a lot about how likely each of them is to be the one. A row of training sees no more than a question would.
"""

# Shapes: m events, n pairs, K kinds of behaviour, S stages, G features

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32
from shoploom.data.impressions import Impressions
from shoploom.errors import DataError
from shoploom.features.as_of import Past, smoothed_rate

NEVER: Final = 30.0
"""Days since something that never happened."""
EVENTS_STRENGTH: Final = 20.0
PAIRS_STRENGTH: Final = {"user": 10.0, "user_category": 20.0, "item": 20.0, "category": 20.0}
KEYS: Final = (*PAIRS_STRENGTH, "user_item")
LEAST_OF_MEDIAN: Final = 0.1
"""Days with fewer pairs than this share of the median day are stray rows, not days to learn from."""
USUAL_PAIRS: Final = 12.0


@dataclass(frozen=True)
class Behaviour:
    """A log of what users did with items.

    Args:
        user, item, category: (m,) codes from 1; 0 is "unknown".
        kind: (m,) positions in ``kinds``.
        kinds: Names of the K kinds; the first is the view.
        time: (m,) days.
        day: (m,) the shop's calendar day; day d begins at time d - ``shift``.
        shift: By how much the shop's midnight is before that of ``time``, in days.
        sizes: Number of codes of user, item and category.
    """

    user: I32
    item: I32
    category: I32
    kind: NDArray[np.int8]
    kinds: tuple[str, ...]
    time: F64
    day: NDArray[np.int64]
    shift: float
    sizes: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Pairs:
    """Users and items viewed on a day, each pair of a day once.

    Args:
        user, item, category: (n,) codes.
        day: (n,) calendar days.
        reached: (n, S) how far the pair got on that day; (0, S) where unknown.
    """

    user: I32
    item: I32
    category: I32
    day: NDArray[np.int64]
    reached: F32

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: NDArray[Any]) -> Pairs:
        """The pairs at some positions, or where a mask is true."""
        reached = self.reached[rows] if len(self.reached) else self.reached
        return Pairs(self.user[rows], self.item[rows], self.category[rows], self.day[rows], reached)


def viewed_pairs(log: Behaviour, stages: dict[str, tuple[int, ...]]) -> Pairs:
    """All pairs of all days with a view, and how far they got on their day.

    Args:
        log: The log.
        stages: Name to the kinds of behaviour (positions in ``kinds``) that make it; from wide to narrow.

    Raises:
        DataError: If a stage has kinds that the stage before does not have.
    """
    wider: tuple[int, ...] = tuple(range(len(log.kinds)))
    for name, kinds in stages.items():
        if not set(kinds) <= set(wider):
            raise DataError(f"stage {name!r} has kinds that the one before has not; order stages from wide to narrow")
        wider = kinds
    key = (log.day * log.sizes[0] + log.user) * log.sizes[1] + log.item
    views = np.flatnonzero(log.kind == 0)
    found, first = np.unique(key[views], return_index=True)
    rows = views[first]
    columns = [np.isin(found, key[np.isin(log.kind, kinds)]) for kinds in stages.values()]
    reached = np.column_stack(columns).astype(np.float32)
    return Pairs(log.user[rows], log.item[rows], log.category[rows], log.day[rows], reached)


class PairFeatures:
    """A log, ready to be asked about pairs of any day.

    Args:
        log: What had happened.
        stages: As in ``viewed_pairs``.
    """

    def __init__(self, log: Behaviour, stages: dict[str, tuple[int, ...]]) -> None:
        self.sizes, self.kinds, self.stages, self.shift = log.sizes, log.kinds, tuple(stages), log.shift
        self.pairs = viewed_pairs(log, stages)
        far = log.kind > 0
        kinds = np.eye(len(log.kinds))[log.kind]
        moments = self.pairs.day - self.shift
        labels = np.column_stack([np.ones(len(self.pairs)), self.pairs.reached])
        nothing = np.zeros(len(log), dtype=np.int64)
        self.all_events = Past(nothing, log.time, np.column_stack([np.ones(len(log)), far]))
        self.all_pairs = Past(nothing[: len(self.pairs)], moments, labels)
        self.events: dict[str, Past] = {}
        self.beyond_view: dict[str, Past] = {}
        self.days: dict[str, Past] = {}
        self.past_pairs: dict[str, Past] = {}
        for name in KEYS:
            key = self._key(name, log.user, log.item, log.category)
            self.events[name] = Past(key, log.time, kinds)
            self.beyond_view[name] = Past(key[far], log.time[far])
            seen = np.unique(np.column_stack([key, log.day]), axis=0)
            self.days[name] = Past(seen[:, 0], seen[:, 1] - self.shift)
            if name in PAIRS_STRENGTH:
                own = self._key(name, self.pairs.user, self.pairs.item, self.pairs.category)
                self.past_pairs[name] = Past(own, moments, labels)

    def training_pairs(self) -> Pairs:
        """Pairs of the days to learn from: ordinary days with an ordinary day before them.

        Raises:
            DataError: If there are not two such days.
        """
        days, count = np.unique(self.pairs.day, return_counts=True)
        ordinary = days[count >= LEAST_OF_MEDIAN * np.median(count[count >= count.max() * LEAST_OF_MEDIAN])]
        if len(ordinary) < 3:
            raise DataError(
                f"the log has {len(ordinary)} ordinary days; three are needed: one to look back on, one to learn from, "
                "one to check on"
            )
        return self.pairs.take(np.isin(self.pairs.day, ordinary[1:]))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features, in order."""
        found = [f"day_{name}" for name in ("user", "user_category", "item", "category", "user_categories")]
        found += ["day_category_share", "day_against_usual"]
        for name in KEYS:
            found += [f"{name}_{kind}" for kind in self.kinds]
            found += [f"{name}_days", f"{name}_since", f"{name}_since_beyond_view"]
            if name in PAIRS_STRENGTH:
                found += [f"{name}_events_rate", *(f"{name}_{stage}_rate" for stage in self.stages)]
        return tuple(found)

    def numbers(self, asked: Pairs) -> F32:
        """(n, G); of days before each pair's own, and of the set of pairs asked about on that day.

        All pairs of a day belong into one call, as they are counted.
        """
        start = asked.day - self.shift
        columns = self._of_the_day(asked)
        nothing = np.zeros(len(asked), dtype=np.int64)
        events = self.all_events.total(nothing, start)
        far_rate = smoothed_rate(events[:, 1], events[:, 0], 0.1, strength=1.0)
        before = self.all_pairs.total(nothing, start)
        overall = smoothed_rate(before[:, 1:], before[:, :1], 0.05, strength=1.0)
        for name in KEYS:
            key = self._key(name, asked.user, asked.item, asked.category)
            kinds = self.events[name].total(key, start)
            columns += list(kinds.T)
            columns.append(self.days[name].total(key, start)[:, 0])
            columns.append(np.nan_to_num(self.events[name].since(key, start), nan=NEVER))
            columns.append(np.nan_to_num(self.beyond_view[name].since(key, start), nan=NEVER))
            if name in PAIRS_STRENGTH:
                far = kinds[:, 1:].sum(axis=1)
                columns.append(np.log(smoothed_rate(far, kinds.sum(axis=1), far_rate, strength=EVENTS_STRENGTH)))
                pairs = self.past_pairs[name].total(key, start)
                rates = smoothed_rate(pairs[:, 1:], pairs[:, :1], overall, strength=PAIRS_STRENGTH[name])
                columns += list(np.log(rates).T)
        return np.column_stack(columns).astype(np.float32)

    def impressions(self, asked: Pairs) -> Impressions:
        """The pairs as rows of a funnel; users and categories are codes, items are too many for that."""
        return Impressions(
            self.stages,
            np.column_stack([asked.user, asked.category]).astype(np.int32),
            ("customer", "category"),
            (self.sizes[0], self.sizes[2]),
            self.numbers(asked),
            self.names,
            asked.reached,
            np.full(len(asked), -1, dtype=np.int32),
            asked.day.astype(np.float64),
        )

    def _of_the_day(self, asked: Pairs) -> list[NDArray[Any]]:
        """Pairs of the same day: of the user, of user and category, of the item, of the category; and ratios."""
        first = int(asked.day.min(initial=0))
        day = asked.day - first

        def number(key: NDArray[np.int64], size: int) -> F64:
            _, place, count = np.unique(day * size + key, return_inverse=True, return_counts=True)
            return np.asarray(count[place], dtype=np.float64)

        keys = {name: self._key(name, asked.user, asked.item, asked.category) for name in KEYS}
        pairs_of = {
            name: number(keys[name], int(np.prod([self.sizes[_PLACE[part]] for part in name.split("_")])))
            for name in ("user", "user_category", "item", "category")
        }
        once = np.unique(np.column_stack([asked.day, asked.user, asked.category]), axis=0)
        visited = Past(once[:, 1], once[:, 0].astype(np.float64))
        categories = visited.total(asked.user, asked.day + 0.5, window=1.0)[:, 0]
        start = asked.day - self.shift
        earlier = self.past_pairs["user"].total(keys["user"], start)[:, 0]
        active = self._pair_days(keys["user"], start)
        usual = np.where(active > 0, earlier / np.maximum(active, 1), USUAL_PAIRS)
        return [
            *pairs_of.values(),
            categories,
            pairs_of["user_category"] / pairs_of["user"],
            np.log(pairs_of["user"] / usual),
        ]

    def _pair_days(self, user: NDArray[np.int64], start: NDArray[Any]) -> F64:
        """(n,) days on which the user viewed anything."""
        seen = np.unique(np.column_stack([self.pairs.user, self.pairs.day]), axis=0)
        return Past(seen[:, 0], seen[:, 1] - self.shift).total(user, start)[:, 0]

    def _key(self, name: str, user: NDArray[Any], item: NDArray[Any], category: NDArray[Any]) -> NDArray[np.int64]:
        parts = {"user": user, "item": item, "category": category}
        key = np.zeros(len(user), dtype=np.int64)
        for part in name.split("_"):
            key = key * self.sizes[_PLACE[part]] + parts[part]
        return key


_PLACE: Final = {"user": 0, "item": 1, "category": 2}
