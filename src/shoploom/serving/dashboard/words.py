"""How the dashboard writes numbers, dates, names and colours."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shoploom.evaluation.numbers import number, signed, whole, words

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "¥", "INR": "₹"}


def nice(text: str | None) -> str:
    """A name that shouts, said quietly; all others stay as they are.

    Example:
        >>> nice("SEASONAL CANDY BAGS"), nice("iPhone case"), nice(None)
        ('Seasonal candy bags', 'iPhone case', '–')
    """
    if not text:
        return "–"
    return text.capitalize() if text.isupper() and len(text) > 3 else text


def money(currency: str) -> Callable[[float | None], str]:
    """A filter that writes amounts of a currency.

    Example:
        >>> money("EUR")(1234.5), money("SEK")(12), money("USD")(None)
        ('€1,234.50', '12.00 SEK', '–')
    """
    symbol = SYMBOLS.get(currency)

    def write(value: float | None) -> str:
        if value is None:
            return "–"
        text = f"{abs(value):,.0f}" if abs(value) >= 10_000 else f"{abs(value):,.2f}"
        sign = "−" if value < 0 else ""
        return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {currency}"

    return write


def share(value: float | None) -> str:
    """A probability in percent.

    Example:
        >>> share(0.237), share(0.0004), share(0.9999), share(None)
        ('24 %', '< 1 %', '> 99 %', '–')
    """
    if value is None:
        return "–"
    if 0 < value < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < value < 1 else f"{100 * value:.0f} %"


def date_in(timezone: str) -> Callable[[str | None], str]:
    """A filter that writes ISO moments as dates on the shop's clock.

    Example:
        >>> date_in("America/New_York")("2018-01-01T03:00:00Z"), date_in("UTC")(None)
        ('31 Dec 2017', '–')
    """
    zone = ZoneInfo(timezone)

    def write(text: str | None) -> str:
        moment = parsed(text)
        return "–" if moment is None else f"{moment.astimezone(zone):%-d %b %Y}"

    return write


def last_day_in(timezone: str) -> Callable[[str | None], str]:
    """A filter that writes the last day before a moment, for ends that do not count themselves.

    Example:
        >>> last_day_in("America/New_York")("2018-01-01T05:00:00Z")
        '31 Dec 2017'
    """
    write = date_in(timezone)

    def before(text: str | None) -> str:
        moment = parsed(text)
        return write(None if moment is None else (moment - timedelta(seconds=1)).isoformat())

    return before


def parsed(text: str | None) -> datetime | None:
    """An ISO moment with its zone; UTC where it names none."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC"))


def hue(text: str | None) -> int:
    """A colour angle that a name keeps for ever."""
    return zlib.crc32((text or "").encode()) % 360


def initials(text: str | None) -> str:
    """One or two letters that stand for a name.

    Example:
        >>> initials("FLUID MILK PRODUCTS"), initials("tea"), initials("")
        ('FM', 'TE', '·')
    """
    parts = [one for one in (text or "").replace("-", " ").replace("/", " ").split() if one[0].isalnum()]
    if not parts:
        return "·"
    return (parts[0][0] + parts[1][0] if len(parts) > 1 else parts[0][:2]).upper()


def filters(currency: str, timezone: str) -> dict[str, Callable[..., Any]]:
    """All filters of the templates."""
    return {
        "nice": nice,
        "money": money(currency),
        "share": share,
        "date": date_in(timezone),
        "last_day": last_day_in(timezone),
        "hue": hue,
        "initials": initials,
        "number": number,
        "signed": signed,
        "whole": whole,
        "words": words,
    }
