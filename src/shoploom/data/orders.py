"""Which lines belong to one order: the shop's order number, or the customer's day where it has none."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data.arrays import F64, Lines

DAYS_BITS = 20
"""Local days since 1970 fit into 20 bits up to the year 4840."""


def order_numbers(lines: Lines, timezone: str) -> NDArray[np.int64]:
    """(L,) A number per order: lines without one share it if customer and local day are the same.

    Numbers of the shop stay as they are; invented ones are negative, so that the two never meet.
    """
    numbers = lines.order.astype(np.int64)
    rows = np.flatnonzero(numbers < 0)
    if len(rows):
        customer = lines.customer[rows].astype(np.int64) + 1
        numbers[rows] = -1 - ((customer << DAYS_BITS) + local_days(lines.time[rows], timezone))
    return numbers


def local_days(time: F64, timezone: str) -> NDArray[np.int64]:
    """Whole days since 1970-01-01 on the shop's own clock, of UTC days.

    Example:
        >>> local_days(np.array([1.0]), "America/New_York").tolist()
        [0]
    """
    if timezone == "UTC":
        return np.asarray(np.floor(time), dtype=np.int64)
    stamps = pl.Series((time * 86_400e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))
    local = stamps.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    return np.asarray(local.dt.date().cast(pl.Int32).to_numpy(), dtype=np.int64)


def local_clock(time: F64, timezone: str) -> tuple[F64, NDArray[np.int64]]:
    """Hour in [0, 24) and weekday, Monday being 0, on the shop's own clock, of UTC days.

    Example:
        >>> hour, weekday = local_clock(np.array([0.75]), "America/New_York")
        >>> hour.tolist(), weekday.tolist()  # 1 January 1970 was a Thursday
        ([13.0], [3])
    """
    local = time if timezone == "UTC" else _local_times(time, timezone)
    days = np.floor(local)
    hour = np.clip((local - days) * 24.0, 0.0, np.nextafter(24.0, 0.0))
    return np.asarray(hour, dtype=np.float64), (days.astype(np.int64) + 3) % 7


def _local_times(time: F64, timezone: str) -> F64:
    """Days since 1970-01-01 as the shop's wall clock shows them."""
    since, ahead = _clock_changes(timezone)
    place = np.searchsorted(since, time, side="right") - 1
    return np.asarray(time + ahead[np.clip(place, 0, len(ahead) - 1)], dtype=np.float64)


@cache
def _clock_changes(timezone: str) -> tuple[F64, F64]:
    """When the clock of a zone changed between 1970 and 2100, and by how many days it is ahead of UTC from then on.

    Looked up once: asking the calendar for every line costs a millisecond per answer.
    """
    hours = np.arange(round(131 * 365.25) * 24, dtype=np.int64)
    stamps = pl.Series(hours * 3_600_000_000).cast(pl.Datetime("us", "UTC"))
    local = stamps.dt.convert_time_zone(timezone).dt.replace_time_zone(None).dt.epoch("us").to_numpy()
    ahead = local / 86_400e6 - hours / 24
    changed = np.flatnonzero(np.concatenate([[True], np.abs(np.diff(ahead)) > 1e-6]))
    return hours[changed] / 24, ahead[changed]
