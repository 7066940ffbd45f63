from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from shoploom.data import schema
from shoploom.data.arrays import Lines
from shoploom.tasks.base import Cases, Numbers, Truth
from shoploom.tasks.price import Price, new_prices
from tests.shops import make_shop


def some_lines(item: list[int], price: list[float], *, goods: bool = True) -> Lines:
    n = len(item)
    ones = np.ones(n)
    return Lines(
        customer=np.zeros(n, dtype=np.int32),
        item=np.array(item, dtype=np.int32),
        order=np.arange(n, dtype=np.int32),
        kind=np.zeros(n, dtype=np.int8),
        time=ones,
        quantity=ones.astype(np.float32),
        amount=ones.astype(np.float32),
        price=np.array(price, dtype=np.float32),
        purchase=ones > 0,
        goods=np.full(n, goods),
        priced=np.full(n, goods),
    )


def test_only_products_without_an_earlier_goods_line_are_asked_for() -> None:
    shop = make_shop(products=12)
    sold_later = 5
    past = replace(shop, lines=shop.lines.take(shop.lines.item != sold_later))
    future = shop.lines.take(np.isin(shop.lines.item, [sold_later, 2]))
    cases = Price().cases(past, future)
    assert cases.units.tolist() == [sold_later]
    assert cases.truth is not None
    assert cases.truth.numbers is not None
    assert cases.truth.numbers[0] == pytest.approx(1.0 + 2.0 * (5 % 4) + 0.25 * (5 % 7))
    assert sold_later in Price().serve_cases(past).units


def test_the_truth_is_the_median_within_the_range() -> None:
    items, price = new_prices(some_lines([1, 1, 1, 2, 3], [2.0, 9.0, 3.0, 0.01, 5.0]), (0.05, 100.0))
    assert items.tolist() == [1, 3]
    assert price.tolist() == [3.0, 5.0]


def test_metrics_follow_their_formulas() -> None:
    cases = Cases(np.arange(3, dtype=np.int32), truth=Truth(numbers=np.array([2.0, 4.0, 10.0])))
    answer = Numbers({"mean": np.array([3.0, 4.0, 5.0]), "p10": np.array([1.0, 5.0, 5.0]), "p90": np.full(3, 10.0)})
    found = Price().measure(cases, answer).values()
    assert found["mape"] == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert found["mdape"] == 0.5
    assert found["coverage_p10_p90"] == pytest.approx(2 / 3)
    low = 0.1 * 1 + 0.9 * 1 + 0.1 * 5
    high = 0.1 * 8 + 0.1 * 6 + 0.0
    assert found["pinball"] == pytest.approx((low + high) / 2 / 16)


def test_says_what_is_missing() -> None:
    shop = make_shop(products=12)
    unpriced = replace(shop, lines=replace(shop.lines, priced=np.zeros(len(shop.lines), dtype=bool)))
    assert "only 0 products have a known price" in str(Price().missing(unpriced))
    names = (schema.TITLE, schema.CATEGORY, schema.BRAND, schema.ATTRIBUTES, schema.DESCRIPTION)
    bare = shop.catalogue.with_columns(pl.lit(None, dtype=schema.PRODUCTS[name]).alias(name) for name in names)
    assert "no title, category, brand or attributes" in str(Price().missing(replace(shop, catalogue=bare)))
    assert Price().missing(shop) is None
