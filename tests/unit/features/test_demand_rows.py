from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.features.demand_rows import LAGS, LEVELS, DemandHistory, level, rows_at
from tests.shops import make_shop


def history(units: list[list[float]], plan: list[list[float]] | None = None, ahead: int = 2) -> DemandHistory:
    known = np.array(units)
    shares = np.zeros((0, len(known), known.shape[1] + ahead)) if plan is None else np.array([plan])
    return DemandHistory(
        units=known,
        amount=2.0 * known,
        plan=shares,
        group=np.zeros(len(known), dtype=np.int64),
        total=np.full(known.shape[1], 100.0),
        calendar=np.zeros((known.shape[1] + ahead, 0)),
    )


NAMES = ["horizon", "level", *(f"lag {lag}" for lag in range(1, LAGS + 1)), *(f"mean of {n}" for n in LEVELS)]
NAMES += ["deviation", "zeros", "trend", "last price", "price ratio", "group trend", "age", "like plan, close"]


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, NAMES.index(name)]


def test_lags_and_means_are_in_units_of_the_products_level() -> None:
    rows = rows_at(history([[2.0, 4.0, 6.0, 8.0]]), 4, 1)
    scale = 5.01  # the mean and 0.01; the shop's pace is steady
    assert column(rows, "lag 1")[0] == pytest.approx(8 / scale)
    assert column(rows, "lag 4")[0] == pytest.approx(2 / scale)
    assert np.isnan(column(rows, "lag 5")[0])
    assert column(rows, "mean of 4")[0] == pytest.approx(5 / scale)
    assert column(rows, "last price")[0] == 2.0


def test_nothing_after_the_moment_is_read() -> None:
    plan = [[0.0, 0.5, 0.0, 0.0, 0.5, 0.0]]
    early = rows_at(history([[2.0, 4.0, 6.0, 8.0]], plan), 2, 1)
    changed = rows_at(history([[2.0, 4.0, 99.0, 77.0]], plan), 2, 1)
    np.testing.assert_array_equal(early, changed)


def test_sales_under_a_like_plan_are_remembered() -> None:
    # promoted in blocks 1 and 3 (10 pieces each), plain in 0 and 2 (1 piece); block 4 is promoted again, block 5 not
    told = history([[1.0, 10.0, 1.0, 10.0]], [[0.0, 0.9, 0.0, 0.9, 0.9, 0.0]])
    promoted, plain = (column(rows_at(told, 4, ahead), "like plan, close")[0] for ahead in (1, 2))
    assert promoted > 1.3
    assert plain < 0.5


def test_a_shop_that_speeds_up_raises_the_level_of_all() -> None:
    steady = history([[4.0] * 13])
    faster = replace(steady, total=np.array([100.0] * 12 + [300.0]))
    ratio = (level(faster, 13) / level(steady, 13))[0]
    weights = 0.6 ** np.arange(12, -1, -1)
    pace = (weights @ faster.total / weights.sum()) / faster.total.mean()
    assert ratio == pytest.approx(pace)


def test_best_sellers_are_chosen_as_it_looked_then() -> None:
    told = history([[9.0, 0.0, 0.0, 0.0], [0.0, 1.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    assert told.best(1, 4, 2).tolist() == [0]
    assert told.best(1, 4, 4).tolist() == [1]
    assert told.best(3, 4, 4).tolist() == [0, 1]


def test_history_of_a_shop_ends_at_its_end_and_knows_the_plan_ahead() -> None:
    shop = make_shop()
    items = np.arange(len(shop.items))
    found = DemandHistory.of(shop, items, 4)
    assert found.units.shape == (40, shop.num_blocks)
    assert found.plan.shape == (1, 40, shop.num_blocks + 4)
    assert found.plan[0, :, -1].sum() == pytest.approx(2 * 0.5)
    assert found.total.sum() == pytest.approx(found.units.sum())
    assert found.calendar.shape == (shop.num_blocks + 4, 0)  # 200 days are less than a year


def test_a_year_of_history_brings_the_calendar() -> None:
    shop = make_shop(customers=10, days=400)
    assert DemandHistory.of(shop, np.arange(3), 4).calendar.shape == (shop.num_blocks + 4, 6)
