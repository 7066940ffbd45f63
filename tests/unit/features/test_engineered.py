"""Customer features: a handful of purchases in, numbers worked by hand out."""

from dataclasses import replace

import numpy as np
import pytest

from shoploom.features.engineered import NEVER, category_shares, customer_table
from tests.shops import make_shop


def shop_of(rows, end=100.0):
    """A shop whose customer 0 has (order, item, age, amount) lines."""
    shop = make_shop(customers=2, days=60, anonymous=False)
    lines = shop.lines.take(np.zeros(len(rows), dtype=np.int64))
    table = np.array(rows, dtype=float)
    order = np.argsort(-table[:, 2], kind="stable")
    lines.customer[:], lines.order[:], lines.item[:] = 0, table[order, 0], table[order, 1]
    lines.time[:], lines.amount[:] = end - table[order, 2], table[order, 3]
    lines.quantity[:], lines.price[:] = 1.0, 4.0
    return replace(shop, lines=lines, offsets=np.array([0, len(rows), len(rows)]), end=end, timezone="UTC")


ROWS = [(1, 0, 60, 4.0), (1, 1, 60, 2.0), (2, 0, 20, 4.0), (3, 2, 5, 10.0)]


def features(rows=ROWS, customers=(0,)):
    table = customer_table(shop_of(rows), np.array(customers))
    assert np.isfinite(table.values).all()
    return {name: table.column(name) for name in table.names}


def test_totals_recency_and_age():
    found = {name: value[0] for name, value in features().items()}
    assert found["spend"] == 20.0
    assert (found["rows"], found["orders"], found["different_products"]) == (4, 3, 3)
    assert (found["recency"], found["age"]) == (5.0, 60.0)


def test_spans_end_with_the_shop():
    found = {name: value[0] for name, value in features().items()}
    assert [found[f"spend_{span}"] for span in (7, 14, 28, 56, 112)] == [10, 10, 14, 14, 20]
    assert [found[f"orders_{span}"] for span in (7, 28, 112)] == [1, 2, 3]
    assert (found["spend_horizon"], found["spend_before_horizon"]) == (14.0, 0.0)  # a horizon of 28 days


def test_regularity():
    found = {name: value[0] for name, value in features().items()}
    assert found["gap"] == 27.5
    assert found["gap_spread"] == pytest.approx((12.5 + 12.5) / 2)
    assert found["overdue"] == pytest.approx(5 / 27.5)
    assert found["rate"] == pytest.approx(20 / 60)


def test_orders_values_and_shares():
    found = {name: value[0] for name, value in features().items()}
    assert (found["last_order_value"], found["largest_order"], found["smallest_order"]) == (10.0, 10.0, 4.0)
    assert found["discovery_share"] == 0.75
    assert found["promoted_share"] == 0.25  # one line below the shelf price of 4


def test_somebody_unknown_has_never_bought():
    found = {name: value[0] for name, value in features(customers=(-1,)).items()}
    assert (found["spend"], found["orders"], found["recency"], found["age"]) == (0.0, 0.0, NEVER, NEVER)


def test_a_batch_and_one_by_one_agree():
    shop = make_shop()
    rows = np.arange(len(shop.customers))
    whole = customer_table(shop, rows).values
    single = np.concatenate([customer_table(shop, rows[row : row + 1]).values for row in rows])
    np.testing.assert_allclose(whole, single)


def test_only_earlier_events_count():
    shop = make_shop()
    cut = shop.end - 30
    rows = np.arange(len(shop.customers))
    table = customer_table(shop.before(cut), rows)
    later = shop.lines.take(shop.lines.time < cut)
    spend = np.bincount(later.customer[later.purchase], later.amount[later.purchase], len(rows))
    np.testing.assert_allclose(table.column("spend"), spend, rtol=1e-6)


def test_category_shares_are_roots_of_spend_shares():
    shop = shop_of(ROWS)
    codes = np.zeros(len(shop.items), dtype=np.int32)
    codes[:3] = [1, 2, 2]
    found = category_shares(shop, np.array([0, -1]), codes, np.array([1, 2]))
    np.testing.assert_allclose(found, [[np.sqrt(8 / 20), np.sqrt(12 / 20)], [0, 0]])
