"""When sessions begin: hours of the day, days of the week and a yearly wave, with an inverse that needs no list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

HOURS = np.array(
    (
        *(0.35, 0.2, 0.12, 0.1, 0.12, 0.25, 0.5, 0.8, 1.0, 1.15, 1.25, 1.3),
        *(1.35, 1.3, 1.25, 1.25, 1.3, 1.45, 1.65, 1.85, 1.95, 1.8, 1.35, 0.75),
    )
)
"""Relative intensity by hour of the shop's clock."""
WEEKDAYS = np.array([1.0, 0.95, 0.95, 1.0, 1.1, 1.15, 0.95])
"""Relative intensity from Monday to Sunday."""
YEARLY = 0.15
"""Half the difference between the busiest day, mid-December, and the quietest."""
BUSIEST_DAY = 349


class Clock:
    """Turns shares of all sessions into moments.

    The intensity at hour h of day d is proportional to (1 + s (HOURS[h] / mean - 1)) (1 + s (WEEKDAYS[d] / mean - 1))
    (1 + s YEARLY cos(2 pi (d - BUSIEST_DAY) / 365.25)), with s the seasonality.

    Args:
        start: Days since 1970-01-01 UTC.
        days: Length.
        seasonality: s in [0, 1].
        offset_hours: Of the shop's clock from UTC.
    """

    def __init__(self, start: float, days: float, *, seasonality: float = 1.0, offset_hours: float = 0.0) -> None:
        self.edges = start + np.unique(np.append(np.arange(0, days, 1 / 24), days))
        local = (self.edges[:-1] + self.edges[1:]) / 2 + offset_hours / 24
        day = np.floor(local)
        hour = np.clip(((local - day) * 24).astype(np.int64), 0, 23)
        by_hour = 1 + seasonality * (HOURS / HOURS.mean() - 1)
        by_weekday = 1 + seasonality * (WEEKDAYS / WEEKDAYS.mean() - 1)
        of_year = 1 + seasonality * YEARLY * np.cos(2 * np.pi * (day - BUSIEST_DAY) / 365.25)
        weekday = (day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
        self.intensity = by_hour[hour] * by_weekday[weekday] * of_year
        total = np.concatenate([[0.0], np.cumsum(self.intensity * np.diff(self.edges))])
        self.share = total / total[-1]

    def moments(self, share: F64) -> F64:
        """Days since 1970 at which so large a share of all sessions, in [0, 1], has begun."""
        return np.interp(share, self.share, self.edges)
