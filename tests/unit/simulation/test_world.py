"""Shelves, needs, affinity, time and prices."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from shoploom.data.arrays import day_of
from shoploom.errors import DataError, UsageError
from shoploom.simulation import World
from shoploom.simulation.clock import HOURS, WEEKDAYS, Clock
from shoploom.simulation.preferences import KAPPAS, Needs, fit_affinity
from shoploom.simulation.prices import WeeklyPrices
from shoploom.simulation.shelves import make_shelves
from tests.shops import make_shop


def test_every_product_stands_on_one_shelf_and_large_categories_are_cut_by_popularity() -> None:
    paths = [("a", "x")] * 25 + [("a", "y")] * 3 + [("b",)] * 4 + [()] * 2
    popularity = np.arange(34)
    shelves = make_shelves(paths, popularity, [""] * 34, most=10, least=5)
    placed = shelves.members[shelves.members >= 0]
    assert sorted(placed.tolist()) == list(range(34))
    assert all(shelves.members[shelf, :size].min() >= 0 for shelf, size in enumerate(shelves.sizes))
    assert [shelves.of_item[row] for row in shelves.members[1, : shelves.sizes[1]]] == [1] * shelves.sizes[1]
    big = [shelf for shelf, topic in enumerate(shelves.topics) if topic == ("a", "x")]
    assert [shelves.listings[shelf] for shelf in big] == [1, 2, 3]
    assert shelves.members[big[0], :9].tolist() == list(range(24, 15, -1))
    # y has 3 products, joins a, which then has 3, too, and joins the rest with b and what has no category
    assert shelves.topics[0] == ()
    assert shelves.sizes[0] == 3 + 4 + 2


def test_queries_are_words_of_the_category_and_of_the_best_seller() -> None:
    shelves = make_shelves([("Food", "Green Tea")] * 2, np.array([1, 5]), ["Plain", "Sencha from  Uji river"], least=1)
    assert shelves.queries == ("green tea", "food green tea", "sencha from uji")


def test_needs_are_own_purchases_drawn_to_the_average() -> None:
    customer, shelf = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    needs = Needs.fit(customer, shelf, 3, np.array([10, 10, 10]))
    overall = np.array([2 + 1, 2 + 1, 1]) / 7
    assert needs.overall == pytest.approx(overall)
    expected = (np.array([2, 1, 0]) + needs.kappa * overall) / (3 + needs.kappa)
    assert needs.probability(0) == pytest.approx(expected)
    assert needs.probability(2) == pytest.approx(overall)
    many = 40_000
    for row, wanted in ((0, expected), (2, overall)):
        drawn = np.bincount(needs.draw(np.full(many, row), np.random.default_rng(3)), minlength=3) / many
        assert np.abs(drawn - wanted).max() < 4 * 0.5 / np.sqrt(many)


def test_how_much_the_average_counts_is_what_foretells_left_out_purchases_best() -> None:
    customer = np.array([0, 0, 0, 0, 1, 1, 2])
    shelf = np.array([0, 0, 0, 1, 1, 1, 2])
    needs = Needs.fit(customer, shelf, 3, np.ones(3, dtype=np.int64))

    def told(kappa: float) -> float:
        total = 0.0
        for left in range(len(customer)):
            others = np.arange(len(customer)) != left
            mine = others & (customer == customer[left])
            same = int((mine & (shelf == shelf[left])).sum())
            total += np.log((same + kappa * needs.overall[shelf[left]]) / (mine.sum() + kappa))
        return total

    assert needs.kappa == max(KAPPAS, key=told)


def test_affinity_finds_who_likes_which_half_of_a_shelf() -> None:
    draws = np.random.default_rng(0)
    customer = np.repeat(np.arange(60), 20)
    item = draws.integers(10, size=len(customer)) * 2 + customer % 2  # even customers buy even items
    shelf_of = np.zeros(22, dtype=np.int64)  # items 20 and 21 are never bought
    factors, item_factors = fit_affinity(customer, item, 60, shelf_of, rank=4, seed=0)
    liked = factors @ item_factors.T
    same = (np.arange(60)[:, None] - np.arange(20)) % 2 == 0
    assert liked[:, :20][same].mean() > 0.1
    assert liked[:, :20][~same].mean() < -0.1
    assert np.abs(liked[:, 20:]).max() < 1e-6


def test_affinity_needs_no_purchases() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    factors, item_factors = fit_affinity(nobody, nobody, 3, np.zeros(4, dtype=np.int64), rank=4, seed=0)
    assert not (factors @ item_factors.T).any()


def test_sessions_follow_hours_and_weekdays_of_the_shops_clock() -> None:
    start = day_of(datetime(2024, 1, 1))  # a Monday
    clock = Clock(start, 700, offset_hours=-5)
    local = clock.moments((np.arange(200_000) + 0.5) / 200_000) - 5 / 24
    hour = np.floor((local % 1) * 24).astype(int)
    assert np.bincount(hour, minlength=24) / len(local) == pytest.approx(HOURS / HOURS.sum(), rel=0.02)
    weekday = (np.floor(local).astype(int) + 3) % 7
    assert np.bincount(weekday, minlength=7) / len(local) == pytest.approx(WEEKDAYS / WEEKDAYS.sum(), rel=0.01)


def test_without_seasonality_all_moments_are_alike() -> None:
    clock = Clock(100.0, 10.5, seasonality=0)
    assert clock.moments(np.array([0, 0.25, 1])) == pytest.approx([100, 102.625, 110.5])


def test_prices_change_by_week_with_the_given_weights() -> None:
    prices = WeeklyPrices(np.full(20_000, 10.0), (0.5, 1.0), (0.25, 0.75), seed=4)
    items = np.arange(20_000)
    monday = 7 * 3000.0
    first, again, next_week = (prices.at(items, np.full(20_000, monday + day)) for day in (0, 6.9, 7))
    assert (first == again).all()
    assert set(first) == {5.0, 10.0}
    assert abs((first == 5).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20_000)
    both = ((first == 5) & (next_week == 5)).mean()  # independent between weeks
    assert abs(both - 0.0625) < 4 * np.sqrt(0.0625 / 20_000)
    other = WeeklyPrices(np.full(20_000, 10.0), (0.5, 1.0), (0.25, 0.75), seed=5)
    assert (other.at(items, np.full(20_000, monday)) != first).any()


def test_a_world_of_a_shop_knows_its_customers_products_and_prices() -> None:
    shop = make_shop()
    world = World.of_shop(shop, seed=1)
    bought = shop.lines.goods & (shop.lines.customer >= 0)
    assert set(world.customers) == {shop.customers.ids[row] for row in np.unique(shop.lines.customer[bought])}
    assert set(world.items) == {shop.items.ids[row] for row in np.unique(shop.lines.item[bought])}
    rows, price, _ = shop.shelf_prices()
    found = dict(zip(world.items, world.price, strict=True))
    assert [found[shop.items.ids[row]] for row in rows] == pytest.approx(price)
    assert world.activity.sum() == pytest.approx(1)
    assert world.end == datetime(2024, 7, 1)
    # what a customer bought of a category, and the average: needs
    mine = bought & (shop.lines.customer == shop.customers.row("c001"))
    own = [shop.catalogue["category"][int(row)][1] for row in shop.lines.item[mine]]
    needed = world.needs.probability(world.customers.to_list().index("c001"))
    for shelf, topic in enumerate(world.shelves.topics):
        wanted = own.count(topic[-1]) + world.needs.kappa * world.needs.overall[shelf]
        assert needed[shelf] == pytest.approx(wanted / (len(own) + world.needs.kappa))


def test_only_the_best_sellers_can_be_asked_for() -> None:
    shop = make_shop()
    world = World.of_shop(shop, products=7)
    sold = np.bincount(shop.lines.item[shop.lines.goods & (shop.lines.customer >= 0)], minlength=len(shop.items))
    assert len(world.items) == 7
    rows = shop.items.rows(world.items)
    assert sold[rows].min() >= np.sort(sold)[-7]


def test_a_shop_without_purchases_is_refused() -> None:
    with pytest.raises(DataError, match="no purchases by known customers"):
        World.of_shop(make_shop().before(0.0))


def test_a_world_needs_somebody_and_something() -> None:
    with pytest.raises(UsageError, match="customers is 0; wanted 1 or more"):
        World.synthetic(customers=0)
    with pytest.raises(UsageError, match="products is 0"):
        World.of_shop(make_shop(), products=0)


def test_affinity_has_mean_zero_on_a_shelf_and_spread_one() -> None:
    world = World.synthetic()
    shelf = world.shelves.members[3, : world.shelves.sizes[3]]
    liked = world.customer_factors @ world.item_factors.T
    assert 0.7 < liked.std() < 1.3
    assert np.abs(liked[:, shelf].mean(axis=1)).max() < 0.3
