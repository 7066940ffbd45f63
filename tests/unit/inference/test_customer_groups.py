"""Groups of customers: who is near by what they buy, what a group likes, attributes, and a personal order."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.data.arrays import Plan
from shoploom.errors import NotFoundError
from shoploom.inference.catalogue import Catalogue
from shoploom.inference.customer_groups import LIFT_POWER, PRIOR, CustomerGroups, with_value
from shoploom.inference.promotions import Running
from shoploom.inference.taste import Liked, nearness
from tests.orders import Row, shop_of
from tests.shops import make_shop

NOW = 20_000.0


def two_tastes() -> list[Row]:
    """Customers 0 to 9 buy products 0 to 3, customers 10 to 19 products 4 to 7, everybody product 8."""
    rows: list[Row] = []
    for customer in range(20):
        base = 0 if customer < 10 else 4
        chosen = [base + (customer + step) % 4 for step in range(3)]
        rows += [(customer, customer, item, 10.0) for item in (*chosen, 8)]
    return rows


def groups(rows: list[Row] | None = None) -> CustomerGroups:
    return CustomerGroups.of(shop_of(rows or two_tastes(), items=9, customers=21))


def test_the_nearest_customers_buy_alike_and_nobody_is_near_oneself() -> None:
    shop = shop_of(two_tastes(), items=9, customers=21)
    own = shop.histories(np.array([3])).lines
    found = CustomerGroups.of(shop).nearest(own, NOW, apart_from=3)
    assert set(found[:9].tolist()) == set(range(10)) - {3}
    assert found[0] == 7  # the same three products


def test_without_purchases_nobody_is_near() -> None:
    shop = shop_of(two_tastes(), items=9, customers=21)
    assert not len(groups().nearest(shop.histories(np.array([20])).lines, NOW))


def test_what_a_group_bought_is_counted_and_scored_by_the_formula() -> None:
    found = groups().bought_by(np.arange(10))
    counts = dict(zip(found.items.tolist(), found.buyers.tolist(), strict=True))
    assert counts[8] == 10
    assert 4 not in counts
    assert (found.members, found.customers) == (10, 20)
    at = int(np.flatnonzero(found.items == 0)[0])
    overall = found.others[at] / 20
    share = (counts[0] + PRIOR * overall) / (10 + PRIOR)
    assert found.scores[at] == pytest.approx(share * (share / overall) ** LIFT_POWER)


def test_old_purchases_are_not_what_is_bought_now() -> None:
    found = groups([*two_tastes(), *((customer, 500, 5, 200.0) for customer in range(10))]).bought_by(np.arange(10))
    assert 5 not in found.items


def test_customers_that_came_later_have_bought_nothing_yet() -> None:
    assert groups().bought_by(np.array([500])).members == 0


def test_an_attribute_and_its_value_are_known_or_named() -> None:
    attributes = make_shop(customers=30, products=12, days=60).attributes
    members = with_value(attributes, "segment", "taste 1")
    assert (attributes["segment"].codes[members] == attributes["segment"].values.index("taste 1")).all()
    with pytest.raises(NotFoundError, match="Did you mean 'segment'"):
        with_value(attributes, "segmant", "taste 1")
    with pytest.raises(NotFoundError, match="Did you mean 'taste 1'"):
        with_value(attributes, "segment", "taste1")


def test_a_product_is_as_near_as_the_nearest_liked_one() -> None:
    angle = np.array([0.0, 1.5, 0.1, 1.4, 0.8])
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    catalogue = Catalogue(make_shop(customers=3, products=5, days=30))
    liked = Liked(np.array([0, 1]), np.array([5.0, 1.0]))
    found = nearness(np.array([2, 3, 4]), liked, unit=unit, catalogue=catalogue)
    assert found is not None
    assert found.scores == pytest.approx(np.cos([0.1, 0.1, 0.7]), abs=1e-5)
    assert found.because.tolist() == [0, 1, 1]


def test_without_vectors_categories_say_what_is_near() -> None:
    catalogue = Catalogue(make_shop(customers=3, products=8, days=30))
    liked = Liked(np.array([0, 1]), np.array([3.0, 1.0]))  # Bakery and Dairy
    found = nearness(np.array([4, 5, 6]), liked, unit=None, catalogue=catalogue)
    assert found is not None
    assert found.scores.tolist() == [0.75, 0.25, 0.0]
    assert nearness(np.array([4]), Liked(np.zeros(0, np.int64), np.zeros(0)), unit=None, catalogue=catalogue) is None


def test_purchases_say_more_than_views_and_old_ones_less() -> None:
    shop = shop_of([(0, 1, 0, 1.0), (0, 2, 1, 300.0)], items=3, customers=1)
    viewed = shop_of([(0, -1, 2, 1.0)], items=3, customers=1, kind="view")
    bought = Liked.by(shop.lines, NOW)
    assert bought.items.tolist() == [0, 1]
    assert bought.weights[0] > Liked.by(viewed.lines, NOW).weights[0] > 0
    shown = shop_of([(0, -1, 2, 1.0)], items=3, customers=1, kind="impression")
    assert not len(Liked.by(shown.lines, NOW).items)


def test_running_promotions_are_those_of_the_moment() -> None:
    plan = Plan(
        item=np.array([3, 1, 3, 2], dtype=np.int32),
        start=np.array([0.0, 0.0, 5.0, 0.0]),
        end=np.array([7.0, 6.0, 9.0, 9.0]),
        kind=np.array([0, 1, 1, 0], dtype=np.int32),
        share=np.array([0.5, 1.0, 0.25, 0.0], dtype=np.float32),
        kinds=("display", "mailer"),
    )
    found = Running.at(plan, 5.5)
    assert found.items.tolist() == [1, 3]
    assert found.of(3) == (9.0, ["display", "mailer"], 0.5)
    assert found.of(1) == (6.0, ["mailer"], 1.0)
    assert Running.at(plan, 6.0).items.tolist() == [3]
    assert not len(Running.at(plan, 20.0).items)
