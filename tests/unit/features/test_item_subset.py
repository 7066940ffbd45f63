"""Columns of their own for some products, and the strongest entries of sparse rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from shoploom.features.customer_vectors import of_unit_length, some_rows, tamed_counts
from shoploom.features.item_subset import ItemSubset, strongest
from shoploom.features.pairs import Pairs, pairs_of
from tests.orders import shop_of


def pairs() -> Pairs:
    rows = [(0, 1, 7, 0.0), (0, 1, 3, 0.0), (1, 2, 3, 0.0), (1, 3, 3, 90.0), (2, 4, 5, 180.0)]
    histories = shop_of(rows, items=9, customers=3).histories(np.arange(3))
    return pairs_of(histories, np.full(3, 20_000.0), num_items=9, timezone="UTC")


def test_the_products_with_the_most_buyers_are_chosen():
    assert ItemSubset.most_bought(pairs(), most=2).rows.tolist() == [3, 5]
    assert ItemSubset.most_bought(pairs(), most=9).rows.tolist() == [3, 5, 7]
    assert ItemSubset.most_bought(pairs(), most=9, buyers=2).rows.tolist() == [3]


def test_vectors_leave_out_products_of_no_column():
    subset = ItemSubset(np.array([3, 7], dtype=np.int32))
    vectors = subset.vectors(pairs(), np.arange(1.0, 5.0), 3)
    assert vectors.toarray().tolist() == [[1, 2], [3, 0], [0, 0]]


def test_an_empty_subset_knows_nothing():
    nothing = ItemSubset(np.zeros(0, dtype=np.int32))
    assert nothing.place(np.array([0, 4])).tolist() == [-1, -1]
    assert nothing.vectors(pairs(), np.ones(4), 3).shape == (3, 0)
    assert not nothing.spread(np.zeros((2, 0), dtype=np.float32), 4).any()


def test_scores_go_to_the_columns_of_the_shop():
    subset = ItemSubset(np.array([1, 3], dtype=np.int32))
    scores = np.array([[5.0, 6.0]], dtype=np.float32)
    assert subset.spread(scores, 4).tolist() == [[0, 5, 0, 6]]
    assert subset.spread(scores, 2).tolist() == [[0, 5]]


def test_the_strongest_entries_are_those_furthest_from_zero():
    matrix = sp.csr_matrix(np.array([[0.1, -3.0, 2.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    assert strongest(matrix, 2).toarray().tolist() == [[0, -3, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert strongest(sp.csr_matrix((0, 4)), 2).shape == (0, 4)


def test_counts_are_tamed_by_logs_and_may_be_limited():
    values = tamed_counts(pairs())
    assert values.tolist() == pytest.approx([np.log(2), np.log(2), np.log(2.5), np.log(1.25)])
    limited = tamed_counts(pairs(), most=1)
    assert (limited > 0).tolist() == [True, False, True, True]


def test_customers_have_length_one():
    values = of_unit_length(pairs(), np.array([3.0, 4.0, 2.0, 0.0]))
    assert values.tolist() == pytest.approx([0.6, 0.8, 1.0, 0.0])


def test_some_rows_are_drawn_by_the_seed_and_never_empty():
    vectors = sp.csr_matrix(np.diag([1.0, 0.0, 2.0, 3.0, 4.0]))
    assert some_rows(vectors, 9, 0).sum(axis=1).ravel().tolist() == [[1, 2, 3, 4]]
    few = some_rows(vectors, 2, 5)
    assert few.shape == (2, 5)
    np.testing.assert_array_equal(few.toarray(), some_rows(vectors, 2, 5).toarray())
