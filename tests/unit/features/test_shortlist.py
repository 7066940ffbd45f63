"""Lists keep to the rules: allowed items, bought goods, length, and filling up."""

import numpy as np
import pytest

from shoploom.features.bestsellers import Bestsellers
from shoploom.features.shortlist import Rules, best, best_dense, excludes, filled, popular_rows, resized, rules_of
from shoploom.tasks.base import Cases
from tests.shops import make_shop

FREE = Rules(np.ones(5, dtype=bool), np.zeros(0, dtype=np.int64))
NONE = np.zeros(0, dtype=np.int64)
POPULAR = np.array([4, 2, 0], dtype=np.int32)
SMALL = np.array([0.01, 0, 0.02, 0, 0.03])


def test_best_sorts_by_score_then_by_row_and_pads():
    found = best(2, np.array([0, 0, 0]), np.array([3, 1, 2]), np.array([1.0, 5.0, 1.0]), 4)
    assert found.items.tolist() == [[1, 2, 3, -1], [-1, -1, -1, -1]]


def test_personal_items_come_first_and_popular_ones_fill_up():
    found = filled(2, FREE, (np.array([0]), np.array([1]), np.array([1.0])), POPULAR, SMALL, 3)
    assert found.items.tolist() == [[1, 4, 2], [4, 2, 0]]


def test_a_popular_item_that_is_personal_too_stands_once():
    found = filled(1, FREE, (np.array([0]), np.array([2]), np.array([1.0])), POPULAR, SMALL, 3)
    assert found.items.tolist() == [[2, 4, 0]]


def test_forbidden_items_do_not_appear():
    rules = Rules(np.array([True, True, True, True, False]), np.array([0 * 5 + 2]))
    found = filled(2, rules, (np.array([0]), np.array([2]), np.array([1.0])), POPULAR, SMALL, 3)
    assert found.items.tolist() == [[0, -1, -1], [2, 0, -1]]


def test_owners_of_all_bestsellers_still_get_a_full_list():
    popular = np.arange(1000, dtype=np.int32)
    rules = Rules(np.ones(1000, dtype=bool), np.arange(900))
    row, item = popular_rows(rules, popular, 1, 50)
    assert item.tolist() == list(range(900, 950))
    assert (row == 0).all()


@pytest.mark.parametrize("number", [1, 7, 50, 400])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_popular_rows_are_the_first_permitted_ones(number, share):
    draws = np.random.default_rng(3)
    popular, allowed = draws.permutation(1000).astype(np.int32), draws.random(1000) < share
    owned = np.flatnonzero(draws.random(3000) < 0.3)
    row, item = popular_rows(Rules(allowed, owned), popular, 3, number)
    for case in range(3):
        mine = [one for one in popular.tolist() if allowed[one] and case * 1000 + one not in set(owned.tolist())]
        assert item[row == case].tolist() == mine[:number]


def test_dense_scores_obey_the_same_rules():
    rules = Rules(np.array([True, True, True, True, False]), np.array([1 * 5 + 0]))
    scores = np.array([[0.5, 0.2, 0.0, 0.1, 0.9], [0.5, 0.2, 0.0, 0.1, 0.9]], dtype=np.float32)
    assert best_dense(rules, 0, scores.copy(), 3).items.tolist() == [[0, 1, 3], [1, 3, -1]]
    assert best_dense(rules, 1, scores[:1].copy(), 2).items.tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("repeats", "default", "expected"),
    [("auto", True, True), ("auto", False, False), ("allow", True, False), ("exclude", False, True)],
)
def test_auto_is_the_tasks_own_habit(repeats, default, expected):
    assert excludes(Cases(np.zeros(1, dtype=np.int32), repeats=repeats), by_default=default) is expected


def test_a_mask_of_another_length_is_padded_with_false():
    assert resized(np.array([True]), 3).tolist() == [True, False, False]
    assert resized(np.array([True, False]), 1).tolist() == [True]


def test_excluding_leaves_out_what_the_customer_bought():
    shop = make_shop(customers=5)
    cases = Cases(np.array([0, -1], dtype=np.int32))
    histories = shop.histories(cases.units)
    rules = rules_of(cases, histories, np.ones(len(shop.items), dtype=bool), len(shop.items), exclude=True)
    bought = np.unique(shop.lines.item[shop.lines.customer == 0])
    assert not rules.permits(np.zeros(len(bought), dtype=np.int64), bought.astype(np.int64)).any()
    assert rules.permits(np.ones(len(bought), dtype=np.int64), bought.astype(np.int64)).all()


def test_bestsellers_count_orders_not_lines():
    shop = make_shop(anonymous=False)
    sold = Bestsellers.orders(shop, goods_only=True)
    orders = {(int(o), int(i)) for o, i in zip(shop.lines.order, shop.lines.item, strict=True)}
    counts = np.bincount([item for _, item in orders], minlength=len(shop.items))
    np.testing.assert_allclose(sold.share, counts / counts.max())
    assert sold.popular[0] == counts.argmax()


def test_recent_buyers_decide_then_all_orders():
    shop = make_shop()
    sold = Bestsellers.buyers(shop, days=14, goods_only=True)
    recent = shop.lines.purchase & (shop.lines.time >= shop.end - 14)
    buyers = [len(set(shop.lines.customer[recent & (shop.lines.item == item)])) for item in range(len(shop.items))]
    assert buyers[sold.popular[0]] == max(buyers)
    assert set(sold.popular.tolist()) == set(np.unique(shop.lines.item[shop.lines.purchase]).tolist())
