"""Summaries of (customer, item) pairs: five events in, values worked by hand out."""

import numpy as np
import pytest

from shoploom.data.arrays import Histories
from shoploom.features.neighbours import Neighbours, unit_rows, vectors_of
from shoploom.features.pairs import ORDER_DECAY, pairs_of
from tests.shops import make_shop

WHEN = 100.0


def history(rows):
    """Histories of two customers from (customer, order, item, day) rows."""
    lines = make_shop(customers=2, days=60, anonymous=False).lines.take(np.zeros(len(rows), dtype=np.int64))
    table = np.array(rows, dtype=float).reshape(-1, 4)
    lines.customer[:], lines.order[:], lines.item[:], lines.time[:] = table.T
    return Histories(lines, np.searchsorted(table[:, 0], [0, 1, 2]))


FIVE = [(0, 1, 7, 70), (0, 1, 7, 70), (0, 2, 3, 80), (0, 3, 7, 90), (1, 4, 3, 40)]


def pairs(rows=FIVE):
    return pairs_of(history(rows), np.full(2, WHEN), num_items=10, timezone="UTC")


def test_a_product_counts_once_per_order():
    found = pairs()
    assert found.row.tolist() == [0, 0, 1]
    assert found.item.tolist() == [3, 7, 3]
    assert found.times.tolist() == [1, 2, 1]


def test_ages_and_orders_since():
    found = pairs()
    assert found.last.tolist() == [20, 10, 60]
    assert found.first.tolist() == [20, 30, 60]
    assert found.orders_since.tolist() == [1, 0, 0]


def test_decays_halve():
    found = pairs()
    assert found.decays[1, 1] == pytest.approx(2 ** (-10 / 30) + 2 ** (-30 / 30))
    assert found.order_decay.tolist() == pytest.approx([ORDER_DECAY, 1 + ORDER_DECAY**2, 1])


def test_orders_of_each_customer():
    orders = pairs().orders
    assert orders.count.tolist() == [3, 1]
    assert orders.size.tolist() == pytest.approx([4 / 3, 1])
    assert orders.since.tolist() == [10, 60]
    assert orders.recent.tolist() == [2, 0]


def test_lines_of_an_order_may_be_interleaved():
    mixed = [(0, 1, 7, 70), (0, 2, 3, 70), (0, 1, 5, 70), (0, 2, 7, 71)]
    found = pairs(mixed)
    assert found.orders.count.tolist() == [2, 0]
    assert found.times.tolist() == [1, 1, 2]
    assert found.orders_since.tolist() == [0, 1, 0]


def test_no_lines_are_no_pairs():
    found = pairs([])
    assert len(found.row) == 0
    assert found.orders.count.tolist() == [0, 0]
    assert found.find(np.array([0]), np.array([3])).tolist() == [-1]


def test_tops_are_the_best_of_each_customer():
    found = pairs()
    assert found.tops(1, found.times).tolist() == [1, 2]


def test_look_ups_tell_what_was_never_bought():
    assert pairs().find(np.array([0, 1, 1]), np.array([7, 7, 3])).tolist() == [1, -1, 2]


def test_nobody_is_a_neighbour_of_oneself():
    near = Neighbours.fit(pairs(), np.array([0, 1]))
    weights = near.weights(vectors_of(pairs(), 2), np.array([0, 1]))
    assert weights[0, 0] == 0.0
    assert weights[0, 1] == pytest.approx(1.0)


def test_vectors_have_length_one_after_scaling():
    unit = unit_rows(vectors_of(pairs(), 2))
    np.testing.assert_allclose(np.asarray(unit.multiply(unit).sum(axis=1)).ravel(), 1.0, rtol=1e-6)


def test_the_neighbours_products_are_scored():
    near = Neighbours.fit(pairs(), np.array([0, 1]))
    (block,) = list(near.blocks(pairs(), np.array([0, 1])))
    assert block.scores[1, 7] == pytest.approx(1.0)  # the other customer's favourite
    assert block.scores[0, 3] == pytest.approx(1.0)
    assert block.scores[0, 9] == 0.0
