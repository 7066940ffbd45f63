from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoploom.config import CleaningConfig
from shoploom.data import schema
from shoploom.data.hidden import Hidden
from shoploom.data.vocabulary import Vocabulary
from shoploom.errors import UsageError
from shoploom.inference.matching import Matcher, fitted
from shoploom.inference.state import ShopState
from tests.shops import END, make_shop

PRODUCTS: list[dict[str, Any]] = [
    {"title": "Organic Tea", "category": ["Drinks", "Tea"], "brand": "Acme", "price": 4.0, "attributes": {"grams": 50}},
    {"title": "COLA", "category": ["Drinks", "Soft"], "brand": "acme", "price": 6.0, "attributes": {"grams": "330"}},
    {"title": "Kite", "category": ["Toys"], "brand": "Fly", "price": 20.0, "attributes": {"tags": ["new", "Red"]}},
    {"title": None, "category": None, "brand": None, "price": None, "attributes": None},
    {"title": "Drum", "category": ["Toys", "Music"], "brand": None, "price": 0.0, "attributes": {"in_stock": False}},
    {"title": "Flute", "category": [], "brand": "", "price": 5.0, "attributes": {"stock": 0, "vegan": "no"}},
]


def make_state(folder: Path, products: list[dict[str, Any]] = PRODUCTS) -> ShopState:
    """The synthetic shop with these products as its first ones; nothing was ever sold of them."""
    shop = make_shop(customers=5, products=12, days=60)
    rows = [{**one, "attributes": one["attributes"] and json.dumps(one["attributes"])} for one in products]
    names = [f"x{row}" for row in range(len(rows))]
    frame = pl.DataFrame({schema.PRODUCT: names, **{key: [one[key] for one in rows] for key in rows[0]}}, strict=False)
    created = [END - timedelta(days=10 * row) for row in range(len(rows))]
    frame = schema.conform("products", frame.with_columns(pl.Series(schema.CREATED, created)))
    catalogue = pl.concat([shop.catalogue, frame.select(shop.catalogue.columns)])
    shop = replace(shop, catalogue=catalogue, items=Vocabulary([*shop.items.ids, *names]))
    hidden = Hidden(folder / "hidden.json")
    return ShopState(shop, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden)


@pytest.fixture
def state(tmp_path: Path) -> ShopState:
    return make_state(tmp_path)


