"""Which lines belong to one order: the shop's order number, or the customer's day where it has none."""

from __future__ import annotations

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
