"""What is known of any day ahead: holidays and the shopping days around them, pay-day, season.

Dates follow rules (no table of years), for the shops of the United States and of Britain by time zone; others get
the days that most of the world shops for. Helps once a model has seen the same day before: mostly in shops with more
than a year of history.
"""

# Shapes: D days, W blocks, F columns

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache

import numpy as np

from shoploom.data.arrays import F64

COLUMNS = ("holidays", "days_to_christmas", "before_christmas", "after_christmas", "black_friday", "first_of_month")


def holidays(year: int, timezone: str = "UTC") -> dict[date, str]:
    """The days of a year on which shops sell more or less than usual.

    Example:
        >>> holidays(2017, "America/New_York")[date(2017, 11, 23)]
        'thanksgiving'
        >>> holidays(2011, "Europe/London")[date(2011, 4, 24)]
        'easter'
    """
    return dict(_holidays(year, timezone))


def block_calendar(starts: Sequence[datetime], block_days: int, timezone: str = "UTC") -> F64:
    """(W, F) the ``COLUMNS`` of blocks.

    Args:
        starts: When each of the W blocks begins.
        block_days: Length of a block.
        timezone: IANA name that says whose holidays count.

    Returns:
        Number of holidays; days from the block's middle to 25 December, at most 60 before and 14 after; whether the
        block holds one of the seven days before, of the seven from Christmas on; Black Friday; the first of a month.
    """
    rows = [_row(start.date(), block_days, timezone) for start in starts]
    return np.array(rows, dtype=np.float64).reshape(len(starts), len(COLUMNS))


def _row(first: date, block_days: int, timezone: str) -> list[float]:
    days = [first + timedelta(days=step) for step in range(block_days)]
    named = [name for day in days if (name := holidays(day.year, timezone).get(day))]
    middle = days[len(days) // 2]
    last = date(middle.year - 1, 12, 25) if middle <= date(middle.year, 1, 8) else date(middle.year, 12, 25)
    christmas = [date(day.year, 12, 25) for day in (days[0], days[-1])]
    return [
        float(len(named)),
        float(np.clip((last - middle).days, -14, 60)),
        float(any(0 < (end - day).days <= 7 for day in days for end in christmas)),
        float(any(0 <= (day - end).days < 7 for day in days for end in christmas)),
        float("black friday" in named),
        float(any(day.day == 1 for day in days)),
    ]


@cache
def _holidays(year: int, timezone: str) -> tuple[tuple[date, str], ...]:
    easter = _easter(year)
    found = {
        date(year, 1, 1): "new year",
        date(year, 2, 14): "valentine's day",
        easter: "easter",
        date(year, 10, 31): "halloween",
        _weekday(year, 11, 3, 4) + timedelta(days=1): "black friday",
        date(year, 12, 24): "christmas eve",
        date(year, 12, 25): "christmas",
        date(year, 12, 31): "new year's eve",
    }
    if timezone.startswith(("America/", "US/")):
        found |= {
            _weekday(year, 5, 6, 2): "mother's day",
            _weekday(year, 6, 0, 1) - timedelta(days=7): "memorial day",
            date(year, 7, 4): "independence day",
            _weekday(year, 9, 0, 1): "labor day",
            _weekday(year, 11, 3, 4): "thanksgiving",
        }
    elif timezone in ("Europe/London", "GB", "Europe/Belfast"):
        found |= {
            easter - timedelta(days=21): "mother's day",
            easter - timedelta(days=2): "good friday",
            easter + timedelta(days=1): "easter monday",
            _weekday(year, 5, 0, 1): "early may",
            _weekday(year, 6, 0, 1) - timedelta(days=7): "spring holiday",
            _weekday(year, 9, 0, 1) - timedelta(days=7): "summer holiday",
            date(year, 12, 26): "boxing day",
        }
    return tuple(sorted(found.items()))


def _weekday(year: int, month: int, weekday: int, number: int) -> date:
    """The ``number``-th Monday (0) to Sunday (6) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm of Nature, 20 April 1876)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 19 * m) // 433
    month = (h + m - 7 * n + 90) // 25
    return date(year, month, (h + m - 7 * n + 33 * month + 19) % 32)
