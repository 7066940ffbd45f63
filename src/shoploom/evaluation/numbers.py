"""Numbers, durations and names as people read them."""

from __future__ import annotations

import math
from datetime import datetime


def number(value: float | None) -> str:
    """A number with three significant digits, or a dash.

    Example:
        >>> number(0.08126), number(1234.5), number(12.0), number(None)
        ('0.0813', '1,234', '12.0', '–')
    """
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 5)}f}"


def signed(value: float | None) -> str:
    """Like ``number`` with a sign.

    Example:
        >>> signed(0.012), signed(-3.0)
        ('+0.0120', '−3.00')
    """
    if value is None:
        return "–"
    return ("−" if value < 0 else "+" if value > 0 else "") + number(abs(value))


def percent(value: float) -> str:
    """A signed percentage with one decimal.

    Example:
        >>> percent(-2.345)
        '−2.3 %'
    """
    return f"{'−' if value < 0 else '+'}{abs(value):.1f} %"


def whole(value: float | None) -> str:
    """A count with thousands separated."""
    return "–" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(3.21), duration(75), duration(7260)
        ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(text: str | None) -> str:
    """An ISO moment without seconds and time zone; what is none is shown as it is.

    Example:
        >>> moment("2026-01-31T12:34:56+00:00")
        '2026-01-31 12:34'
    """
    try:
        return datetime.fromisoformat(text or "").strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text or "–"


def words(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")
