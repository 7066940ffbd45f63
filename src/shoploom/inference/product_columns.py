"""The columns of a catalogue as expressions see them: numbers, moments, texts, truths, attributes of any type.

Each is made when it is first asked for. Texts are compared without regard to case, ids of products as they are; a
missing value makes every comparison false.
"""

# Shapes: I items

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import F64, I32, Flags
from shoploom.errors import NotFoundError, UsageError, unknown_name
from shoploom.inference.catalogue import attributes_of, out_of_stock
from shoploom.inference.expressions import Value
from shoploom.inference.live import day_at

if TYPE_CHECKING:
    from shoploom.inference.state import ShopState

AGE, IN_STOCK = "age_days", "in_stock"
_BREAK: Final = "\x1f"
_FALSE: Final = ("", "0", "false", "no", "none")
_ORDER: Final[dict[str, Callable[[F64, float], Any]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class ProductColumns:
    """The columns of one catalogue as of one day, made when first asked for.

    Args:
        state: The shop.
        day: Whole day from which ages are counted.
        attributes: Read so far; brought up to this catalogue when needed.
    """

    def __init__(self, state: ShopState, day: float, attributes: Attributes) -> None:
        self.frame = state.shop.catalogue
        self.day = day
        self._facts = state.facts
        self._attributes = attributes
        self._depth = int(np.nan_to_num(self.frame[schema.CATEGORY].list.len().to_numpy()).max(initial=0))
        self._made: dict[str, _Column] = {}
        self._grouped: dict[str, I32] = {}

    def named(self, name: str) -> _Column:
        """One column.

        Raises:
            NotFoundError: If there is none of that name; lists those that there are.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def groups(self, name: str) -> I32:
        """See ``Matcher.groups``."""
        if name not in self._grouped:
            try:
                column = self._finest() if name == schema.CATEGORY else self.named(name)
            except NotFoundError as error:
                raise UsageError(str(error)) from error
            if isinstance(column, _Mixed):
                column = column.as_texts()
            if not isinstance(column, _Texts):
                raise UsageError(
                    f"{name} is no text; products are counted by category, a level of it such as category_1, brand or "
                    "an attribute"
                )
            self._grouped[name] = column.groups()
        return self._grouped[name]

    def _make(self, name: str) -> _Column:
        fixed = self._fixed()
        if name in fixed:
            return fixed[name]()
        values = self._attributes.follow(self.frame[schema.ATTRIBUTES])
        if name not in values:
            raise NotFoundError(unknown_name("column", name, [*fixed, *values]))
        return _Mixed(values[name], len(self.frame))

    def _fixed(self) -> dict[str, Callable[[], _Column]]:
        levels = {f"{schema.CATEGORY}_{number + 1}": partial(self._level, number) for number in range(self._depth)}
        return {
            schema.PRODUCT: lambda: _Texts(_wrapped(self.frame[schema.PRODUCT]), exact=True),
            **{name: partial(self._text, name) for name in (schema.TITLE, schema.DESCRIPTION, schema.BRAND)},
            schema.CATEGORY: lambda: _Texts(_wrapped(_nonempty(self._levels.list.join(_BREAK)))),
            **levels,
            schema.PRICE: lambda: _Numbers(self._prices()),
            schema.CREATED: lambda: _Moments(self.created),
            AGE: lambda: _Numbers(np.maximum(self.day - self.created, 0.0)),
            IN_STOCK: lambda: _Truths(self._in_stock()),
        }

    @cached_property
    def _levels(self) -> pl.Series:
        return self.frame[schema.CATEGORY].list.drop_nulls()

    def _text(self, name: str) -> _Texts:
        return _Texts(_wrapped(self.frame[name]))

    def _level(self, number: int) -> _Texts:
        return _Texts(_wrapped(self._levels.list.get(number, null_on_oob=True)))

    def _finest(self) -> _Texts:
        return _Texts(_wrapped(self._levels.list.last()))

    def _prices(self) -> F64:
        """The catalogue's price, else the usual shelf price: what lists show."""
        known = self._facts.shelf_price[: len(self.frame)]
        usual = np.append(known, np.full(len(self.frame) - len(known), np.nan))
        given = self.frame[schema.PRICE].fill_null(float("nan")).to_numpy()
        return np.where(np.isnan(given), usual, given)

    @cached_property
    def created(self) -> F64:
        """(I,) day since which the shop has each product; one that came while serving came today."""
        known = self._facts.created[: len(self.frame)]
        other = np.append(known, np.full(len(self.frame) - len(known), self.day))
        days = self.frame[schema.CREATED].dt.epoch("us").cast(pl.Float64) / 86_400e6
        given = days.fill_null(float("nan")).to_numpy()
        return np.where(np.isnan(given), other, given)

    def _in_stock(self) -> Flags:
        found = self._attributes.follow(self.frame[schema.ATTRIBUTES])
        told = {name: found[name] for name in (IN_STOCK, "stock") if name in found}
        in_stock = np.ones(len(self.frame), dtype=bool)
        for row in {row for values in told.values() for row in values}:
            in_stock[row] = not out_of_stock({name: values[row] for name, values in told.items() if row in values})
        return in_stock


class Attributes:
    """All attributes of a catalogue by name. Only rows whose text changed are read again: 92 k take 0.3 s."""

    def __init__(self) -> None:
        self._texts = pl.Series(schema.ATTRIBUTES, [], dtype=pl.Utf8)
        self._values: dict[str, dict[int, Any]] = {}

    def follow(self, texts: pl.Series) -> dict[str, dict[int, Any]]:
        """Name -> row -> value, with what is new; they change with the catalogue."""
        if texts is self._texts:
            return self._values
        before = len(self._texts)
        changed = texts[:before].ne_missing(self._texts).arg_true().to_list() if before else []
        for values in self._values.values():
            for row in changed:
                values.pop(row, None)
        rows = [*changed, *range(before, len(texts))]
        for row, text in zip(rows, texts.gather(rows).to_list(), strict=True):
            for name, value in attributes_of(text).items():
                if value is not None:
                    self._values.setdefault(name, {})[row] = value
        self._texts = texts
        return self._values


class _Numbers:
    """Numbers, NaN where missing."""

    def __init__(self, values: F64) -> None:
        self._values = values

    def truth(self) -> Flags:
        return np.asarray(~np.isnan(self._values) & (self._values != 0))

    def compared(self, operator: str, values: tuple[Value, ...]) -> Flags:
        if not all(type(one) is float for one in values) or operator == "contains":
            raise UsageError("is a number; compare it with numbers, such as 5")
        return _numbers_compared(self._values, operator, np.array(values, dtype=np.float64))


class _Moments:
    """Days since 1970, NaN where missing; compared with dates."""

    def __init__(self, days: F64) -> None:
        self._days = days

    def truth(self) -> Flags:
        return ~np.isnan(self._days)

    def compared(self, operator: str, values: tuple[Value, ...]) -> Flags:
        if operator not in _ORDER:
            raise UsageError(f"is a moment; compare it by {', '.join(_ORDER)}")
        try:
            day = day_at(datetime.fromisoformat(str(values[0])))
        except (ValueError, OverflowError) as error:
            raise UsageError(
                'is a moment; compare it with one, in UTC if without a zone, such as "2024-05-01"'
            ) from error
        return _numbers_compared(self._days, operator, np.array([day]))


class _Truths:
    """Yes or no for every product."""

    def __init__(self, values: Flags) -> None:
        self._values = values

    def truth(self) -> Flags:
        return self._values

    def compared(self, operator: str, values: tuple[Value, ...]) -> Flags:
        if operator not in ("==", "!=") or not isinstance(values[0], bool):
            raise UsageError("is true or false; write the name alone, or == true")
        return np.asarray((self._values == values[0]) == (operator == "=="))


class _Texts:
    """Texts, several per product or none.

    Args:
        joined: The values of each product with a break before and after each; null without any.
        exact: Whether case counts.
    """

    def __init__(self, joined: pl.Series, *, exact: bool = False) -> None:
        self.joined = joined if exact else joined.str.to_lowercase()
        self._exact = exact

    def truth(self) -> Flags:
        return np.asarray(self.joined.is_not_null().to_numpy())

    def compared(self, operator: str, values: tuple[Value, ...]) -> Flags:
        if operator in _ORDER or not all(isinstance(one, str) for one in values):
            raise UsageError('is a text; compare it by ==, !=, in or contains with texts, such as "red"')
        wanted = [str(one) if self._exact else str(one).lower() for one in values]
        if operator == "contains":
            return self._any(wanted)
        found = self._any([f"{_BREAK}{one}{_BREAK}" for one in wanted])
        return self.truth() & ~found if operator == "!=" else found

    def groups(self) -> I32:
        numbers = self.joined.cast(pl.Categorical).to_physical().cast(pl.Int32).fill_null(-1)
        return np.asarray(numbers.to_numpy(), dtype=np.int32)

    def _any(self, patterns: list[str]) -> Flags:
        if len(patterns) == 1:
            found = self.joined.str.contains(patterns[0], literal=True)
        else:
            found = self.joined.str.contains_any(patterns)
        return np.asarray(found.fill_null(False).to_numpy())


class _Mixed:
    """An attribute, whose values may be of any type: what it is compared with decides what it is read as.

    Args:
        values: By row; products without the attribute are not in it.
        count: I.
    """

    def __init__(self, values: dict[int, Any], count: int) -> None:
        self._values = values
        self._count = count
        self._texts: _Texts | None = None
        self._numbers: F64 | None = None

    def truth(self) -> Flags:
        return self._flags(row for row, one in self._values.items() if _word(one).lower() not in _FALSE)

    def compared(self, operator: str, values: tuple[Value, ...]) -> Flags:
        if all(type(one) is float for one in values) and operator != "contains":
            return _numbers_compared(self._as_numbers(), operator, np.array(values))
        if isinstance(values[0], bool) and operator in ("==", "!="):
            wanted = self.truth() == (values[0] == (operator == "=="))
            return np.asarray(self._flags(self._values) & wanted)
        if operator in _ORDER:
            raise UsageError(f"is compared by {operator} with a number only, such as 5")
        return self.as_texts().compared(operator, tuple(_word(one) for one in values))

    def as_texts(self) -> _Texts:
        if self._texts is None:
            texts: list[str | None] = [None] * self._count
            for row, one in self._values.items():
                texts[row] = _joined(one)
            self._texts = _Texts(pl.Series(texts, dtype=pl.Utf8))
        return self._texts

    def _as_numbers(self) -> F64:
        if self._numbers is None:
            self._numbers = np.full(self._count, np.nan)
            self._numbers[list(self._values)] = [_number(one) for one in self._values.values()]
        return self._numbers

    def _flags(self, rows: Iterable[int]) -> Flags:
        found = np.zeros(self._count, dtype=bool)
        found[list(rows)] = True
        return found


_Column = _Numbers | _Moments | _Truths | _Texts | _Mixed


def _numbers_compared(values: F64, operator: str, wanted: F64) -> Flags:
    with np.errstate(invalid="ignore"):
        if operator in _ORDER:
            return np.asarray(_ORDER[operator](values, wanted[0]))
        found = np.isin(values, wanted)
    return ~np.isnan(values) & ~found if operator == "!=" else found


def _wrapped(texts: pl.Series) -> pl.Series:
    return _BREAK + texts + _BREAK


def _nonempty(texts: pl.Series) -> pl.Series:
    return texts.set(texts == "", None)


def _joined(value: Any) -> str | None:
    words = [_word(one) for one in (value if isinstance(value, list) else [value]) if one is not None]
    return _BREAK + _BREAK.join(words) + _BREAK if words else None


def _word(value: Any) -> str:
    """A value as text: JSON's spelling, whole numbers without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
