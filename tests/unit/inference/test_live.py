from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from shoploom.config import CleaningConfig
from shoploom.data import schema
from shoploom.data.arrays import ShopArrays, day_of
from shoploom.data.live_event import LiveEvent
from shoploom.inference.live import LiveLines, columns_of, grow, lines_of
from tests.shops import make_shop

MOMENT = datetime(2024, 7, 2, 12, tzinfo=UTC)
CLEANING = CleaningConfig(goods_quantity=(1.0, 100.0))


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=12, products=8, days=60)


def lines(shop: ShopArrays, live: LiveLines, *events: dict[str, Any], cleaning: CleaningConfig = CLEANING) -> Any:
    typed = [LiveEvent(**{"type": "purchase", "product_id": "p001", "time": MOMENT, **one}) for one in events]
    everything = np.ones(len(shop.items), dtype=bool)
    return lines_of(columns_of(typed), shop, live, cleaning=cleaning, merchandise=everything)


def test_price_times_quantity_is_the_amount_and_discount_makes_the_shelf_price(shop: ShopArrays) -> None:
    found = lines(shop, LiveLines(), {"customer_id": "c001", "quantity": 3.0, "price": 2.0, "discount": 0.5})
    assert (found.amount[0], found.price[0], found.quantity[0]) == (6.0, 2.5, 3.0)
    assert found.time[0] == day_of(datetime(2024, 7, 2, 12))


def test_an_amount_alone_gives_the_price_per_piece(shop: ShopArrays) -> None:
    assert lines(shop, LiveLines(), {"quantity": 4.0, "amount": 10.0}).price[0] == 2.5


def test_flags_follow_the_cleaning_rules(shop: ShopArrays) -> None:
    found = lines(
        shop,
        LiveLines(),
        {"customer_id": "c001", "amount": 1.0},
        {"customer_id": "c001", "amount": 1.0, "quantity": 500.0},
        {"customer_id": "c001", "amount": 0.0},
        {"amount": 1.0},
        {"customer_id": "c001", "type": "view"},
    )
    assert found.goods.tolist() == [True, False, False, True, False]
    assert found.purchase.tolist() == [True, False, False, False, False]
    every = CleaningConfig(goods_quantity=(1.0, 100.0), purchases_are_goods=False)
    loose = lines(shop, LiveLines(), {"customer_id": "c001", "amount": 1.0, "quantity": 500.0}, cleaning=every)
    assert (loose.purchase[0], loose.goods[0]) == (True, False)


def test_lines_of_one_order_share_a_new_number(shop: ShopArrays) -> None:
    live = LiveLines(first_order=70)
    found = lines(shop, live, {"order_id": "a"}, {"order_id": "b"}, {"order_id": "a"}, {})
    assert found.order.tolist() == [70, 71, 70, -1]


def test_live_lines_come_after_the_bulk_in_the_order_of_arrival(shop: ShopArrays) -> None:
    live = LiveLines()
    one, other = shop.customers.ids[:2]
    row = shop.customers.row(one)
    for product in ("p003", "p002"):
        live.add(lines(shop, live, {"customer_id": one, "product_id": product}, {"customer_id": other}, {}))
    assert live.count(row) == 2
    assert [shop.items.ids[item] for item in live[row].item] == ["p003", "p002"]
    assert live.num_events == 6
    live.forget(row)
    assert row not in live
    assert len(live) == 1


def test_growing_keeps_old_rows_and_leaves_new_ones_empty(shop: ShopArrays) -> None:
    items, customers = len(shop.items), len(shop.customers)
    grown = grow(shop, products=["new"], customers=["fresh", "fresher"])
    assert (grown.items.row("new"), grown.customers.row("fresh")) == (items, customers)
    assert grown.catalogue.height == items + 1
    assert grown.catalogue[schema.PRODUCT][items] == "new"
    assert len(grown.offsets) == customers + 3
    assert len(grown.histories(np.array([customers, customers + 1])).lines) == 0
    assert all(one.codes[customers] == -1 for one in grown.attributes.values())
