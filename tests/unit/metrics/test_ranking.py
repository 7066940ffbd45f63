"""Ranking metrics against numbers worked by hand."""

import numpy as np
import pytest

from shoploom.metrics import ranking
from shoploom.metrics.statistics import means, ratios, together

LISTS = np.array([[5, 3, 9], [1, 2, -1]])
OFFSETS = np.array([0, 2, 2])  # the second list has nothing relevant
ITEMS = np.array([3, 7])


def test_hits_stand_where_the_relevant_item_is():
    assert ranking.hit_matrix(LISTS, OFFSETS, ITEMS).tolist() == [[False, True, False], [False, False, False]]


def test_an_item_is_relevant_only_to_its_own_list():
    hits = ranking.hit_matrix(np.array([[1], [1]]), np.array([0, 1, 2]), np.array([1, 2]))
    assert hits.tolist() == [[True], [False]]


def test_ndcg_of_a_hit_at_rank_two_of_two_relevant():
    hits = ranking.hit_matrix(LISTS, OFFSETS, ITEMS)
    found = ranking.ndcg(hits, np.array([2, 0]), 3)
    # 1 / log2(3) over 1 + 1 / log2(3)
    assert found[0] == pytest.approx(0.6309297535714575 / 1.6309297535714575)
    assert np.isnan(found[1])


def test_ndcg_looks_no_deeper_than_k():
    hits = np.array([[False, False, True]])
    assert ranking.ndcg(hits, np.array([1]), 2)[0] == 0.0
    assert ranking.ndcg(hits, np.array([1]), 3)[0] == pytest.approx(0.5)


def test_recall_divides_by_all_that_is_relevant():
    hits = np.array([[True, True, False]])
    assert ranking.recall(hits, np.array([4]), 2)[0] == 0.5
    assert ranking.recall(hits, np.array([4]), 1)[0] == 0.25


def test_hit_rate_is_one_or_zero_and_undefined_without_relevant_items():
    hits = np.array([[False, True], [False, False], [False, False]])
    found = ranking.hit_rate(hits, np.array([1, 1, 0]), 2)
    assert found[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found[2])
    assert ranking.hit_rate(hits, np.array([1, 1, 0]), 1)[0] == 0.0


def test_coverage_counts_different_items_and_no_padding():
    assert ranking.coverage(np.array([[1, 2, -1], [2, 3, -1]]), 10) == 0.3
    assert ranking.coverage(np.zeros((0, 3), dtype=int), 0) == 0.0


def test_relevant_items_can_be_counted_by_a_mask():
    offsets = np.array([0, 2, 3])
    assert ranking.count_relevant(offsets).tolist() == [2, 1]
    assert ranking.count_relevant(offsets, np.array([False, True, True])).tolist() == [1, 1]


def test_a_mean_leaves_out_units_where_the_metric_is_not_defined():
    statistic = means({"one": np.array([1.0, np.nan, 0.0])})
    assert statistic(np.ones(3)) == {"one": 0.5}
    assert statistic(np.array([2.0, 5.0, 1.0]))["one"] == pytest.approx(2 / 3)
    assert np.isnan(statistic(np.array([0.0, 1.0, 0.0]))["one"])


def test_ratios_add_up_before_they_divide():
    statistic = together(ratios({"wape": (np.array([1.0, 2.0]), np.array([1.0, 5.0]))}), means({"m": np.ones(2)}))
    assert statistic(np.array([1.0, 1.0])) == {"wape": 0.5, "m": 1.0}
    assert statistic(np.array([1.0, 0.0]))["wape"] == 1.0
