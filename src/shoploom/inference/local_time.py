"""Single moments on the shop's clock; ``data.orders.local_days`` is for arrays of them."""

from __future__ import annotations

from datetime import UTC, date
from zoneinfo import ZoneInfo

from shoploom.data.arrays import EPOCH, moment_of

EPOCH_DAY = EPOCH.toordinal()


def local_date(day: float, timezone: str) -> date:
    """The date on the shop's own clock at a day in UTC.

    Example:
        >>> local_date(1.0, "America/New_York"), local_date(1.0, "UTC")
        (datetime.date(1970, 1, 1), datetime.date(1970, 1, 2))
    """
    return moment_of(day).replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()


def local_day(day: float, timezone: str) -> int:
    """Whole days since 1970-01-01 on the shop's own clock, at a day in UTC.

    Example:
        >>> local_day(1.0, "America/New_York")
        0
    """
    return local_date(day, timezone).toordinal() - EPOCH_DAY
