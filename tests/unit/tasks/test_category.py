from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.tasks.base import Classes
from shoploom.tasks.category import Category, category_labels, held_products, titles_without_category
from tests.shops import make_shop


def shop_with(paths: Sequence[list[str] | None]) -> ShopArrays:
    shop = make_shop(products=len(paths))
    column = pl.Series(schema.CATEGORY, list(paths), dtype=pl.List(pl.Utf8))
    return replace(shop, catalogue=shop.catalogue.with_columns(column))


def test_the_finest_level_with_frequent_classes_wins() -> None:
    fine = [["Food", f"shelf {number // 10}"] for number in range(40)]
    assert category_labels(shop_with(fine)).values == tuple(f"Food > shelf {number}" for number in range(4))
    too_fine = [["Food" if number < 20 else "Toys", f"shelf {number}"] for number in range(40)]
    assert category_labels(shop_with(too_fine)).values == ("Food", "Toys")


def test_a_level_with_more_than_150_classes_gives_way_to_a_coarser_one() -> None:
    shelves = [[f"hall {number // 10 % 3}", f"shelf {number // 10}"] for number in range(1600)]
    assert len(category_labels(shop_with(shelves)).values) == 3


def test_rare_classes_and_products_without_a_category_have_no_label() -> None:
    paths: list[list[str] | None] = [["A"]] * 15 + [["B"]] * 12 + [["C"]] * 3 + [None, []]
    labels = category_labels(shop_with(paths))
    assert labels.values == ("A", "B")
    assert labels.codes[[0, 15, 27, 30, 31]].tolist() == [0, 1, -1, -1, -1]


def test_shelves_of_the_same_name_stay_apart() -> None:
    paths = [["Food" if number < 20 else "Toys", "Other"] for number in range(40)]
    assert category_labels(shop_with(paths)).values == ("Food > Other", "Toys > Other")


def test_titles_lose_the_words_of_their_own_category() -> None:
    frame = pl.DataFrame(
        {
            schema.TITLE: ["SOFT DRINKS", "Blue toys (set of 2)", None],
            schema.CATEGORY: [["GROCERY", "SOFT DRINKS"], ["Toys"], ["Toys"]],
        }
    )
    assert titles_without_category(frame, np.array([2, 1, 0])) == ["", "Blue (set of 2)", ""]


def test_a_fixed_fifth_is_held_out_and_asked_for() -> None:
    shop = make_shop(products=40)
    held = held_products([f"p{number}" for number in range(2000)])
    assert held.mean() == pytest.approx(0.2, abs=0.03)
    hidden = Category().hold_out(shop)
    cases = Category().cases(hidden, shop.lines)
    assert cases.units.tolist() == np.flatnonzero(hidden.held["category"]).tolist()
    np.testing.assert_array_equal(Category().cases(shop, shop.lines).units, cases.units)


def test_metrics_follow_their_formulas() -> None:
    shop = make_shop(products=40)
    cases = Category().cases(shop, shop.lines)
    assert cases.truth is not None
    codes = cases.truth.codes["category"]
    right = np.eye(4)[codes]
    found = Category().measure(cases, Classes({"category": ("a", "b", "c", "d")}, {"category": right})).values()
    assert found == {"macro_f1": 1.0, "accuracy": 1.0, "log_loss": 0.0}


def test_products_without_a_category_are_served() -> None:
    shop = shop_with([["A"]] * 20 + [None] * 2)
    assert Category().serve_cases(shop).units.tolist() == [20, 21]
    assert len(Category().serve_cases(make_shop(products=40))) == 40


def test_says_what_is_missing() -> None:
    assert "fewer than two categories" in str(Category().missing(make_shop(categories=False)))
    shop = make_shop()
    names = (schema.TITLE, schema.DESCRIPTION, schema.BRAND, schema.ATTRIBUTES)
    bare = shop.catalogue.with_columns(pl.lit(None, dtype=schema.PRODUCTS[name]).alias(name) for name in names)
    assert "no title, description, brand or attributes" in str(Category().missing(replace(shop, catalogue=bare)))
    assert Category().missing(shop) is None
