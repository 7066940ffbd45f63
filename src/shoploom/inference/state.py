"""A shop in memory as it is right now: bulk data, live events, catalogue and what must stay hidden.

Shared by all model versions that were trained on the same data. Knows nothing of models.
"""

# Shapes: L event lines, C customers, I items

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from shoploom.config import CleaningConfig, RuleConfig
from shoploom.data import schema
from shoploom.data.arrays import Flags, Lines, ShopArrays, day_of
from shoploom.data.hidden import Hidden
from shoploom.errors import NotFoundError
from shoploom.inference.catalogue import Catalogue, Filters, attributes_of
from shoploom.inference.facts import Facts
from shoploom.inference.live import USED, Columns, LiveLines, grow, lines_of
from shoploom.inference.matching import Matcher, fitted
from shoploom.inference.reasons import Reasons
from shoploom.inference.rules import Rules


class ShopState:
    """The shop that answers are given about. Readers need no lock; writers take turns.

    Args:
        shop: The bulk data.
        customers: Canonical customers table, for attributes that are no classes.
        cleaning: Which live events count as purchases and goods.
        hidden: Products and customers that must not be shown.
        rules: The standing rules of the shop.
    """

    def __init__(
        self,
        shop: ShopArrays,
        *,
        customers: pl.DataFrame,
        cleaning: CleaningConfig,
        hidden: Hidden,
        rules: Sequence[RuleConfig] = (),
    ) -> None:
        self.live = LiveLines(int(shop.lines.order.max(initial=-1)) + 1)
        self.shop = replace(shop, live=self.live)
        self.facts = Facts(shop)
        self.catalogue = Catalogue(shop)
        self.reasons = Reasons(self.facts, self.catalogue)
        self.hidden = hidden
        self.cleaning = cleaning
        self.standing = tuple(rules)
        self.matcher = Matcher(self)
        self.generation = 0
        self.offset = 0
        self.writing = threading.RLock()
        self._attributes = dict(zip(customers[schema.CUSTOMER], customers[schema.ATTRIBUTES], strict=True))
        self._masks: dict[tuple[Any, ...], Flags] = {}

    def customer(self, one: str) -> int:
        """The row of a customer; -1 if unknown or forgotten."""
        return -1 if self.hidden.hides("customers", one) else self.shop.customers.row(one)

    def known_customer(self, one: str) -> int:
        """The row of a customer.

        Raises:
            NotFoundError: If the shop has never heard of the customer, or was told to forget.
        """
        row = self.customer(one)
        if row < 0:
            raise NotFoundError(f"customer {one!r} is unknown; send an event or PUT /v1/customers/{{id}} first")
        return row

    def known_product(self, one: str) -> int:
        """The row of a product.

        Raises:
            NotFoundError: If the shop has never heard of the product.
        """
        row = self.shop.items.row(one)
        if row < 0:
            raise NotFoundError(f"product {one!r} is unknown; PUT /v1/products/{{id}} adds it")
        return row

    def attributes(self, one: str) -> dict[str, Any]:
        """What the shop knows about a customer beside events."""
        return attributes_of(self._attributes.get(one))

    def num_lines(self, row: int) -> int:
        """How many events of a customer are known."""
        if row < 0:
            return 0
        offsets = self.shop.offsets
        bulk = int(offsets[row + 1] - offsets[row]) if row + 1 < len(offsets) else 0
        return bulk + self.live.count(row)

    def history(self, row: int) -> Lines:
        """All events of a customer, oldest first."""
        return self.shop.histories(np.array([row])).lines

    def now(self, row: int = -1) -> float:
        """The day as of which is answered: today while the data are fresh, else where the data end."""
        end = self.shop.end
        today = day_of(datetime.now(UTC).replace(tzinfo=None))
        day = today if end <= today <= end + self.shop.clock.horizon_days else end
        return max(day, float(self.live[row].time.max())) if row in self.live else day

    def allowed(self, filters: Filters) -> Flags:
        """(I,) items that a list may hold: merchandise that is not hidden and passes filters and standing rules.

        Every list asks here, so that a new one keeps to the standing filters and exclusions unasked.

        Raises:
            UsageError: If a rule does not fit the catalogue; ``ConfigError`` for standing rules.
        """
        return self.ruled(self.before_rules(filters), filters.rules)

    def ruled(self, mask: Flags, *rules: Rules) -> Flags:
        """Of the items of a mask those that pass the filters and exclusions of the standing rules and of others."""
        every = [one for some in (Rules.of_config(self.standing), *rules) for one in some.restricting]
        for one in dict.fromkeys(every):
            mask = mask & fitted(self.matcher.fulfilling(one), len(mask))
        return mask

    def before_rules(self, filters: Filters) -> Flags:
        """(I,) items that a list might hold but for rules, standing ones and those of the filters."""
        key = (filters.category, filters.in_stock, self.hidden.generation, self.generation, len(self.shop.items))
        mask = self._masks.get(key)
        if mask is None:
            mask = self.catalogue.mask(filters.category, filters.in_stock).copy()
            mask[: self.facts.num_items] &= self.facts.merchandise
            mask[self._rows(self.hidden.products)] = False
            if len(self._masks) > 200:
                self._masks.clear()
            self._masks[key] = mask
        if filters.hidden:
            mask = mask.copy()
            mask[self._rows(filters.hidden)] = False
        return mask

    def observe(self, events: Columns) -> int:
        """Make events visible; unknown products and customers get rows.

        Searches name no product, and impressions are what the shop did, not the customer: both are left out.
        """
        named, kinds = events[schema.PRODUCT], events[schema.TYPE]
        if None in named or schema.IMPRESSION in kinds:
            kept = [at for at, one in enumerate(named) if one is not None and kinds[at] != schema.IMPRESSION]
            events = {name: [column[at] for at in kept] for name, column in events.items()}
        if not events[schema.PRODUCT]:
            return 0
        with self.writing:
            products = [one for one in dict.fromkeys(events[schema.PRODUCT]) if one not in self.shop.items]
            customers = [one for one in dict.fromkeys(events[schema.CUSTOMER]) if one not in self.shop.customers]
            customers = [one for one in customers if one is not None]
            if products or customers:
                self._grow(products, customers)
            merchandise = self.facts.merchandise
            self.live.add(lines_of(events, self.shop, self.live, cleaning=self.cleaning, merchandise=merchandise))
        return len(events[schema.PRODUCT])

    def observe_table(self, events: pl.DataFrame) -> int:
        """Like ``observe``, for canonical events in a table."""
        return self.observe(events.select(USED).to_dict(as_series=False)) if len(events) else 0

    def put_product(self, one: str, values: Mapping[str, Any]) -> int:
        """Add a product or change the columns that are given; returns its row."""
        with self.writing:
            row = self.shop.items.row(one)
            if row < 0:
                self._grow([one], [])
                row = self.shop.items.row(one)
            old = self.shop.catalogue
            if values.get(schema.ATTRIBUTES) is not None:
                values = {**values, schema.ATTRIBUTES: _merged(old[schema.ATTRIBUTES][row], values[schema.ATTRIBUTES])}
            fresh = schema.conform("products", _one_row("products", {schema.PRODUCT: one, **values}))
            kept = [name for name in old.columns if name not in values]
            line = fresh.select(old.columns).with_columns(old[row].select(kept))
            table = pl.concat([old[:row], line.select(old.columns), old[row + 1 :]], how="vertical", rechunk=True)
            self.shop = replace(self.shop, catalogue=table)
            self.catalogue.follow(self.shop, [row])
            if values.get(schema.CREATED) is not None and row < self.facts.num_items:
                self.facts.created[row] = day_of(values[schema.CREATED])
            self.generation += 1
        self.hidden.set("products", one, hidden=False)
        return row

    def put_customer(self, one: str, attributes: Mapping[str, Any]) -> int:
        """Add a customer or replace the attributes; returns the row."""
        with self.writing:
            if one not in self.shop.customers:
                self._grow([], [one])
            row = self.shop.customers.row(one)
            self._attributes[one] = json.dumps(dict(attributes), ensure_ascii=False)
            known = dict(self.shop.attributes)
            for name, attribute in known.items():
                codes = attribute.codes.copy()
                value = str(attributes.get(name, ""))
                codes[row] = attribute.values.index(value) if value in attribute.values else -1
                known[name] = replace(attribute, codes=codes)
            self.shop = replace(self.shop, attributes=known)
            self.generation += 1
        self.hidden.set("customers", one, hidden=False)
        return row

    def forget_customer(self, one: str) -> None:
        """No answer knows the customer from now on; live events and attributes leave the memory."""
        row = self.known_customer(one)
        self.hidden.set("customers", one, hidden=True)
        with self.writing:
            self.live.forget(row)
            self._attributes.pop(one, None)

    def _grow(self, products: list[str], customers: list[str]) -> None:
        shop = grow(self.shop, products=products, customers=customers)
        self.catalogue.follow(shop)
        self.shop = shop
        if products:
            self.generation += 1

    def _rows(self, ids: Sequence[str] | frozenset[str]) -> list[int]:
        return [row for row in (self.shop.items.row(one) for one in ids) if row >= 0]


def _merged(old: str | None, new: str) -> str:
    """Attributes name by name, as the workspace keeps them: a null says nothing."""
    given = {name: value for name, value in attributes_of(new).items() if value is not None}
    return json.dumps(attributes_of(old) | given, ensure_ascii=False) if old else new


def _one_row(table: str, values: Mapping[str, Any]) -> pl.DataFrame:
    kinds = schema.TABLES[table]
    return pl.DataFrame(
        {name: [value] for name, value in values.items()}, schema={name: kinds[name] for name in values}
    )