def holds(state: ShopState, text: str) -> set[int]:
    """Numbers of the products in ``PRODUCTS`` for which an expression holds."""
    return set(np.flatnonzero(Matcher(state).mask(text)[12:]).tolist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('category == "DRINKS" and price < 5 and not brand in ("B", "C")', {0}),
        ('category == "tea"', {0}),
        ('category_1 == "Toys"', {2, 4}),
        ('category_2 in ("tea", "music")', {0, 4}),
        ('category contains "usi"', {4}),
        ('category != "Drinks"', {2, 4}),  # an unknown category is none that differs
        ('not category == "Drinks"', {2, 3, 4, 5}),
        ('brand == "ACME"', {0, 1}),
        ('brand != "acme"', {2, 5}),
        ("brand", {0, 1, 2, 5}),
        ("not brand", {3, 4}),
        ('title contains "ORGANIC"', {0}),
        ("price", {0, 1, 2, 5}),
        ("price >= 0", {0, 1, 2, 4, 5}),
        ("price != 4", {1, 2, 4, 5}),
        ("price in (4, 20)", {0, 2}),
        ('product_id == "x2"', {2}),
        ('product_id == "X2"', set()),
        ("grams > 49", {0, 1}),  # numbers in texts are numbers
        ('grams == "50"', {0}),
        ("grams", {0, 1}),
        ('tags == "red"', {2}),
        ('tags contains "re"', {2}),
        ("vegan", set()),
        ("vegan == false", {5}),
        ("in_stock", {0, 1, 2, 3}),
        ("in_stock == false", {4, 5}),
        ("age_days < 15", {0, 1}),
        ("age_days == 20", {2}),
        ('created_at > "2024-06-10"', {0, 1, 2}),
        ('created_at <= "2024-06-11T00:00:00"', {2, 3, 4, 5}),
        ('created_at <= "2024-06-11T01:00:00+02:00"', {3, 4, 5}),
    ],
)
def test_expressions_hold_for_these_products(state: ShopState, text: str, expected: set[int]) -> None:
    assert holds(state, text) == expected


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("in_stock and prise < 5", 14, "column 'prise' is unknown; known: age_days, .*grams, .*Did you mean 'price'"),
        ('price == "5"', 10, "price is a number; compare it with numbers"),
        ("price == true", 10, "price is a number"),
        ("title < 5", 9, "title is a text; compare it by ==, !=, in or contains"),
        ('in_stock == "yes"', 13, "in_stock is true or false"),
        ('created_at == "2024-01-01"', 15, "created_at is a moment; compare it by <, <=, >, >="),
        ('created_at > "may"', 14, 'created_at is a moment; compare it with one, in UTC.*such as "2024-05-01"'),
        ("created_at > 5", 14, "created_at is a moment; compare it with one, in UTC"),
        ('grams < "50"', 9, "grams is compared by < with a number only"),
        ("category_3", 1, "column 'category_3' is unknown"),
    ],
)
def test_what_does_not_fit_the_catalogue_is_shown(state: ShopState, text: str, column: int, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        Matcher(state).mask(text)
    assert str(caught.value).startswith(f"column {column}: ")


def test_a_mask_is_kept_until_the_catalogue_changes(state: ShopState) -> None:
    matcher = Matcher(state)
    first = matcher.mask("grams > 49")
    assert matcher.mask("grams > 49") is first
    row = state.put_product("x3", {"attributes": json.dumps({"grams": 900})})
    state.put_product("fresh", {"title": "Later", "attributes": json.dumps({"grams": 60, "colour": "blue"})})
    found = matcher.mask("grams > 49")
    assert np.flatnonzero(found).tolist() == [*np.flatnonzero(first).tolist(), row, len(found) - 1]
    assert matcher.mask('colour == "blue"').sum() == 1 + sum(
        attributes == '{"colour": "blue"}' for attributes in state.shop.catalogue[schema.ATTRIBUTES].to_list()
    )
    assert matcher.mask("age_days < 1")[-1]  # one that came while serving came today


def test_ages_move_on_with_the_day(state: ShopState, monkeypatch: pytest.MonkeyPatch) -> None:
    matcher, end = Matcher(state), state.now()
    assert matcher.mask("age_days == 20")[14]
    monkeypatch.setattr(state, "now", lambda: end + 1.5)
    assert matcher.mask("age_days == 21")[14]
    assert not matcher.mask("age_days == 20")[14]


def test_groups_number_the_finest_category_or_any_text(state: ShopState) -> None:
    matcher = Matcher(state)
    finest, coarse, brand = (matcher.groups(name)[12:].tolist() for name in ("category", "category_1", "brand"))
    assert finest[3] == finest[5] == -1
    assert len({*finest}) == 5
    assert coarse[0] == coarse[1] != coarse[2] == coarse[4]
    assert brand[0] == brand[1] != brand[2]
    assert matcher.groups("grams")[12:].tolist().count(-1) == 4
    with pytest.raises(UsageError, match="price is no text; products are counted by category"):
        matcher.groups("price")
    with pytest.raises(UsageError, match=r"column 'brnd' is unknown.*Did you mean 'brand'"):
        matcher.groups("brnd")


def test_a_mask_is_cut_or_filled_to_the_length_that_is_asked_for() -> None:
    mask = np.array([True, True])
    assert fitted(mask, 1).tolist() == [True]
    assert fitted(mask, 3).tolist() == [True, True, False]


CHECKS = {
    "price < 5": lambda one: one["price"] is not None and one["price"] < 5,
    'brand == "acme"': lambda one: one["brand"] is not None and one["brand"].lower() == "acme",
    'category in ("toys", "tea")': lambda one: bool({"Toys", "Tea"} & set(one["category"] or [])),
    "grams": lambda one: "grams" in (one["attributes"] or {}),
}


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> tuple[str, Any]:
    """An expression, and the same question asked of one product at a time."""
    kind = draw(st.sampled_from(["check", "and", "or", "not"] if depth else ["check"]))
    if kind == "check":
        return draw(st.sampled_from(list(CHECKS.items())))
    text, ask = draw(trees(depth - 1))
    if kind == "not":
        return f"not ({text})", lambda one: not ask(one)
    other, ask_other = draw(trees(depth - 1))
    if kind == "and":
        return f"({text}) and ({other})", lambda one: ask(one) and ask_other(one)
    return f"({text}) or ({other})", lambda one: ask(one) or ask_other(one)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    return Matcher(make_state(tmp_path_factory.mktemp("shop")))


@given(tree=trees())
@settings(max_examples=150, deadline=None)
def test_whole_columns_give_what_one_product_after_the_other_gives(matcher: Matcher, tree: tuple[str, Any]) -> None:
    text, ask = tree
    assert matcher.mask(text)[12:].tolist() == [bool(ask(one)) for one in PRODUCTS]


def test_the_synthetic_end_is_the_day_from_which_ages_are_counted(state: ShopState) -> None:
    assert state.now() == (END - datetime(1970, 1, 1)).days
