"""When customers buy a product again: the rhythm of a customer with a product, beside the rhythm of the product."""

# Shapes: I items, P pairs (customer, item), n own items of one customer, L lines

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from shoploom.data.arrays import F64, I32, Flags, Lines, ShopArrays
from shoploom.data.keys import Rows, group_starts
from shoploom.data.orders import local_days
from shoploom.inference.local_time import local_day

AHEAD_DAYS = 7.0
SPREAD = 1.0
"""Standard deviation of the logarithm of the days between two purchases: 1.06 and .99 on two shops."""
OWN_PRIOR, ITEM_PRIOR, REPEAT_PRIOR = 2.0, 20.0, 10.0
DUE_FROM = 0.75
"""Of the usual days between purchases: what was bought more recently than that is not due."""
MOST_LINES = 5_000_000
USUAL_DAYS, USUAL_SHARE = 30.0, 0.3
"""For a shop where nobody bought anything twice yet."""


@dataclass(frozen=True)
class Due:
    """Own items of a customer, likeliest first.

    Args:
        items: (n,) rows.
        chance: (n,) probability of a purchase within ``AHEAD_DAYS``.
        times: (n,) days with a purchase.
        since: (n,) days since the latest one.
        every: (n,) usual days between purchases: the customer's median from 3 purchases on, else the product's.
        due: (n,) whether ``DUE_FROM`` of them have passed.
    """

    items: Rows
    chance: F64
    times: Rows
    since: F64
    every: F64
    due: Flags


class Rhythm:
    """Days between purchases of one shop's products.

    Args:
        log_gap: (I,) mean logarithm of the days between two purchases by one customer.
        repeated: (I,) share of the buyers who bought again.
        usual: The two for products without figures of their own.
        timezone: Of the shop, whose days are counted.
    """

    def __init__(self, log_gap: F64, repeated: F64, usual: tuple[float, float], timezone: str) -> None:
        self._log_gap = log_gap
        self._repeated = repeated
        self._usual = usual
        self._timezone = timezone

    @classmethod
    def of(cls, shop: ShopArrays) -> Rhythm:
        """Of all purchases of known customers; products with few repeats are drawn to the shop's mean."""
        kept = np.flatnonzero(shop.lines.purchase & shop.lines.goods & (shop.lines.customer >= 0))
        lines = shop.lines.take(kept[np.argsort(-shop.lines.time[kept], kind="stable")[:MOST_LINES]])
        size = len(shop.items)
        pair, day = _days(lines.customer, lines.item, local_days(lines.time, shop.timezone), size)
        starts = group_starts(pair)
        same = pair[1:] == pair[:-1]
        gap_item = pair[1:][same] % max(1, size)
        log_gap = np.log(np.diff(day)[same].astype(np.float64))
        gaps = np.bincount(gap_item, minlength=size)
        buyers = np.bincount(pair[starts] % max(1, size), minlength=size)
        sizes = np.diff(np.append(starts, len(pair)))
        again = np.bincount(pair[starts][sizes > 1] % max(1, size), minlength=size)
        usual_gap = float(log_gap.mean()) if len(log_gap) else math.log(USUAL_DAYS)
        usual_share = float(again.sum() / buyers.sum()) if again.sum() else USUAL_SHARE
        mean_gap = (np.bincount(gap_item, log_gap, minlength=size) + ITEM_PRIOR * usual_gap) / (gaps + ITEM_PRIOR)
        share = (again + REPEAT_PRIOR * usual_share) / (buyers + REPEAT_PRIOR)
        return cls(mean_gap, share, (usual_gap, usual_share), shop.timezone)

    def due(self, own: Lines, when: float) -> Due:
        """The products that a customer bought, by the chance that they are bought in the next ``AHEAD_DAYS``.

        The days between purchases are lognormal around a mean of the customer's own and the product's; a customer
        who is long overdue has rather lost the habit. On held-back weeks of two shops this found more of what is
        bought again than decayed counts did (recall@10 .390 and .538, against .384 and .484).

        References:
            Bhagat et al. 2018, "Buy It Again", KDD, sections 3.1 to 3.3: a repeat probability times a rate of the
            customer and the product. There the rate is Poisson-Gamma; level with this one, but it names no rhythm.
        """
        lines = own.take(own.purchase & own.goods)
        size = int(lines.item.max(initial=-1)) + 1
        days = local_days(lines.time, self._timezone)
        item, day = _days(np.zeros(len(lines), dtype=np.int32), lines.item, days, size)
        starts = group_starts(item)
        times = np.diff(np.append(starts, len(item)))
        rows, last = item[starts], day[starts + times - 1]
        log_gap, repeated = self._read(rows)
        same = item[1:] == item[:-1]
        owner, gaps = np.searchsorted(rows, item[1:][same]), np.diff(day)[same].astype(np.float64)
        sums = np.bincount(owner, np.log(gaps), minlength=len(rows))
        centre = (sums + OWN_PRIOR * log_gap) / (times - 1 + OWN_PRIOR)
        since = np.maximum(0.0, local_day(when, self._timezone) - last)
        chance = _chance(since, centre, 1 - (1 - repeated) ** times)
        every = np.where(times > 2, _medians(owner, gaps, len(rows)), np.exp(log_gap))
        order = np.lexsort((rows, -chance))
        due = since >= DUE_FROM * every
        return Due(rows[order], chance[order], times[order], since[order], every[order], due[order])

    def _read(self, rows: Rows) -> tuple[F64, F64]:
        known = rows < len(self._log_gap)
        safe = np.where(known, rows, 0)
        if not len(self._log_gap):
            return np.full(len(rows), self._usual[0]), np.full(len(rows), self._usual[1])
        gap, share = np.where(known, self._log_gap[safe], self._usual[0]), self._repeated[safe]
        return gap, np.where(known, share, self._usual[1])


def _days(customer: I32, item: I32, day: NDArray[np.int64], size: int) -> tuple[Rows, Rows]:
    """Pair (customer * size + item) and day of each purchase, sorted, a day once."""
    pair = customer.astype(np.int64) * max(1, size) + item
    order = np.lexsort((day, pair))
    pair, day = pair[order], day[order]
    fresh = np.ones(len(pair), dtype=bool)
    fresh[1:] = (pair[1:] != pair[:-1]) | (day[1:] != day[:-1])
    return pair[fresh], day[fresh]


def _medians(owner: Rows, values: F64, count: int) -> F64:
    """(count,) median of each owner's values; NaN without any."""
    found = np.full(count, np.nan)
    if len(owner):
        order = np.lexsort((values, owner))
        starts = group_starts(owner[order])
        sizes = np.diff(np.append(starts, len(owner)))
        ordered = values[order]
        found[owner[order][starts]] = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2
    return found


def _chance(since: F64, centre: F64, habit: F64) -> F64:
    """Probability of a purchase in the next ``AHEAD_DAYS``, none having come for ``since`` days.

    Args:
        since: (n,) days.
        centre: (n,) mean logarithm of the days between purchases.
        habit: (n,) probability that the customer has the habit at all, before these days.
    """
    start = ndtr((np.log(np.maximum(since, 0.5)) - centre) / SPREAD)
    end = ndtr((np.log(np.maximum(since, 0.5) + AHEAD_DAYS) - centre) / SPREAD)
    waiting = np.maximum(1 - start, 1e-9)
    alive = habit * waiting / (habit * waiting + 1 - habit)
    return np.asarray((end - start) / waiting * alive, dtype=np.float64)
