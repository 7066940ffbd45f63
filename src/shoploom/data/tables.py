"""A shop's cleaned tables in memory: what features, tasks and models are made from.

Sources and workspaces end here; everything after reads ``ShopTables`` only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from shoploom.config import CleaningConfig, ClockConfig
from shoploom.data import schema

PURCHASE_FLAG, GOODS_FLAG, PRICED_FLAG, SHELF = "is_purchase", "is_goods", "is_priced", "shelf_price"


@dataclass(frozen=True)
class ShopTables:
    """The canonical tables; ``events`` also carries the flags of ``data.cleaning``.

    Args:
        events: Canonical columns and ``is_purchase`` (counts for customers), ``is_goods`` (counts for products),
            ``is_priced`` (its ``shelf_price`` counts), sorted by time; equal times in the order of the source.
        products: One row per product that the catalogue or an event names.
        customers: One row per customer with attributes.
        promotions: The plan, past and future.
        clock: Horizon of the tasks.
        currency: ISO 4217 code.
        timezone: IANA name of the shop's clock.
        end: The moment up to which events are complete; predictions are made as of it.
    """

    events: pl.DataFrame
    products: pl.DataFrame
    customers: pl.DataFrame
    promotions: pl.DataFrame
    cleaning: CleaningConfig
    clock: ClockConfig
    currency: str
    timezone: str
    end: datetime

    def until(self, moment: datetime) -> ShopTables:
        """The tables as known at a moment: only events strictly before it."""
        return replace(self, events=self.events.filter(pl.col(schema.TIME) < moment), end=moment)
