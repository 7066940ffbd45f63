from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.forecasting import training_rows
from shoploom.ensemble.members.pricing import TextRidge, mape_factor
from shoploom.ensemble.members.shelving import Labelled
from shoploom.features.text import Tfidf
from shoploom.tasks.base import Cases, Classes, Numbers
from shoploom.tasks.category import Category
from shoploom.tasks.demand import Demand, demand_cases
from shoploom.tasks.price import Price
from tests.shops import make_shop, product_price

PRICE_MEMBERS = Price.rivals


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(products=120, customers=60)


def without(shop: ShopArrays, items: list[int]) -> ShopArrays:
    """The shop as if some products had never been sold."""
    lines = shop.lines.take(~np.isin(shop.lines.item, items))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(lines.customer[lines.customer >= 0], minlength=60))])
    return replace(shop, lines=lines, offsets=offsets)


def numbers(answer: object) -> dict[str, np.ndarray]:
    assert isinstance(answer, Numbers)
    return answer.columns


@pytest.mark.parametrize("name", PRICE_MEMBERS)
def test_the_price_of_a_new_product_follows_its_category(name: str, shop: ShopArrays) -> None:
    # 1, 3, 5, 7 plus at most 1.5 by category: products 4 and 7 are of the cheapest and of the dearest one
    past = without(shop, [4, 7])
    member = MEMBERS.load(name)()
    member.fit(past, Price())
    found = numbers(member.predict(past, Cases(np.array([4, 7], dtype=np.int32))))
    assert found["mean"][0] == pytest.approx(product_price(4), rel=0.6)
    assert found["mean"][1] == pytest.approx(product_price(7), rel=0.35)
    assert (found["p10"] <= found["mean"]).all()
    assert (found["mean"] <= found["p90"]).all()


def test_the_factor_minimises_mape() -> None:
    draws = np.random.default_rng(0)
    guess, price = draws.gamma(2, 2, 500), draws.gamma(2, 2, 500)
    best = mape_factor(guess, price)
    errors = {factor: np.abs(factor * guess - price) @ (1 / price) for factor in np.linspace(0.01, 2, 400)}
    assert best == pytest.approx(min(errors, key=lambda factor: errors[factor]), abs=0.01)


def test_text_ridge_solves_the_normal_equations() -> None:
    texts = [f"{colour} mug {size}" for colour in ("red", "blue", "green") for size in ("big", "small")]
    target = np.array([3.0, 1.0, 4.0, 2.0, 6.0, 3.0])
    words = Tfidf(2**16).fit(texts).transform(texts).toarray()
    used = words[:, words.any(axis=0)]
    slow = np.linalg.solve(used.T @ used + np.eye(used.shape[1]), used.T @ (target - target.mean()))
    np.testing.assert_allclose(TextRidge.fit(texts, target)(texts), used @ slow + target.mean(), atol=1e-3)


@pytest.mark.parametrize("name", ["linear_demand", "lightgbm_demand"])
def test_promoted_blocks_sell_more_and_dead_products_nothing_much(name: str) -> None:
    shop = make_shop(customers=120)
    member = MEMBERS.load(name)()
    member.fit(shop, Demand())
    cases = demand_cases(np.arange(40), 4)
    found = numbers(member.predict(shop, cases))["mean"].reshape(40, 4)
    plan = shop.plan_shares(np.arange(40), 0, 4)[0] > 0
    others = plan.any(axis=1)
    lift = [found[row, plan[row]].mean() / found[row, ~plan[row]].mean() for row in np.flatnonzero(others)]
    assert np.median(lift) > 1.3


def test_training_moments_choose_their_own_best_sellers_and_blocks_have_equal_totals(shop: ShopArrays) -> None:
    rows = training_rows(shop)
    assert len(rows) > 0
    assert np.isfinite(rows.target).all()
    assert (rows.scale > 0).all()
    horizon = rows.features[:, 0]
    for ahead in np.unique(horizon):
        chosen = horizon == ahead
        parts = np.array_split(np.flatnonzero(chosen), max(1, chosen.sum() // shop.clock.demand_products))
        totals = [rows.target[part] @ rows.scale[part] / rows.scale[part].sum() for part in parts]
        assert max(totals) < 1.6 * min(totals)


def test_held_products_are_never_learned_from(shop: ShopArrays) -> None:
    hidden = Category().hold_out(shop)
    learned = Labelled.of(hidden)
    assert not hidden.held["category"][learned.items].any()
    assert len(learned.items) + hidden.held["category"].sum() == len(shop.items)


def test_samples_keep_rare_classes_whole() -> None:
    codes = np.array([0] * 900 + [1] * 10, dtype=np.int64)
    labelled = Labelled(("a", "b"), np.arange(910, dtype=np.int32), codes, [str(row) for row in range(910)])
    chosen = labelled.sample(100, 0)
    assert len(chosen) <= 100
    assert (codes[chosen] == 1).sum() == 10
    # weights restore the roots of the true frequencies: 30 to the square root of 10
    weight = labelled.weights(chosen)
    ratio = weight[codes[chosen] == 0].sum() / weight[codes[chosen] == 1].sum()
    assert ratio == pytest.approx(30 / np.sqrt(10))


@pytest.mark.parametrize("name", ["linear_category", "lightgbm_category"])
def test_categories_are_told_by_company_and_price(name: str, shop: ShopArrays) -> None:
    task = Category()
    hidden = task.hold_out(shop)
    member = MEMBERS.load(name)()
    member.fit(hidden, task)
    cases = task.cases(hidden, shop.lines)
    answer = member.predict(hidden, cases.blind())
    assert isinstance(answer, Classes)
    assert task.measure(cases, answer).values()["accuracy"] > 0.6  # chance is a quarter
