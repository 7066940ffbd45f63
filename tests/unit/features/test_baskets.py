"""Orders as sets of products: places, merging and sums, worked by hand."""

import numpy as np

from shoploom.features.baskets import Baskets, baskets_of
from tests.orders import shop_of

ROWS = [(0, 11, 7, 30.0), (0, 11, 3, 30.0), (0, 12, 7, 20.0), (0, 12, 7, 19.9), (1, 13, 4, 5.0), (0, 14, 5, 1.0)]


def baskets(rows=ROWS, customers: int = 3) -> Baskets:
    shop = shop_of(rows, items=10, customers=customers)
    return baskets_of(shop.histories(np.arange(customers)), timezone="UTC")


def held(found: Baskets) -> list[list[int]]:
    return [found.item[low:high].tolist() for low, high in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def test_a_product_counts_once_per_order():
    found = baskets()
    assert held(found) == [[3, 7], [7], [5], [4]]
    assert found.row.tolist() == [0, 0, 0, 1]
    assert found.behind.tolist() == [2, 1, 0, 0]
    assert found.time.tolist() == [19_970.0, 19_980.0, 19_999.0, 19_995.0]


def test_orders_that_interleave_stay_apart():
    found = baskets([(0, 1, 2, 9.0), (0, 2, 3, 8.5), (0, 1, 4, 8.0)])
    assert held(found) == [[2, 4], [3]]


def test_lines_without_a_number_are_one_order_per_day():
    found = baskets([(0, -1, 2, 9.0), (0, -1, 3, 8.9), (0, -1, 2, 7.0)])
    assert held(found) == [[2, 3], [2]]


def test_nobody_has_no_orders():
    found = baskets([], customers=2)
    assert len(found) == 0
    assert found.owners().shape == (2, 0)
    assert len(found.merged(7.0, 20_000.0)) == 0


def test_orders_of_a_period_become_one_and_a_product_counts_once():
    found = baskets().merged(25.0, 20_000.0)
    assert held(found) == [[3, 7], [5, 7], [4]]
    assert found.row.tolist() == [0, 0, 1]
    assert found.behind.tolist() == [1, 0, 0]
    assert found.time.tolist() == [19_970.0, 19_980.0, 19_995.0]
    assert held(baskets().merged(40.0, 20_000.0)) == [[3, 5, 7], [4]]


def test_some_orders_of_some_customers():
    found = baskets()
    assert held(found.take(found.behind == 0)) == [[5], [4]]
    second = found.of_customers(slice(1, 3))
    assert held(second) == [[4]]
    assert second.row.tolist() == [0]
    assert second.customers == 2


def test_an_order_matrix_holds_the_weight_of_each_order():
    found = baskets()
    columns = np.where(found.item == 3, -1, found.item)
    matrix = found.matrix(columns, 10, np.array([1.0, 2.0, 4.0, 8.0]))
    assert matrix.shape == (4, 10)
    sums = (found.owners() @ matrix).toarray()
    assert sums[0].nonzero()[0].tolist() == [5, 7]
    assert sums[0, [5, 7]].tolist() == [4.0, 3.0]
    assert sums[1, 4] == 8.0
    assert not sums[2].any()
