from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.tasks.base import Cases, Numbers, Truth
from shoploom.tasks.demand import Demand, change_scales, demand_cases
from tests.shops import CLOCK, make_shop


def test_truth_counts_the_pieces_of_each_block_after_the_moment() -> None:
    shop = make_shop()
    past, future = shop.before(shop.end - 28), shop.between(shop.end - 28, shop.end)
    cases = Demand().cases(past, future)
    assert cases.truth is not None
    assert cases.truth.numbers is not None
    assert cases.blocks is not None
    for case in (0, 7, len(cases) - 1):
        day = past.end + 7 * cases.blocks[case]
        inside = (future.item == cases.units[case]) & (future.time >= day) & (future.time < day + 7) & future.goods
        assert cases.truth.numbers[case] == future.quantity[inside].sum()


def test_cases_are_the_best_sellers_with_every_block() -> None:
    shop = make_shop()
    cases = Demand().serve_cases(shop)
    assert len(cases) == CLOCK.demand_products * CLOCK.num_blocks
    assert set(cases.units.tolist()) == set(shop.best_sellers(CLOCK.demand_products, CLOCK.demand_days).tolist())
    assert cases.blocks is not None
    assert cases.blocks[:5].tolist() == [0, 1, 2, 3, 0]


def test_scales_begin_with_the_first_sale() -> None:
    found = change_scales(np.array([[0.0, 0.0, 4.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0]]))
    np.testing.assert_allclose(found[0], [1.5, np.sqrt(9 / 2)])
    assert np.isnan(found[1]).all()


def test_metrics_follow_their_formulas() -> None:
    blank = demand_cases(np.array([4, 9]), 2)
    truth = np.array([10.0, 0.0, 5.0, 5.0])
    scale = np.array([[2.0, 4.0], [2.0, 4.0], [np.nan, np.nan], [np.nan, np.nan]])
    cases = Cases(blank.units, blocks=blank.blocks, scale=scale, truth=Truth(numbers=truth))
    mean = np.array([8.0, 1.0, 5.0, 9.0])
    found = Demand().measure(cases, Numbers({"mean": mean, "p10": mean - 2, "p90": mean + 2}))
    values = found.values()
    assert found.units == 2
    assert values["wape"] == pytest.approx((2 + 1 + 0 + 4) / 20)
    assert values["bias"] == pytest.approx((-2 + 1 + 0 + 4) / 20)
    assert values["mase"] == pytest.approx((2 + 1) / 2 / 2)
    assert values["rmsse"] == pytest.approx(np.sqrt((4 + 1) / 2) / 4)
    assert values["coverage_p10_p90"] == pytest.approx(3 / 4)


def test_resampling_keeps_the_blocks_of_a_product_together() -> None:
    blank = demand_cases(np.array([4, 9]), 2)
    cases = Cases(blank.units, blocks=blank.blocks, truth=Truth(numbers=np.array([1.0, 1.0, 2.0, 2.0])))
    measured = Demand().measure(cases, Numbers({"mean": np.array([1.0, 1.0, 0.0, 0.0])}))
    assert measured.statistic(np.array([1.0, 0.0]))["wape"] == 0
    assert measured.statistic(np.array([0.0, 1.0]))["wape"] == 1


def test_says_what_is_missing() -> None:
    shop = make_shop(days=30)
    assert "the history has 4 blocks of 7 days; 6 are needed" in str(Demand().missing(shop))
    none = replace(shop, lines=replace(shop.lines, goods=np.zeros(len(shop.lines), dtype=bool)))
    assert "no event counts as a sale of goods" in str(Demand().missing(none))
    assert Demand().missing(make_shop()) is None
