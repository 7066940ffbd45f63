"""Quality beyond accuracy on a shop of five sold products, every number worked by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.tables import GOODS_FLAG, PRICED_FLAG, PURCHASE_FLAG, SHELF
from shoploom.ensemble.members.personal_frequency import PersonalFrequency
from shoploom.ensemble.members.popularity import Popularity
from shoploom.evaluation import beyond
from shoploom.evaluation.beyond import beyond_accuracy
from shoploom.evaluation.definitions import DEFINITIONS
from shoploom.evaluation.market import Market, category_paths
from shoploom.tasks.base import Cases, Numbers, Ranked, Truth
from shoploom.tasks.new_for_you import NewForYou
from shoploom.tasks.next_basket import NextBasket
from tests.shops import END, make_shop, make_tables

CATEGORIES = {
    "p0": ["Food", "Dairy"],
    "p1": ["Food", "Bakery"],
    "p2": ["Home", "Garden"],
    "p3": None,
    "p4": ["Food", "Dairy"],
    "p5": ["Home", "Garden"],
}
LINES = [("c0", "p0", day) for day in (150, 140, 130, 120, 110, 100, 90, 80)] + [
    ("c0", "p1", 70),
    ("c1", "p0", 90),
    ("c1", "p2", 40),
    ("c2", "p0", 80),
    ("c3", "p1", 70),
    ("c3", "p3", 70),  # a service
    ("c2", "p5", 5),
]
"""Customer, product, and how many days before the end; p4 was never sold."""
TRUTH = Truth(offsets=np.array([0, 2, 3]), items=np.array([1, 2, 5], dtype=np.int32))
CASES = Cases(np.array([0, 1], dtype=np.int32), truth=TRUTH)
VECTORS = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, 1], [-1, 0]], dtype=np.float32)


def ranked(*lists: list[int]) -> Ranked:
    items = np.full((len(lists), 20), -1, dtype=np.int32)
    for row, one in enumerate(lists):
        items[row, : len(one)] = one
    return Ranked(items, np.where(items >= 0, -np.arange(20.0), -np.inf))


ANSWERS = {"popularity": ranked([0, 1], [0, 1]), "mine": ranked([0, 2], [5, 0])}


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    columns = {
        schema.EVENT_ID: [f"e{row}" for row in range(len(LINES))],
        schema.TIME: [END - timedelta(days=day) for _, _, day in LINES],
        schema.CUSTOMER: [customer for customer, _, _ in LINES],
        schema.PRODUCT: [product for _, product, _ in LINES],
        schema.TYPE: [schema.PURCHASE for _ in LINES],
    }
    flags = pl.DataFrame(
        {
            PURCHASE_FLAG: [True for _ in LINES],
            GOODS_FLAG: [product != "p3" for _, product, _ in LINES],
            PRICED_FLAG: [False for _ in LINES],
            SHELF: [1.0 for _ in LINES],
        }
    )
    products = pl.DataFrame({schema.PRODUCT: list(CATEGORIES), schema.CATEGORY: list(CATEGORIES.values())})
    tables = replace(
        make_tables(promotions=False, attributes=False),
        events=schema.conform("events", pl.DataFrame(columns)).hstack(flags).sort(schema.TIME),
        products=schema.conform("products", products),
    )
    return ShopArrays.build(tables)


def values(found: Any) -> dict[str, float]:
    return {name: one.value for name, one in found.items()}


def test_what_is_known_of_each_item(shop: ShopArrays) -> None:
    found = Market.of(shop, CASES)
    assert found.popularity.tolist() == [0.75, 0.5, 0.25, 0.25, 0.0, 0.25]
    assert found.information == pytest.approx([math.log2(4 / 3), 1, 2, 2, 2, 2])
    assert found.sellable.tolist() == [True, True, True, True, False, True]
    # 15 lines, 10 of p0 and 2 of p1 make the 12 that are 80 %
    assert found.long_tail.tolist() == [False, False, True, True, True, True]
    kinds = {kind: np.flatnonzero(mask).tolist() for kind, mask in found.kinds.items()}
    assert kinds == {"head": [0, 1], "tail": [2, 3], "new": [4, 5]}


def test_services_cannot_be_discovered_and_a_mask_narrows_what_is_sellable(shop: ShopArrays) -> None:
    goods = Market.of(shop, replace(CASES, repeats="exclude"))
    assert np.flatnonzero(goods.sellable).tolist() == [0, 1, 2, 5]
    allowed = Market.of(shop, replace(CASES, allowed=np.array([True, False, True, True, True])))
    assert np.flatnonzero(allowed.sellable).tolist() == [0, 2, 3]


def test_category_paths_tell_equal_names_under_different_parents_apart() -> None:
    paths = [["A", "x"], ["B", "x"], ["A", "x", "y"], ["A"], None, [], ["", None, "A"]]
    frame = pl.DataFrame({schema.CATEGORY: paths}, schema={schema.CATEGORY: pl.List(pl.Utf8)})
    found = category_paths(frame)
    assert found.shape == (7, 3)
    assert found[:, 0].tolist() == [0, 1, 0, 0, -1, -1, 0]
    assert found[:, 1].tolist() == [0, 1, 0, -1, -1, -1, -1]
    assert found[:, 2].tolist() == [-1, -1, 0, -1, -1, -1, -1]
    assert category_paths(frame.head(0)).shape == (0, 0)


def test_every_metric_of_a_member(shop: ShopArrays) -> None:
    found = values(beyond_accuracy(NextBasket(), shop, CASES, ANSWERS, vectors=VECTORS).members["mine"])
    food = 8 / 9 * math.log(8 / 9 / (0.99 * 0.5 + 0.01 * 8 / 9)) + 1 / 9 * math.log(100)  # no bakery, half a garden
    assert found == pytest.approx(
        {
            "coverage@10": 3 / 5,  # p0, p2, p5
            "coverage@20": 3 / 5,
            "gini@10": (-4 * 0 - 2 * 0 + 0 * 1 + 2 * 1 + 4 * 2) / 4 / 4,
            "top_10_share@10": 1.0,
            "novelty@10": (math.log2(4 / 3) + 2) / 2,
            "never_bought@10": 0.5,  # p2 of the first, p5 of the second
            "serendipity@10": 0.5,  # p2 and p5 are hits, and no best sellers
            "category_diversity@10": 1.0,
            "vector_diversity@10": (1 + 2) / 2,
            "category_divergence@10": (food + 0.0) / 2,
            "average_popularity@10": 0.5,
            "popularity_lift@10": 0.5 / ((0.375 + 0.25) / 2) - 1,
            "long_tail@10": 0.5,
        }
    )
    assert list(found) == list(DEFINITIONS)


def test_what_was_bought_thereafter_stands_beside_it(shop: ShopArrays) -> None:
    found = values(beyond_accuracy(NextBasket(), shop, CASES, ANSWERS).bought)
    assert found == pytest.approx(
        {
            "novelty@10": ((1 + 2) / 2 + 2) / 2,
            "never_bought@10": (0.5 + 1) / 2,
            "average_popularity@10": (0.375 + 0.25) / 2,
            "long_tail@10": (0.5 + 1) / 2,
        }
    )


def test_best_sellers_are_no_surprise_even_where_they_hit(shop: ShopArrays) -> None:
    found = beyond_accuracy(NextBasket(), shop, CASES, ANSWERS).members
    assert found["popularity"]["serendipity@10"].value == 0.0
    assert found["popularity"]["never_bought@10"].value == 0.25  # p1 is new to the second customer
    alone = beyond_accuracy(NextBasket(), shop, CASES, {"mine": ANSWERS["mine"]}).members["mine"]
    assert "serendipity@10" not in alone  # nobody says what is obvious
    assert "vector_diversity@10" not in alone


def test_recall_by_kind_of_product(shop: ShopArrays) -> None:
    found = beyond_accuracy(NextBasket(), shop, CASES, ANSWERS).products
    assert {kind: one.cases for kind, one in found.items()} == {"head": 1, "tail": 1, "new": 1}
    assert {kind: values(one.members) for kind, one in found.items()} == {
        "head": {"popularity": 1.0, "mine": 0.0},
        "tail": {"popularity": 0.0, "mine": 1.0},
        "new": {"popularity": 0.0, "mine": 1.0},
    }


def test_the_main_metric_by_kind_of_customer(shop: ShopArrays) -> None:
    masks = {"first": np.array([True, False]), "second": np.array([False, True]), "nobody": np.zeros(2, dtype=bool)}
    found = beyond_accuracy(NextBasket(), shop, CASES, ANSWERS, slices=masks)
    assert found.metric == "ndcg@10"
    second_place = 1 / math.log2(3)
    assert {kind: (one.cases, one.members["mine"].value) for kind, one in found.customers.items()} == {
        "first": (1, pytest.approx(second_place / (1 + second_place))),
        "second": (1, 1.0),
    }


def test_blocks_change_nothing(shop: ShopArrays, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = beyond_accuracy(NextBasket(), shop, CASES, ANSWERS, vectors=VECTORS).to_dict()
    monkeypatch.setattr(beyond, "MOST_ROWS", 1)
    assert beyond_accuracy(NextBasket(), shop, CASES, ANSWERS, vectors=VECTORS).to_dict() == whole


def test_an_unknown_customer_has_bought_nothing_and_has_no_mix(shop: ShopArrays) -> None:
    cases = replace(CASES, units=np.array([-1, -1], dtype=np.int32))
    found = beyond_accuracy(NextBasket(), shop, cases, ANSWERS).members["mine"]
    assert found["never_bought@10"].value == 1.0
    assert math.isnan(found["category_divergence@10"].value)


def test_wrong_answers_are_refused(shop: ShopArrays) -> None:
    with pytest.raises(ValueError, match="task next_basket: no member has predicted anything"):
        beyond_accuracy(NextBasket(), shop, CASES, {})
    with pytest.raises(TypeError, match="measured on Ranked, not on Numbers"):
        beyond_accuracy(NextBasket(), shop, CASES, {"x": Numbers({})})
    with pytest.raises(ValueError, match="no relevant items"):
        beyond_accuracy(NextBasket(), shop, CASES.blind(), ANSWERS)


def test_no_cases_say_nothing(shop: ShopArrays) -> None:
    none = np.arange(0)
    answers = {name: Ranked(one.items[none], one.scores[none]) for name, one in ANSWERS.items()}
    found = beyond_accuracy(NextBasket(), shop, CASES.take(none), answers, vectors=VECTORS)
    assert found.members["mine"]["coverage@10"].value == 0.0
    assert math.isnan(found.members["mine"]["novelty@10"].value)
    assert found.customers == {}
    assert found.products == {}


@pytest.mark.parametrize("task", [NextBasket(), NewForYou()], ids=lambda task: task.name)
@pytest.mark.parametrize("categories", [True, False])
def test_the_lists_of_fitted_members(task: Any, categories: bool) -> None:
    whole = make_shop(categories=categories)
    cut = whole.end - whole.clock.horizon_days
    past = whole.before(cut)
    cases = task.cases(past, whole.between(cut, whole.end))
    members: dict[str, Any] = {"popularity": Popularity(), "personal_frequency": PersonalFrequency()}
    for member in members.values():
        member.fit(past, task)
    answers = {name: member.predict(past, cases.blind()) for name, member in members.items()}
    found = beyond_accuracy(task, past, cases, answers)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    for metrics in found.members.values():
        assert math.isnan(metrics["category_diversity@10"].value) != categories
        assert 0 < metrics["coverage@10"].value <= metrics["coverage@20"].value <= 1
        assert all(one.low <= one.value <= one.high for one in metrics.values() if not math.isnan(one.low))
    assert found.members["popularity"]["serendipity@10"].value == 0
    assert sum(one.cases for one in found.customers.values()) == len(cases)
    if task.name == "new_for_you":
        assert {one["never_bought@10"].value for one in found.members.values()} == {1.0}
