"""What is known of an entity at a moment: recency, frequency, money, windows, decays, ratios, crosses, calendar.

Nothing here knows what an entity is: a customer, a visitor, a product. Reading "as of t" sees only events strictly
before t, whether thousands of (entity, moment) pairs are asked in training or one in serving: it is the same code, and
the sums of one entity are added up in the same order, so both give the same bits. A new signal is one more kind.
"""

# Shapes: N events, B questions (entity, moment), F features

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F64, ShopArrays, moment_of
from shoploom.data.keys import Rows, group_starts, rank_in_group
from shoploom.data.orders import local_clock
from shoploom.errors import DataError
from shoploom.features.calendar import holidays

NEVER = 1000.0
"""Days since the last event of an entity without one, and the most that is told of any."""
FEW_PER_RANK = 50
"""Events per step from which on it is quicker to take a step of all entities at once."""
SPANS = (7.0, 28.0, 56.0, 112.0)
HALF_LIVES = (7.0, 30.0, 90.0)
CALENDAR = ("weekday_sin", "weekday_cos", "hour_sin", "hour_cos", "season_sin", "season_cos", "month_day", "holiday_in")


@dataclass(frozen=True)
class FeatureTable:
    """Named features of B questions.

    Args:
        names: (F,) in the order of the columns.
        values: (B, F) float64; NaN where something is not known.
    """

    names: tuple[str, ...]
    values: F64

    def column(self, name: str) -> F64:
        """(B,) one feature."""
        return np.asarray(self.values[:, self.names.index(name)])

    def beside(self, *others: FeatureTable) -> FeatureTable:
        """The columns of several tables over the same questions.

        Raises:
            DataError: If two columns have the same name.
        """
        tables = (self, *others)
        names = tuple(name for one in tables for name in one.names)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"features {', '.join(twice)} come from two tables; rename them in one of the two")
        return FeatureTable(names, np.concatenate([one.values for one in tables], axis=1))

    def take(self, columns: NDArray[Any]) -> FeatureTable:
        """Some of the columns, by position."""
        return FeatureTable(tuple(self.names[int(one)] for one in columns), self.values[:, columns])


