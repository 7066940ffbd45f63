"""Kinds of trips: a handful of orders in, values worked by hand out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from shoploom.data.arrays import Histories
from shoploom.data.orders import local_clock
from shoploom.features.trips import (
    HALF_LIFE_DAYS,
    HOURS,
    NUM_DENSE,
    OWN_FEATURES,
    VISIT_FEATURES,
    ItemTrips,
    OrdersInTime,
    Trips,
    dense,
)
from tests.shops import make_shop

NOON, EVENING = 0.5, 0.75
WHEN = 100 + NOON
# customer, order, item, day: a large order of four lines at noon, a single piece in the evening
LINES = [
    (0, 1, 7, 90 + NOON),
    (0, 1, 3, 90 + NOON),
    (0, 1, 4, 90 + NOON),
    (0, 1, 5, 90 + NOON),
    (0, 2, 7, 95 + EVENING),
]


def history(rows, customers=2):
    lines = make_shop(customers=2, days=60, anonymous=False).lines.take(np.zeros(len(rows), dtype=np.int64))
    table = np.array(rows, dtype=float).reshape(-1, 4)
    lines.customer[:], lines.order[:], lines.item[:], lines.time[:] = table.T
    lines.purchase[:] = True
    return Histories(lines, np.searchsorted(table[:, 0], np.arange(customers + 1)))


def trips(rows=LINES, when=WHEN):
    keys = np.array([3, 7, 10 + 3])
    return Trips.of(history(rows), keys, np.full(2, when), num_items=10, timezone="UTC")


def column(table, names, name):
    return table[:, names.index(name)]


def test_lines_of_an_order_are_counted_once():
    orders = OrdersInTime.of(history(LINES).lines, history(LINES).rows, "UTC")
    assert orders.lines.tolist() == [4, 1]
    assert orders.of_line.tolist() == [0, 0, 0, 0, 1]
    assert orders.time.tolist() == [90.5, 95.75]


def test_a_visit_knows_its_hour_and_how_large_orders_are():
    visits = trips().visits
    assert column(visits, VISIT_FEATURES, "hour").tolist() == [12, 12]
    old, new = 2 ** (-10 / HALF_LIFE_DAYS), 2 ** (-4.75 / HALF_LIFE_DAYS)
    mean = (old * np.log(5) + new * np.log(2)) / (old + new)
    assert column(visits, VISIT_FEATURES, "mean_size")[0] == pytest.approx(mean)
    assert column(visits, VISIT_FEATURES, "last_size")[0] == pytest.approx(np.log(2))
    assert column(visits, VISIT_FEATURES, "small_share")[0] == pytest.approx(new / (old + new))
    assert column(visits, VISIT_FEATURES, "since_large")[0] == pytest.approx(10)


def test_orders_at_a_like_hour_say_more_about_size():
    old, new = 2 ** (-10 / HALF_LIFE_DAYS), 2 ** (-4.75 / HALF_LIFE_DAYS)
    mean = (old * np.log(5) + new * np.log(2)) / (old + new)
    late = np.exp(-0.5 * (6 / HOURS) ** 2)
    expected = (old * np.log(5) + new * late * np.log(2) + 0.5 * mean) / (old + new * late + 0.5)
    found = trips().visits
    assert column(found, VISIT_FEATURES, "size_at_hour")[0] == pytest.approx(expected)
    evening = trips(when=100 + EVENING).visits
    assert column(evening, VISIT_FEATURES, "size_at_hour")[0] < column(found, VISIT_FEATURES, "size_at_hour")[0]


def test_hours_meet_across_midnight():
    late = [(0, 1, 7, 90 + 23.5 / 24), (0, 2, 3, 95 + 12 / 24)]
    found = trips(late, when=100 + 0.5 / 24).own
    share = column(found, OWN_FEATURES, "hour_share")
    assert share[1] == pytest.approx(np.exp(-0.5 * (1 / HOURS) ** 2))
    assert share[0] < 1e-6


def test_a_pair_knows_the_orders_that_held_it():
    own = trips().own
    old, new = 2 ** (-10 / HALF_LIFE_DAYS), 2 ** (-4.75 / HALF_LIFE_DAYS)
    assert column(own, OWN_FEATURES, "size")[0] == pytest.approx(np.log(5))
    assert column(own, OWN_FEATURES, "size")[1] == pytest.approx(
        (old * np.log(5) + new * np.log(2)) / (old + new), rel=1e-5
    )
    assert column(own, OWN_FEATURES, "smallest").tolist()[:2] == pytest.approx([np.log(5), np.log(2)])
    assert column(own, OWN_FEATURES, "last_size").tolist()[:2] == pytest.approx([np.log(5), np.log(2)])
    assert np.isnan(own[2]).all()  # the other customer never bought it


def test_the_weekday_share_counts_orders_of_the_same_day_of_the_week():
    rows = [(0, 1, 7, 93.5), (0, 2, 7, 95.5)]  # a week before the visit, and another day
    share = column(trips(rows).own, OWN_FEATURES, "weekday_share")[1]
    week, other = 2 ** (-7 / HALF_LIFE_DAYS), 2 ** (-5 / HALF_LIFE_DAYS)
    assert share == pytest.approx(week / (week + other))


def test_customers_without_orders_are_unknown_but_for_the_hour():
    found = Trips.of(history([]), np.zeros(0, dtype=np.int64), np.full(2, WHEN), num_items=10, timezone="UTC")
    assert column(found.visits, VISIT_FEATURES, "hour").tolist() == [12, 12]
    assert np.isnan(found.visits[:, 1:]).all()
    assert found.own.shape == (0, len(OWN_FEATURES))


def test_products_that_sell_in_the_evening_are_lifted_there():
    shop = make_shop(customers=40, days=120, anonymous=False)
    evening = shop.lines.item % 2 == 1
    time = np.floor(shop.lines.time) + np.where(evening, EVENING, NOON)
    shop = replace(shop, lines=replace(shop.lines, time=time))
    about = ItemTrips.fit(shop)
    item = about.rows[:6]
    at_noon = about.at(item, np.full(len(item), 12.0), np.zeros(len(item), dtype=np.int64))[:, 2]
    at_night = about.at(item, np.full(len(item), 18.0), np.zeros(len(item), dtype=np.int64))[:, 2]
    odd = item % 2 == 1
    assert (at_night[odd] > at_noon[odd]).all()
    assert (at_night[~odd] < at_noon[~odd]).all()


def test_products_that_came_later_are_unknown():
    shop = make_shop(customers=5, days=30, anonymous=False)
    about = ItemTrips.fit(shop)
    found = about.at(np.array([len(shop.items) + 3]), np.array([12.0]), np.array([0]))
    assert np.isnan(found[0, :2]).all()
    assert found[0, 2:].tolist() == [0, 0]


def test_saved_products_are_the_same():
    about = ItemTrips.fit(make_shop(customers=5, days=30, anonymous=False))
    again = ItemTrips.from_arrays(about.arrays())
    for name, one in about.arrays().items():
        np.testing.assert_array_equal(one, again.arrays()[name])


def test_the_dense_form_has_no_gaps():
    shop = make_shop(customers=5, days=30, anonymous=False)
    row, item, place = np.array([0, 0, 1]), np.array([3, 7, 1]), np.array([0, 1, -1])
    found = dense(trips(), ItemTrips.fit(shop), row, item, place)
    assert found.shape == (3, NUM_DENSE)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("timezone", ["America/New_York", "Europe/London", "Asia/Kolkata", "UTC"])
def test_the_shops_clock_is_that_of_its_zone(timezone):
    draws = np.random.default_rng(1).uniform(0.0, 20_000.0, 400)
    hour, weekday = local_clock(draws, timezone)
    for day, found, number in zip(draws, hour, weekday, strict=True):
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).astimezone(ZoneInfo(timezone))
        assert found == pytest.approx(local.hour + local.minute / 60 + local.second / 3600, abs=1e-3)
        assert number == local.weekday()
