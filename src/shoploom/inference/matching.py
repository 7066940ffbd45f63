"""For which products an expression holds, and which products are of one kind.

Masks are kept until the catalogue changes or a day has passed, since ``age_days`` moves on.
"""

# Shapes: I items

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import reduce
from typing import TYPE_CHECKING, Final

import numpy as np

from shoploom.data.arrays import F64, I32, Flags
from shoploom.errors import NotFoundError, UsageError
from shoploom.inference.expressions import Check, Every, Not, Tree, parse, problem
from shoploom.inference.product_columns import IN_STOCK, Attributes, ProductColumns
from shoploom.inference.rules import Rule

if TYPE_CHECKING:
    from shoploom.inference.state import ShopState

MOST_MASKS: Final = 300
"""Of 92 k products a mask is 92 kB."""


class Matcher:
    """Answers for one shop; may be asked from several threads.

    Texts are compared without regard to case, ids of products as they are. A missing value makes a comparison false,
    whichever it is; ``not`` turns that round.

    Args:
        state: Its catalogue is followed.

    Example:
        >>> Matcher(state).mask('price < 5 and not brand in ("A", "B")')  # doctest: +SKIP
    """

    def __init__(self, state: ShopState) -> None:
        self._state = state
        self._attributes = Attributes()
        self._columns: ProductColumns | None = None
        self._masks: OrderedDict[str, Flags] = OrderedDict()
        self._lock = threading.RLock()

    def mask(self, text: str) -> Flags:
        """(I,) products for which the expression holds. Do not write into it.

        Raises:
            UsageError: If the text does not parse, a name is unknown, or a value has the wrong type; shows where.
        """
        tree = parse(text)
        with self._lock:
            columns = self._current()
            found = self._masks.get(text)
            if found is None:
                found = self._masks[text] = _holds(columns, tree, text)
                if len(self._masks) > MOST_MASKS:
                    self._masks.popitem(last=False)
            return found

    def fulfilling(self, rule: Rule) -> Flags:
        """(I,) products that fulfil a filter or exclusion, or that a boost or burial moves. Do not write into it.

        Raises:
            UsageError: If its expression does not fit the catalogue; ``ConfigError`` for standing rules.
        """
        try:
            return self.mask(IN_STOCK if rule.kind == "exclude" else rule.subject)
        except UsageError as error:
            rule.fail(f"does not fit the catalogue at {error}", cause=error)

    def groups(self, name: str) -> I32:
        """(I,) a number per value of a text column, -1 without one; ``category`` means its finest level.

        Raises:
            UsageError: If there is no such column, or it holds numbers.
        """
        with self._lock:
            return self._current().groups(name)

    def created(self) -> F64:
        """(I,) day since which the shop has each product, NaN if unknown."""
        with self._lock:
            return self._current().created

    def _current(self) -> ProductColumns:
        day = float(np.floor(self._state.now()))
        made = self._columns
        if made is None or made.frame is not self._state.shop.catalogue or made.day != day:
            made = self._columns = ProductColumns(self._state, day, self._attributes)
            self._masks.clear()
        return made


def fitted(mask: Flags, count: int) -> Flags:
    """A mask for so many products; those that came meanwhile are not in it."""
    return mask[:count] if len(mask) >= count else np.append(mask, np.zeros(count - len(mask), dtype=bool))


def _holds(columns: ProductColumns, tree: Tree, text: str) -> Flags:
    if isinstance(tree, Check):
        return _checked(columns, tree, text)
    if isinstance(tree, Not):
        return ~_holds(columns, tree.part, text)
    parts = [_holds(columns, part, text) for part in tree.parts]
    return np.asarray(reduce(np.logical_and if isinstance(tree, Every) else np.logical_or, parts))


def _checked(columns: ProductColumns, check: Check, text: str) -> Flags:
    try:
        column = columns.named(check.name)
    except NotFoundError as error:
        raise problem(text, check.at, str(error)) from error
    if check.operator == "true":
        return column.truth()
    try:
        return column.compared(check.operator, check.values)
    except UsageError as error:
        raise problem(text, check.places[0], f"{check.name} {error}") from error
