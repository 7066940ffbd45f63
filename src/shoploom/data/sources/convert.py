"""Text and other raw columns to canonical ones: ids, numbers, times, category paths, event types.

Every function returns the column and a mask of the rows that could not be read; nulls are no failures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import polars as pl

from shoploom.data import schema

EMPTY: Final = ("", "na", "n/a", "nan", "null", "none", "nil", "-", "\\n", "#n/a")

DATE_FORMATS: Final = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%Y年%m月%d日",
)
CLOCK_FORMATS: Final = ("", " %H:%M:%S%.f", " %H:%M", "T%H:%M:%S%.f", "T%H:%M", " %I:%M:%S %p", " %I:%M %p", ", %H:%M")
ZONED_FORMATS: Final = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z")
_EPOCHS: Final = ((1e17, 1e3), (1e14, 1.0), (1e11, 1e-3), (1e8, 1e-6))  # from, what to divide by for microseconds


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


TYPES: Final = {
    "impression": "impression view_item_list view_search_results show exposure display view_promotion",
    "search": "search view_search search_products products_searched",
    "view": "view view_item detail_page_view product_viewed pageview product_view viewed browse detail pv visit",
    "click": "click clicked select_item product_clicked item_click",
    "add_to_cart": "add_to_cart cart addtocart add product_added basket added_to_cart add_to_basket",
    "remove_from_cart": "remove_from_cart removefromcart remove product_removed",
    "purchase": "purchase purchased buy bought order ordered sale sold transaction order_completed purchase_complete "
    "checkout_complete paid kauf compra achat vente venta verkauf",
    "rating": "rating rate review rated",
    "refund": "refund refunded return returned cancel cancelled canceled order_refunded retoure devolucion storno",
}
IGNORED: Final = _set(
    "session_start first_visit user_engagement scroll page_view home_page_view begin_checkout "
    "add_payment_info add_shipping_info shopping_cart_page_view category_page_view fav wishlist "
    "add_to_wishlist"
)
"""Event names of well-known trackers that are no event type of ours; their rows go to the quarantine."""

_BY_TYPE: Final = {word: kind for kind, names in TYPES.items() for word in names.split()}


@dataclass(frozen=True)
class Read:
    """A canonical column, the rows that failed, and what was decided."""

    values: pl.Series
    bad: pl.Series
    note: str = ""


def text(column: pl.Series) -> pl.Series:
    """Trimmed text; spellings of "nothing" become null."""
    if column.dtype != pl.Utf8:
        column = column.cast(pl.Utf8)
    trimmed = column.str.strip_chars()
    return trimmed.set(trimmed.str.to_lowercase().is_in(EMPTY), None)


def ids(column: pl.Series) -> pl.Series:
    """Ids as text, exactly as spelled; integral floats (13085.0) become integers' text, leading zeros stay."""
    if column.dtype.is_float():
        whole = column.drop_nulls().drop_nans()
        if ((whole % 1.0) == 0).all() and (whole.abs() < 2**63).all():
            column = column.fill_nan(None).cast(pl.Int64)
    if column.dtype.is_integer() or column.dtype.is_decimal():
        return column.cast(pl.Utf8)
    spelled = text(column)
    if spelled.str.contains(r"^-?\d+\.0+$").all() and spelled.null_count() < len(spelled):
        return spelled.str.replace(r"\.0+$", "")
    return spelled


def number(column: pl.Series, decimal: str | None = None) -> Read:
    """Numbers, also with currency signs, thousands separators and decimal commas.

    Args:
        column: Text or numbers.
        decimal: ``.`` or ``,``; found by the values where None.
    """
    if column.dtype.is_numeric():
        return _numbers(column.cast(pl.Float64).fill_nan(None), column)
    spelled = text(column)
    plain = spelled.cast(pl.Float64, strict=False)
    if decimal != "," and plain.null_count() == spelled.null_count():
        return _numbers(plain, spelled)
    bare = spelled.str.replace_all(r"[^\d.,()+\-eE]", "").str.replace(r"^\((.*)\)$", "-$1")
    bare = bare.str.replace(r"^(.*\d)-$", "-$1")
    decimal = decimal or _decimal(bare)
    separator = "." if decimal == "," else ","
    unified = bare.str.replace_all(separator, "", literal=True).str.replace_all(decimal, ".", literal=True)
    note = f"{column.name}: {decimal!r} is taken as the decimal sign" if decimal == "," else ""
    return _numbers(unified.cast(pl.Float64, strict=False), spelled, note)


