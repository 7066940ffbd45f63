"""Quality beyond accuracy against numbers worked by hand, or against slow loops."""

import math

import numpy as np
import pytest

from shoploom.metrics import beyond

EMPTY = -1
# Food > Dairy > Milk, Food > Dairy > Cheese, Food > Bakery, Toys, and a product without a category
PATHS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, -1], [1, -1, -1], [-1, -1, -1]])


def test_exposure_counts_places_and_leaves_out_padding():
    assert beyond.exposure(np.array([[3, 1], [3, EMPTY]]), 5).tolist() == [0, 1, 0, 2, 0]


def test_reach_is_the_share_of_the_catalogue_that_is_shown():
    assert beyond.reach(np.array([1, 0, 2, 0])) == 0.5
    assert math.isnan(beyond.reach(np.zeros(0, dtype=int)))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([1, 1, 1, 1], 0.0),
        ([0, 5, 0, 0], 1.0),
        ([3, 1], 0.5),  # (-1 x 1 + 1 x 3) / 4 / 1
        ([1, 0, 3], 0.75),  # (-2 x 0 + 0 x 1 + 2 x 3) / 4 / 2
    ],
)
def test_gini_of_a_few_items(shown, expected):
    assert beyond.gini(np.array(shown)) == pytest.approx(expected)


def test_gini_is_the_mean_difference_of_two_items():
    shown = np.random.default_rng(0).integers(0, 9, 30)
    apart = np.abs(shown[:, None] - shown).sum() / (30 * 29)
    assert beyond.gini(shown) == pytest.approx(apart / (2 * shown.mean()))


def test_gini_needs_two_items_and_something_shown():
    assert math.isnan(beyond.gini(np.array([4])))
    assert math.isnan(beyond.gini(np.array([0, 0])))


def test_top_share_of_the_most_shown():
    assert beyond.top_share(np.array([1, 5, 4]), 2) == 0.9
    assert beyond.top_share(np.array([1, 5, 4]), 10) == 1.0
    assert math.isnan(beyond.top_share(np.array([0, 0]), 1))


def test_self_information_doubles_back_to_the_share_of_customers():
    found = beyond.self_information(np.array([16, 8, 1, 0]), 16)
    assert found.tolist() == [0.0, 1.0, 4.0, 4.0]  # nobody counts as one


def test_head_is_the_fewest_best_sellers_that_make_the_share():
    assert beyond.head(np.array([50, 5, 30, 15]), 0.8).tolist() == [True, False, True, False]
    assert beyond.head(np.array([50, 5, 30, 15]), 0.81).tolist() == [True, False, True, True]


def test_equal_best_sellers_go_by_row_and_unsold_items_are_never_head():
    assert beyond.head(np.array([2, 2, 2, 2]), 0.5).tolist() == [True, True, False, False]
    assert not beyond.head(np.array([0, 0]), 0.8).any()


def test_means_over_what_is_shown():
    lists = np.array([[2, 0, EMPTY], [EMPTY, EMPTY, EMPTY]])
    found = beyond.mean_shown(lists, np.array([1.0, 7.0, 4.0]))
    assert found[0] == 2.5
    assert np.isnan(found[1])
    assert beyond.mean_shown(lists, np.array([True, False, False]))[0] == 0.5


def test_share_of_flagged_places_leaves_out_padding():
    found = beyond.share_shown(np.array([[2, 0, EMPTY], [EMPTY] * 3]), np.array([[True, False, True], [True] * 3]))
    assert found[0] == 0.5
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([0, 0], 0.0),
        ([0, 1], 1 / 3),
        ([0, 2], 2 / 3),  # one level of three, the longer path
        ([0, 3], 1.0),
        ([0, 1, 2], (1 / 3 + 2 / 3 + 2 / 3) / 3),
        ([0, 1, 4], 1 / 3),  # without a category: left out
        ([0, 1, EMPTY], 1 / 3),
    ],
)
def test_distance_of_categories(items, expected):
    assert beyond.category_distance(np.array([items]), PATHS)[0] == pytest.approx(expected)


def test_distance_of_categories_needs_a_pair_with_categories():
    lists = np.array([[0, 4], [0, EMPTY], [EMPTY, EMPTY]])
    assert np.isnan(beyond.category_distance(lists, PATHS)).all()
    assert np.isnan(beyond.category_distance(lists, np.zeros((5, 0), dtype=int))).all()


VECTORS = np.array([[1.0, 0], [0, 3], [-2, 0], [5, 0], [0, 0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([0, 3], 0.0),  # length does not count
        ([0, 1], 1.0),
        ([0, 2], 2.0),
        ([0, 1, 2], 4 / 3),
        ([0, 1, 4], 1.0),  # no direction: left out
        ([0, 1, EMPTY], 1.0),
    ],
)
def test_distance_of_vectors(items, expected):
    assert beyond.vector_distance(np.array([items]), VECTORS)[0] == pytest.approx(expected)


def test_distance_of_vectors_is_the_mean_over_pairs():
    draws = np.random.default_rng(1)
    vectors, lists = draws.normal(size=(30, 7)), np.stack([draws.permutation(30)[:6] for _ in range(4)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    slow = [np.mean([1 - unit[a] @ unit[b] for i, a in enumerate(one) for b in one[:i]]) for one in lists]
    assert beyond.vector_distance(lists, vectors) == pytest.approx(np.array(slow))
    assert np.isnan(beyond.vector_distance(np.array([[0, EMPTY]]), vectors)).all()


def test_distributions_add_up_and_leave_out_what_is_unknown():
    found = beyond.distributions(np.array([0, 0, 0, 0, 1]), np.array([1, 1, 0, -1, -1]), 2, 3)
    assert found[0] == pytest.approx([1 / 3, 2 / 3, 0])
    assert np.isnan(found[1]).all()


def test_divergence_worked_by_hand():
    wanted, given = np.array([[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.2, 0.8], [0.0, 1.0]])
    found = beyond.divergence(wanted, given)
    assert found[0] == pytest.approx(0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005))
    assert found[1] == pytest.approx(0.0)
    assert found[2] == pytest.approx(math.log(100))  # nothing of what is wanted


def test_divergence_is_not_defined_without_either_mix():
    known, unknown = np.array([[1.0, 0.0]]), np.full((1, 2), np.nan)
    assert np.isnan(beyond.divergence(known, unknown)).all()
    assert np.isnan(beyond.divergence(unknown, known)).all()


def test_surprises_are_hits_that_nobody_expected():
    hits = np.array([[True, True, False], [True, False, False]])
    lists = np.array([[4, 5, 6], [4, 5, EMPTY]])
    found = beyond.surprises(hits, lists, np.array([[4, 9], [5, EMPTY]]))
    assert found.tolist() == [[False, True, False], [True, False, False]]