class Timeline:
    """Events of many entities, sorted once; every method reads as of a moment.

    Args:
        entity: (N,) row of the entity, 0 or more.
        time: (N,) days.
        value: (N,) amount of the event, such as money; 1 if None.
        group: (N,) code that ``distinct`` counts, such as a product; 0 if None.

    Raises:
        DataError: If a column has another length, or a time is not finite.

    Example:
        >>> line = Timeline(np.array([0, 0]), np.array([1.0, 5.0]), value=np.array([10.0, 20.0]))
        >>> who, when = np.array([0, 0, 1]), np.array([5.0, 5.1, 9.0])
        >>> line.count(who, when).tolist(), line.total(who, when, days=1.0).tolist()
        ([1.0, 2.0, 0.0], [0.0, 20.0, 0.0])
    """

    def __init__(
        self,
        entity: NDArray[Any],
        time: NDArray[Any],
        *,
        value: NDArray[Any] | None = None,
        group: NDArray[Any] | None = None,
    ) -> None:
        count = len(time)
        value = np.ones(count) if value is None else np.asarray(value, dtype=np.float64)
        group = np.zeros(count, dtype=np.int64) if group is None else np.asarray(group, dtype=np.int64)
        sizes = {"entity": len(entity), "time": count, "value": len(value), "group": len(group)}
        if len(set(sizes.values())) > 1:
            raise DataError(f"the columns of a timeline have lengths {sizes}; wanted one of each per event")
        if not np.isfinite(np.asarray(time, dtype=np.float64)).all():
            raise DataError("a timeline holds a time that is no number; drop events without a time first")
        order = np.lexsort((np.asarray(time, dtype=np.float64), np.asarray(entity)))
        self.entity = np.asarray(entity, dtype=np.int64)[order]
        self.time = np.asarray(time, dtype=np.float64)[order]
        self.value, self.group = value[order], group[order]

    def __len__(self) -> int:
        return len(self.time)

    def where(self, kept: NDArray[np.bool_]) -> Timeline:
        """The events, in the order of this timeline, for which a mask is true."""
        rows = np.flatnonzero(kept)
        return Timeline(self.entity[rows], self.time[rows], value=self.value[rows], group=self.group[rows])

    def count(self, entity: NDArray[Any], moment: F64, *, days: float = np.inf, until: float = 0.0) -> F64:
        """(B,) events with an age in (``until``, ``days``], or from just before the moment on for ``until`` = 0."""
        low, high = self._range(entity, moment, days, until)
        return np.asarray(high - low, dtype=np.float64)

    def total(self, entity: NDArray[Any], moment: F64, *, days: float = np.inf, until: float = 0.0) -> F64:
        """(B,) sum of the values of the same events."""
        low, high = self._range(entity, moment, days, until)
        sums = self._read(self._totals, entity, high) - self._read(self._totals, entity, low)
        return np.where(high > low, sums, 0.0)

    def decayed(self, entity: NDArray[Any], moment: F64, *, half_life: float, counts: bool = False) -> F64:
        """(B,) sum of value · 2^(−age / half_life), or of 2^(−age / half_life) with ``counts``; ages in days."""
        place = self._place(entity, moment)
        state = self._running(np.ones(len(self)) if counts else self.value, half_life)
        last = np.maximum(place - 1, 0)
        found = self._read(state, entity, place)
        age = moment - self.time[last] if len(self) else np.zeros(len(moment))
        return np.where(found != 0, found * 2.0 ** (-np.maximum(age, 0.0) / half_life), 0.0)

    def since_last(self, entity: NDArray[Any], moment: F64) -> F64:
        """(B,) days since the latest event, at most ``NEVER``."""
        return self._age(entity, moment, self._place(entity, moment) - 1)

    def since_first(self, entity: NDArray[Any], moment: F64) -> F64:
        """(B,) days since the earliest event, at most ``NEVER``; the same ``NEVER`` without an event."""
        return self._age(entity, moment, self._starts(entity))

    def distinct(self, entity: NDArray[Any], moment: F64) -> F64:
        """(B,) number of different groups so far."""
        order = np.lexsort((np.arange(len(self)), self.group, self.entity))
        new = np.zeros(len(self))
        pairs = np.stack([self.entity[order], self.group[order]])
        fresh = np.ones(len(self), dtype=bool)
        fresh[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
        new[order[fresh]] = 1.0
        return self._read(self._running(new, np.inf), entity, self._place(entity, moment))

    # ------------------------------------------------------------------------------------------------ how it is read

    def _place(self, entity: NDArray[Any], moment: F64) -> Rows:
        """(B,) position of the first of the entity's events that is not before the moment, or of its end.

        All questions halve their entity's part at once.
        """
        low, high = self._starts(entity), np.searchsorted(self.entity, np.asarray(entity, dtype=np.int64), side="right")
        while (low < high).any():
            middle = (low + high) // 2
            earlier = self.time[np.minimum(middle, len(self) - 1)] < moment
            is_open = low < high
            low, high = np.where(is_open & earlier, middle + 1, low), np.where(is_open & ~earlier, middle, high)
        return np.asarray(low, dtype=np.int64)

    def _range(self, entity: NDArray[Any], moment: F64, days: float, until: float) -> tuple[Rows, Rows]:
        low = self._starts(entity) if np.isinf(days) else self._place(entity, moment - days)
        return low, self._place(entity, moment - until)

    def _starts(self, entity: NDArray[Any]) -> Rows:
        return np.searchsorted(self.entity, np.asarray(entity, dtype=np.int64), side="left")

    def _age(self, entity: NDArray[Any], moment: F64, row: Rows) -> F64:
        """Days since an event, ``NEVER`` where the row is not one of the entity's events before the moment."""
        if not len(self):
            return np.full(len(moment), NEVER)
        safe = np.clip(row, 0, len(self) - 1)
        own = (row >= 0) & (self.entity[safe] == entity) & (self.time[safe] < moment)
        return np.where(own, np.minimum(moment - self.time[safe], NEVER), NEVER)

    def _read(self, state: F64, entity: NDArray[Any], place: Rows) -> F64:
        """(B,) a running state after the event before ``place``; 0 where that is another entity's."""
        if not len(self):
            return np.zeros(len(place))
        last = np.maximum(place - 1, 0)
        return np.where((place > 0) & (self.entity[last] == entity), state[last], 0.0)

    @cached_property
    def _totals(self) -> F64:
        """(N,) sums of the values so far."""
        return self._running(self.value, np.inf)

    def _running(self, values: F64, half_life: float) -> F64:
        """(N,) s_i = s_{i−1} 2^(−(t_i − t_{i−1}) / half_life) + value_i within each entity.

        In the order of time for every entity, whichever way it is done: event by event where there are few, or the
        second events of all entities at once, then the third ones ...; so both give the same bits.
        """
        state = values.astype(np.float64, copy=True)
        if not len(state):
            return state
        kept = np.ones(len(state)) if np.isinf(half_life) else np.zeros(len(state))
        if not np.isinf(half_life):
            kept[1:] = 2.0 ** (-np.maximum(np.diff(self.time), 0.0) / half_life)
        if len(state) < FEW_PER_RANK * len(self._ranks):
            return _one_by_one(state, kept, self._ranks[0])
        for rows in self._ranks[1:]:
            state[rows] += state[rows - 1] * kept[rows]
        return state

    @cached_property
    def _ranks(self) -> list[Rows]:
        """The first, second, third ... events of all entities that have so many."""
        if not len(self):
            return []
        rank = rank_in_group(self.entity)
        order = np.argsort(rank, kind="stable")
        return list(np.split(order, group_starts(rank[order])[1:]))


def _one_by_one(values: F64, kept: F64, firsts: Rows) -> F64:
    state, found, begins = 0.0, [], set(firsts.tolist())
    for row, (value, factor) in enumerate(zip(values.tolist(), kept.tolist(), strict=True)):
        state = value if row in begins else value + state * factor
        found.append(state)
    return np.array(found)


@dataclass(frozen=True)
class Recipe:
    """Which features are made of each kind of event.

    Args:
        spans: Days of the windows.
        half_lives: Days of the decays.
        calendar: Whether the moment's own calendar is told, too.
        timezone: IANA name of the shop's clock.
    """

    spans: tuple[float, ...] = SPANS
    half_lives: tuple[float, ...] = HALF_LIVES
    calendar: bool = True
    timezone: str = "UTC"


def build(
    kinds: Mapping[str, Timeline], entity: NDArray[Any], moment: F64, recipe: Recipe | None = None
) -> FeatureTable:
    """The features of B (entity, moment) pairs from several kinds of events.

    Per kind: days since the last and first event, number and value over all time, per window and decayed, different
    groups, mean gap, how overdue the next one is, value per event, the newest window's share of the one before and
    of all; per further kind its share of the first kind's number (carts per view, say).

    Args:
        kinds: Name to events, the main one first.
        entity: (B,) rows.
        moment: (B,) days.
        recipe: Windows and the like.
    """
    recipe = recipe or Recipe()
    moment = np.asarray(moment, dtype=np.float64)
    columns: dict[str, F64] = {}
    for name, line in kinds.items():
        columns |= _of_kind(name, line, entity, moment, recipe)
    main, *others = kinds
    for other in others:
        columns[f"{other}_per_{main}"] = ratio(columns[f"{other}_count"], columns[f"{main}_count"])
    if recipe.calendar:
        table = calendar_table(moment, recipe.timezone)
        columns |= dict(zip(table.names, table.values.T, strict=True))
    return FeatureTable(tuple(columns), np.column_stack(list(columns.values())))


def _of_kind(kind: str, line: Timeline, entity: NDArray[Any], moment: F64, recipe: Recipe) -> dict[str, F64]:
    count, total = line.count(entity, moment), line.total(entity, moment)
    recency, age = line.since_last(entity, moment), line.since_first(entity, moment)
    gap = np.where(count > 1, (age - recency) / np.maximum(count - 1, 1), NEVER)
    found = {"recency": recency, "age": age, "count": count, "total": total}
    found |= {"different": line.distinct(entity, moment), "gap": gap}
    found |= {"overdue": ratio(recency, gap), "mean": ratio(total, count)}
    for days in recipe.spans:
        found[f"count_{days:g}"] = line.count(entity, moment, days=days)
        found[f"total_{days:g}"] = line.total(entity, moment, days=days)
        before = line.count(entity, moment, days=2 * days, until=days)
        found[f"trend_{days:g}"] = ratio(found[f"count_{days:g}"] - before, found[f"count_{days:g}"] + before)
        found[f"share_{days:g}"] = ratio(found[f"count_{days:g}"], count)
    for days in recipe.half_lives:
        found[f"decayed_count_{days:g}"] = line.decayed(entity, moment, half_life=days, counts=True)
        found[f"decayed_total_{days:g}"] = line.decayed(entity, moment, half_life=days)
    return {f"{kind}_{name}": values for name, values in found.items()}


def ratio(above: F64, below: F64) -> F64:
    """(B,) quotient, 0 where there is nothing below: no events are no share, not an unknown one.

    Example:
        >>> ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0])).tolist()
        [0.25, 0.0]
    """
    return np.divide(above, below, out=np.zeros(len(above)), where=np.asarray(below) != 0)


def crosses(table: FeatureTable, pairs: tuple[tuple[str, str], ...]) -> FeatureTable:
    """Products of two features, for linear models that cannot multiply: named ``a*b``.

    Example:
        >>> crosses(FeatureTable(("a", "b"), np.array([[2.0, 3.0]])), (("a", "b"),)).values.tolist()
        [[6.0]]
    """
    columns = [table.column(one) * table.column(two) for one, two in pairs]
    values = np.column_stack(columns) if columns else np.zeros((len(table.values), 0))
    return FeatureTable(tuple(f"{one}*{two}" for one, two in pairs), values)


def calendar_table(moment: F64, timezone: str = "UTC") -> FeatureTable:
    """The moments' own calendar on the shop's clock.

    Weekday, hour and season as sine and cosine, so that Sunday is next to Monday and December next to January; the day
    of the month; the days to the next holiday, at most 60.
    """
    hour, weekday = local_clock(moment, timezone)
    values = np.zeros((len(moment), len(CALENDAR)))
    dates = [moment_of(one) for one in moment]
    season = np.array([one.timetuple().tm_yday / 366.0 for one in dates])
    turns = (weekday / 7.0, hour / 24.0, season)
    for place, turn in enumerate(turns):
        values[:, 2 * place], values[:, 2 * place + 1] = np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)
    values[:, 6] = [one.day for one in dates]
    values[:, 7] = [_next_holiday(one.date(), timezone) for one in dates]
    return FeatureTable(CALENDAR, values)