def time(column: pl.Series, *, timezone: str, form: str | None = None) -> Read:
    """Moments as naive UTC.

    Args:
        column: Moments, dates, text in one of many formats, or seconds, milliseconds, ... since 1970.
        timezone: Clock of moments without a zone.
        form: ``strftime`` format; found by the values where None.
    """
    if isinstance(column.dtype, pl.Datetime):
        moments = column.cast(pl.Datetime("us", column.dtype.time_zone))
        return Read(_utc(moments, timezone), column.is_null() & False)
    if column.dtype == pl.Date:
        return Read(_utc(column.cast(schema.STAMP), timezone), column.is_null() & False)
    if column.dtype.is_numeric():
        return _numeric_time(column, timezone)
    spelled = text(column)
    if form is not None:
        return _parsed(spelled, form, timezone, f"{column.name}: written as {form}")
    counts = spelled.cast(pl.Float64, strict=False)
    if counts.null_count() == spelled.null_count() and counts.null_count() < len(counts):
        return _numeric_time(counts.alias(column.name), timezone)
    found, rival = time_format(spelled)
    note = f"{column.name}: read as {found}"
    if rival is not None:
        note += f", though {rival} fits as well; say which with --map time_format={rival}"
    return _parsed(spelled, found, timezone, note)


def time_format(spelled: pl.Series) -> tuple[str, str | None]:
    """The format that most values have, and another one that fits as well if day and month could be swapped."""
    distinct = spelled.drop_nulls().unique(maintain_order=True)
    sample = distinct.head(2000)
    forms = [*ZONED_FORMATS, *(date + clock for date in DATE_FORMATS for clock in CLOCK_FORMATS)]
    fits = [(form, int(_try(sample, form).is_not_null().sum())) for form in forms]
    best = max(count for _, count in fits)
    if best == 0:
        return DATE_FORMATS[0], None
    good = [form for form, count in fits if count == best]
    if len(good) > 1 and len(sample) < len(distinct):
        counts = {form: int(_try(distinct, form).is_not_null().sum()) for form in good}
        good = [form for form in good if counts[form] == max(counts.values())]
    swapped = {good[0].replace("%m/%d", "%d/%m"), good[0].replace("%d-%m", "%m-%d")} & set(good[1:])
    return good[0], min(swapped, default=None)


def event_type(column: pl.Series, extra: dict[str, str] | None = None) -> Read:
    """Canonical event types of the spellings that trackers use.

    Args:
        column: Spellings of the shop.
        extra: The shop's own spelling -> ours.
    """
    spelled = text(column)
    known = {**_BY_TYPE, **{name: name for name in schema.EVENT_TYPES}}
    mapping = {}
    for one in spelled.drop_nulls().unique():
        key = re.sub(r"[\s\-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", one)).lower()
        mapping[one] = (extra or {}).get(one) or known.get(key)
    values = spelled.replace_strict(mapping, default=None, return_dtype=pl.Utf8) if mapping else spelled
    return Read(values.alias(column.name), values.is_null())


def category(columns: list[pl.Series]) -> pl.Series:
    """A path from coarse to fine: of several columns, or of one that holds a path (``Home > Kitchen``) or a list."""
    if len(columns) == 1:
        return _path(columns[0])
    levels = pl.DataFrame([text(one).alias(str(place)) for place, one in enumerate(columns)])
    path = levels.select(pl.concat_list(pl.all()).list.drop_nulls()).to_series()
    return path.set(path.list.len() == 0, None)


def json_object(columns: dict[str, pl.Series]) -> pl.Series:
    """A JSON object per row of the values that are not null; null where none is."""
    frame = pl.DataFrame({name: _scalar(one) for name, one in columns.items()})
    encoded = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    empty = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    return encoded.set(empty, None)


