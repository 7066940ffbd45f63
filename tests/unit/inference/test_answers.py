from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoploom.data import schema
from shoploom.data.arrays import F32, ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.errors import NotFoundError, WorkspaceError
from shoploom.inference.catalogue import Catalogue
from shoploom.inference.facts import Facts
from shoploom.inference.reasons import Reasons
from shoploom.inference.similar import SimilarItems
from tests.shops import make_shop


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=30, products=12, days=120)


def test_buyers_are_distinct_orders(shop: ShopArrays) -> None:
    lines = shop.lines.take(shop.lines.goods & (shop.lines.time >= shop.end - 28))
    for item in range(3):
        assert Facts(shop).buyers()[item] == len({int(one) for one in lines.order[lines.item == item]})


def test_the_customer_table_counts_orders_and_money(shop: ShopArrays) -> None:
    table = Facts(shop).customer_table
    row = shop.customers.row("c004")
    own = shop.histories(np.array([row])).lines
    own = own.take(own.purchase)
    assert table["orders"][row] == len(set(own.order.tolist()))
    assert table["spend"][row] == pytest.approx(own.amount.sum())
    assert table["last"][row] == own.time.max()


def test_together_is_the_cosine_of_buyer_sets(shop: ShopArrays) -> None:
    facts = Facts(shop)
    buyers = [set(facts.customers_of(item).tolist()) for item in range(len(shop.items))]
    found = SimilarItems(facts).together(2, len(shop.items))
    expected = [len(buyers[2] & other) / (len(buyers[2]) * len(other)) ** 0.5 if other else 0.0 for other in buyers]
    np.testing.assert_allclose(found, expected)


class Circle:
    """Items on a circle; neighbours are most alike."""

    def item_vectors(self, shop: ShopArrays) -> F32:
        angle = np.arange(len(shop.items)) * 0.1
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32) * 3


def test_vectors_decide_where_there_are_some(shop: ShopArrays) -> None:
    allowed = np.ones(len(shop.items), dtype=bool)
    allowed[4] = False
    found = SimilarItems(Facts(shop), Circle()).to(shop, 5, k=3, allowed=allowed)
    assert found.items[0] == 6
    assert sorted(found.items[1:]) == [3, 7]  # both are two steps away
    assert found.scores[0] == pytest.approx(np.cos(0.1), abs=1e-3)


def test_reasons_count_days_of_purchase_and_find_the_rhythm(shop: ShopArrays) -> None:
    lines = shop.lines.take(np.arange(4))
    days = np.array([-30.0, -20.0, -10.0, -9.0]) + shop.end
    own = replace(lines, item=np.array([1, 1, 1, 3], dtype=np.int32), time=days)
    found = Reasons(Facts(shop), Catalogue(shop)).of(shop, [1, 3], own, shop.end)
    assert found[0][0].text == "Bought 3 times, last 10 days ago"
    assert found[0][1].text == "Usually bought every 10 days"
    assert found[1][0].text == "Bought once, 9 days ago"


def test_a_running_promotion_is_a_reason_and_a_past_one_is_none(shop: ShopArrays) -> None:
    reasons = Reasons(Facts(shop), Catalogue(shop))
    running = (shop.plan.start <= shop.end) & (shop.end < shop.plan.end)
    promoted = set(shop.plan.item[running].tolist())
    found = reasons.of(shop, list(range(len(shop.items))), shop.lines.take(np.arange(0)), shop.end)
    assert {item for item, own in enumerate(found) if "promotion" in [one.code for one in own]} == promoted


def test_categories_filter_at_any_level_and_a_wrong_one_names_the_nearest(shop: ShopArrays) -> None:
    catalogue = Catalogue(shop)
    assert catalogue.mask("goods", False).all()
    assert np.flatnonzero(catalogue.mask("Toys", False)).tolist() == [3, 7, 11]
    with pytest.raises(NotFoundError, match="Did you mean 'Toys'"):
        catalogue.mask("Tous", False)


def test_search_needs_all_words_and_puts_the_id_first(shop: ShopArrays) -> None:
    catalogue = Catalogue(shop)
    assert [shop.items.ids[row] for row in catalogue.search("p007", 5)] == ["p007"]
    found = catalogue.search("TOYS red", 5)
    assert {catalogue.title(row).split()[0] for row in found} <= {"red"}


def test_a_product_without_a_title_is_called_by_its_id(shop: ShopArrays) -> None:
    bare = replace(shop, catalogue=shop.catalogue.with_columns(pl.lit(None, dtype=pl.Utf8).alias(schema.TITLE)))
    assert Catalogue(bare).title(2) == "Product p002"


def test_hidden_ids_outlive_the_process(tmp_path: Path) -> None:
    hidden = Hidden(tmp_path / "hidden.json")
    assert hidden.set("products", 'a "b"', hidden=True)
    assert not hidden.set("products", 'a "b"', hidden=True)
    assert Hidden(tmp_path / "hidden.json").products == {'a "b"'}
    hidden.set("products", 'a "b"', hidden=False)
    assert not Hidden(tmp_path / "hidden.json").products


def test_a_damaged_list_of_hidden_ids_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "hidden.json").write_text("[1")
    with pytest.raises(WorkspaceError, match="restore it from a backup"):
        Hidden(tmp_path / "hidden.json")