def _next_holiday(day: Any, timezone: str) -> float:
    ahead = [(one - day).days for year in (day.year, day.year + 1) for one in holidays(year, timezone)]
    return float(min([60, *(days for days in ahead if days >= 0)]))


def kinds_of(shop: ShopArrays) -> tuple[str, ...]:
    """Purchases, then the other kinds of events that occur in a shop; keep them with what is fitted on the features."""
    found = [name for code, name in enumerate(schema.EVENT_TYPES) if (shop.lines.kind == code).any()]
    return (schema.PURCHASE, *(name for name in found if name not in (schema.PURCHASE, schema.IMPRESSION)))


def customer_kinds(shop: ShopArrays, customers: NDArray[Any], kinds: Sequence[str]) -> dict[str, Timeline]:
    """The timelines of some customers.

    Args:
        shop: Live lines count, too; later ones are cut off by the moment that is asked about.
        customers: (B,) rows; entity b of the timelines is the b-th of them.
        kinds: Of events; ``purchase`` stands for those that count as one.
    """
    histories = shop.histories(customers)
    lines, rows = histories.lines, histories.rows
    amount, item = lines.amount.astype(np.float64), lines.item.astype(np.int64)
    found = {}
    for name in kinds:
        kept = lines.purchase if name == schema.PURCHASE else lines.kind == schema.EVENT_TYPES.index(name)
        found[name] = Timeline(rows[kept], lines.time[kept], value=amount[kept], group=item[kept])
    return found


def customers_as_of(
    shop: ShopArrays,
    customers: NDArray[Any],
    moment: float | F64,
    recipe: Recipe | None = None,
    *,
    kinds: Sequence[str] | None = None,
) -> FeatureTable:
    """The features of some customers at one moment, or each at an own one.

    Args:
        shop: Everything that is known; what lies at or after a moment does not count for it.
        customers: (B,) rows, -1 being somebody unknown.
        moment: A day, or (B,) days.
        recipe: Windows and the like; the clock is the shop's.
        kinds: Of events, which decide the columns; None: ``kinds_of(shop)``, which looks at every line.
    """
    recipe = replace(recipe or Recipe(), timezone=shop.timezone)
    rows, place = np.unique(np.asarray(customers, dtype=np.int64), return_inverse=True)
    moments = np.broadcast_to(np.asarray(moment, dtype=np.float64), (len(customers),))
    lines = customer_kinds(shop, rows, kinds_of(shop) if kinds is None else kinds)
    return build(lines, place.astype(np.int64), np.array(moments), recipe)
