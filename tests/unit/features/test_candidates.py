from __future__ import annotations

import numpy as np
import pytest

from shoploom.features.candidates import Reach
from shoploom.features.pipeline import FeaturePipeline
from shoploom.features.popularity import PlanGrid, Popularity
from shoploom.features.spectral import Spectral
from shoploom.features.visits import all_visits
from tests.shops import make_shop


@pytest.fixture(scope="module")
def shop():
    return make_shop()


@pytest.fixture(scope="module")
def view(shop):
    return FeaturePipeline.fit(shop).view(shop)


def test_popularity_counts_lines_of_the_last_days(shop):
    found = Popularity.of(shop)
    lines = shop.lines
    recent = lines.item[(lines.time >= shop.end - 28) & (lines.purchase | lines.goods)]
    np.testing.assert_array_equal(found.counts[1], np.bincount(recent, minlength=len(shop.items)))
    assert found.counts[1][found.ranking[0]] == found.counts[1].max()


def test_only_allowed_items_are_popular(shop):
    allowed = np.zeros(len(shop.items), dtype=bool)
    allowed[[3, 5]] = True
    assert set(Popularity.of(shop).top(10, allowed)) == {3, 5}


def test_the_plan_grid_equals_the_plan(shop):
    items = np.unique(shop.plan.item)
    shares = shop.plan_shares(items, -4, 8)
    grid = PlanGrid(shop)
    for block in range(-4, 4):
        day = np.full(len(items), shop.end + (block + 0.5) * shop.clock.block_days)
        np.testing.assert_allclose(grid.at(items, day), shares[:, :, block + 4].T, rtol=1e-5)


def test_visits_are_the_orders(shop):
    histories, visits = all_visits(shop)
    assert len(visits) == len(np.unique(histories.lines.order))
    assert visits.amount.sum() == pytest.approx(histories.lines.amount[histories.lines.purchase].sum(), rel=1e-4)
    assert (np.diff(visits.time)[np.diff(np.repeat(np.arange(80), np.diff(visits.offsets))) == 0] >= 0).all()


def test_candidates_carry_the_count_and_age_of_the_own_item(shop, view):
    customer = int(shop.lines.customer[0])
    lines = shop.histories(np.array([customer])).lines
    item = int(lines.item[0])
    end = np.array([shop.end])
    past = view.past(np.array([customer]), end)
    found = view.candidates(past, end, reach=Reach(own=50, popular=5, kindred=5), exclude_own=False)
    row = found.static[0, found.items[0] == item][0]
    mine = lines.item == item
    assert row[0] == 1
    assert row[1] == pytest.approx(np.log1p(shop.end - lines.time[mine].max()), rel=1e-4)
    assert row[3] == pytest.approx(np.log1p(len(np.unique(lines.order[mine]))), rel=1e-5)


def test_queries_see_nothing_from_their_moment_on(shop, view):
    customers = shop.active_customers()[:10]
    early = np.full(len(customers), shop.end - 60)
    reach = Reach(own=50, popular=10, kindred=10)
    now = view.candidates(view.past(customers, early), early, reach=reach, exclude_own=False)
    past = shop.before(shop.end - 60)
    then = FeaturePipeline.fit(shop).view(past)
    again = then.candidates(then.past(customers, early), early, reach=reach, exclude_own=False)
    np.testing.assert_array_equal(now.items, again.items)
    plain = slice(0, now.static.shape[2] - view.plan.kinds)
    np.testing.assert_allclose(now.static[:, :, plain], again.static[:, :, plain], rtol=1e-4, atol=1e-5)


def test_bought_goods_are_left_out_on_request(shop, view):
    customers = shop.active_customers()[:20]
    end = np.full(len(customers), shop.end)
    past = view.past(customers, end)
    found = view.candidates(past, end, reach=Reach(own=0, popular=30, kindred=30), exclude_own=True)
    histories = shop.histories(customers)
    for row, customer_items in enumerate(found.items):
        own = histories.lines.item[(histories.rows == row) & histories.lines.goods]
        assert not set(customer_items[customer_items >= 0]) & set(own)


def test_spectral_scores_find_the_taste(shop):
    """Customers buy one category above all: the items that rank first beside their own are of it."""
    spectral = Spectral.of(shop, rank=4)
    customers = shop.active_customers()
    histories = shop.histories(customers)
    profile = spectral.profile(histories, np.full(len(customers), shop.end))
    kinds = np.array([path[-1] for path in shop.catalogue["category"].to_list()])
    best = spectral.best(profile, 5)
    right = []
    for row in range(len(customers)):
        own = kinds[histories.lines.item[histories.rows == row]]
        favourite = max(set(own), key=list(own).count)
        right.append((kinds[best[row]] == favourite).mean())
    chance = max((kinds == kind).mean() for kind in set(kinds))
    assert np.mean(right) > 2 * chance


def test_a_shop_without_customers_has_no_factors(shop):
    bare = make_shop(customers=1, products=1)
    assert len(Spectral.of(bare).items) == 0