def _scalar(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        return ids(column) if ((column.drop_nulls() % 1.0) == 0).all() else column
    return column if column.dtype.is_numeric() or column.dtype == pl.Boolean else text(column)


def _numbers(values: pl.Series, raw: pl.Series, note: str = "") -> Read:
    bad = (
        (values.is_null() & raw.is_not_null()) if raw.dtype == pl.Utf8 else values.is_infinite().fill_null(value=False)
    )
    return Read(values, bad, note)


def _decimal(bare: pl.Series) -> str:
    """The sign that stands last where both occur; else a comma with one, two or four and more digits after it."""
    sample = bare.drop_nulls().head(100_000)
    last_comma = sample.str.contains(r"\..*,\d+$").sum()
    last_point = sample.str.contains(r",.*\.\d+$").sum()
    if last_comma or last_point:
        return "," if last_comma > last_point else "."
    commas = sample.str.contains(r"^[^,]*,(\d{1,2}|\d{4,})$").sum()
    points = sample.str.contains(r"^[^.]*\.\d+$").sum()
    return "," if commas > points else "."


def _utc(moments: pl.Series, timezone: str) -> pl.Series:
    """Naive UTC; of a doubled local hour the earlier is meant, a skipped one is taken as an hour later."""
    if moments.dtype == schema.STAMP and timezone != "UTC":
        zoned = moments.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
        skipped = zoned.is_null() & moments.is_not_null()
        if skipped.any():
            later = moments.dt.offset_by("1h").dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
            zoned = zoned.zip_with(~skipped, later)
        moments = zoned.dt.convert_time_zone("UTC")
    elif moments.dtype != schema.STAMP:
        moments = moments.dt.convert_time_zone("UTC")
    return moments.dt.replace_time_zone(None)


def _try(spelled: pl.Series, form: str) -> pl.Series:
    """Zoned formats give UTC, others naive local moments; what does not fit is null."""
    zoned = "z" in form
    if "%H" not in form and "%I" not in form:
        moments = spelled.str.to_date(form, strict=False).cast(schema.STAMP)
    else:
        spelled = spelled.str.replace(r"(?i) ?(UTC|Z)$", "+0000") if zoned else spelled
        moments = spelled.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC" if zoned else None)
    # A full year of two digits is a year of the wrong format, not of the Roman empire.
    return moments.set((moments.dt.year() < 100).fill_null(value=False), None)


def _parsed(spelled: pl.Series, form: str, timezone: str, note: str) -> Read:
    try:
        moments = _try(spelled, form)
    except pl.exceptions.PolarsError:
        moments = pl.Series(spelled.name, [None] * len(spelled), dtype=schema.STAMP)
        note = f"{spelled.name}: {form!r} is no format of times"
    return Read(_utc(moments, timezone), moments.is_null() & spelled.is_not_null(), note)


def _numeric_time(column: pl.Series, timezone: str) -> Read:
    values = column.cast(pl.Float64)
    middle = values.median()
    if isinstance(middle, float) and 19_000_101 <= middle <= 22_000_101:  # 20240131
        return _parsed(values.cast(pl.Int64).cast(pl.Utf8), "%Y%m%d", timezone, f"{column.name}: read as %Y%m%d")
    for least, divisor in _EPOCHS:
        if isinstance(middle, float) and middle >= least:
            if column.dtype.is_integer():  # floats of nanoseconds would round
                exact = column.cast(pl.Int64)
                micros = exact // int(divisor) if divisor >= 1 else exact * round(1 / divisor)
            else:
                micros = (values / divisor).cast(pl.Int64, strict=False)
            unit = {1e3: "nanoseconds", 1.0: "microseconds", 1e-3: "milliseconds", 1e-6: "seconds"}[divisor]
            moments = micros.cast(schema.STAMP)
            bad = moments.is_null() & column.is_not_null()
            return Read(moments, bad, f"{column.name}: read as {unit} since 1970, UTC")
    return Read(pl.Series(column.name, [None] * len(column), dtype=schema.STAMP), column.is_not_null())


def _path(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List):
        return column.list.eval(pl.element().cast(pl.Utf8).str.strip_chars()).list.drop_nulls()
    spelled = text(column)
    if spelled.str.starts_with("[").any():
        inner = (
            spelled.str.strip_chars("[]")
            .str.replace_all(r"^['\"]|['\"]$", "")
            .str.replace_all(r"['\"]\s*,\s*['\"]", ">")
        )
        spelled = inner.zip_with(spelled.str.starts_with("[").fill_null(value=False), spelled)
    separator = next((one for one in (">", "|", "::", " / ") if _often(spelled, one)), ">")
    parts = spelled.str.split(separator).list.eval(pl.element().str.strip_chars())
    parts = parts.list.eval(pl.element().filter(pl.element() != ""))
    return parts.set(spelled.is_null(), None)


def _often(spelled: pl.Series, separator: str) -> bool:
    share = spelled.drop_nulls().str.contains(separator, literal=True).mean()
    return isinstance(share, float) and share > 0.3
