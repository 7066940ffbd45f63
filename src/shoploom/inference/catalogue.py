"""What the catalogue says about products, ready to be read one row at a time, and which of them may be shown."""

# Shapes: I items

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import Flags, ShopArrays
from shoploom.errors import NotFoundError, unknown_name
from shoploom.inference.rules import Rules


@dataclass(frozen=True)
class Filters:
    """Which products a list may hold.

    Args:
        category: Name of a category at any level; None means all.
        in_stock: Leave out products whose attributes say ``in_stock: false`` or ``stock: 0``; where nothing is
            said, a product counts as in stock.
        hidden: Ids that this one answer must not hold, beside those that are hidden for good.
        rules: Whose filters and exclusions hold beside the standing ones.
    """

    category: str | None = None
    in_stock: bool = False
    hidden: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)


class Catalogue:
    """Read access to the products of one shop, row i for item i.

    Args:
        shop: Its catalogue is read once; call ``follow`` when the shop has grown.
    """

    def __init__(self, shop: ShopArrays) -> None:
        self._items = shop.items
        self.frame = shop.catalogue
        self.titles: list[str | None] = self.frame[schema.TITLE].to_list()
        self._lines: dict[int, dict[str, Any]] = {}
        self._search: list[str] | None = None
        self._finest: list[str | None] | None = None
        self._masks: dict[tuple[str | None, bool], Flags] = {}

    def __len__(self) -> int:
        return len(self.titles)

    def follow(self, shop: ShopArrays, changed: Sequence[int] = ()) -> None:
        """Take over new rows and changed ones."""
        self.frame = shop.catalogue
        self.titles += self.frame[schema.TITLE][len(self.titles) :].to_list()
        for row in changed:
            self.titles[row] = self.frame[schema.TITLE][row]
        self._search, self._finest, self._masks, self._lines = None, None, {}, {}
        self.__dict__.pop("categories", None)

    def title(self, row: int) -> str:
        """A name for people; the id where there is none."""
        return self.titles[row] or f"Product {self._items.ids[row]}"

    def row(self, row: int) -> dict[str, Any]:
        """All canonical columns of one product, ``attributes`` as an object."""
        found = self.frame.row(row, named=True)
        return found | {schema.ATTRIBUTES: attributes_of(found[schema.ATTRIBUTES])}

    def line(self, row: int) -> dict[str, Any]:
        """The few columns that lists show: id, title, category path, brand and list price."""
        found = self._lines.get(row)
        if found is None:
            full = self.frame.row(row, named=True)
            path = [one for one in full[schema.CATEGORY] or [] if one is not None]
            found = {schema.PRODUCT: self._items.ids[row], schema.TITLE: self.title(row), schema.CATEGORY: path}
            found |= {schema.BRAND: full[schema.BRAND], schema.PRICE: full[schema.PRICE]}
            self._lines[row] = found
        return dict(found)

    def category(self, row: int) -> list[str]:
        """The category path from coarse to fine; empty if unknown."""
        path = self.frame[schema.CATEGORY][row]
        return [] if path is None else [str(one) for one in path if one is not None]

    def finest(self, row: int) -> str | None:
        """The finest category of a product."""
        if self._finest is None:
            self._finest = (
                self.frame.select(pl.col(schema.CATEGORY).list.drop_nulls().list.last()).to_series().to_list()
            )
        return self._finest[row]

    @cached_property
    def categories(self) -> dict[str, str]:
        """Names of all levels by their lower case."""
        names = self.frame[schema.CATEGORY].explode(empty_as_null=True).drop_nulls().unique().sort().to_list()
        return {name.lower(): name for name in names}

    def mask(self, category: str | None, in_stock: bool) -> Flags:
        """(I,) products of a category and in stock.

        Raises:
            NotFoundError: If no product has the category.
        """
        key = (category.lower() if category else None, in_stock)
        if key not in self._masks:
            self._masks[key] = self._mask(category, in_stock)
        return self._masks[key]

    def search(self, text: str, most: int) -> list[int]:
        """Rows whose id, title, brand or category holds all words of the text; ids that start with it first."""
        if self._search is None:
            path = pl.col(schema.CATEGORY).list.join(" ", ignore_nulls=True)
            parts = [pl.col(name).fill_null("") for name in (schema.PRODUCT, schema.TITLE, schema.BRAND)]
            whole = pl.concat_str([*parts, path.fill_null("")], separator=" ").str.to_lowercase()
            self._search = self.frame.select(whole).to_series().to_list()
        words = text.lower().split()
        found = [row for row, line in enumerate(self._search) if all(word in line for word in words)]
        start = text.lower()
        found.sort(
            key=lambda row: (self._items.ids[row].lower() != start, not self._search_line(row).startswith(start))
        )
        return found[:most]

    def _search_line(self, row: int) -> str:
        assert self._search is not None
        return self._search[row]

    def _mask(self, category: str | None, in_stock: bool) -> Flags:
        mask = np.ones(len(self.frame), dtype=bool)
        if category:
            name = self.categories.get(category.lower())
            if name is None:
                raise NotFoundError(unknown_name("category", category, list(self.categories.values())[:200]))
            mask &= (
                self.frame.select(pl.col(schema.CATEGORY).list.contains(name).fill_null(False)).to_series().to_numpy()
            )
        if in_stock:
            for row, text in enumerate(self.frame[schema.ATTRIBUTES].to_list()):
                if text and "stock" in text:
                    mask[row] &= not out_of_stock(attributes_of(text))
        return mask


def attributes_of(text: str | None) -> dict[str, Any]:
    """A JSON object as a dict; empty for null or anything else.

    Example:
        >>> attributes_of('{"colour": "red"}'), attributes_of(None)
        ({'colour': 'red'}, {})
    """
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def out_of_stock(attributes: Mapping[str, Any]) -> bool:
    """Whether a product's attributes say that it cannot be had.

    Example:
        >>> out_of_stock({"stock": 0}), out_of_stock({"in_stock": "yes"}), out_of_stock({})
        (True, False, False)
    """
    if "in_stock" in attributes:
        return str(attributes["in_stock"]).strip().lower() in ("false", "no", "0", "none")
    try:
        return "stock" in attributes and float(attributes["stock"]) <= 0
    except (TypeError, ValueError):
        return False
