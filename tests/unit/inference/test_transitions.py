"""What follows what: weights worked by hand, order and decay, live visits."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.inference import transitions
from shoploom.inference.transitions import BACKWARD, DECAY, POPULARITY_POWER, PRIOR, Trails, Transitions, visits
from tests.orders import shop_of


def trails(*visits: tuple[int, ...]) -> Trails:
    rows = [(number, item, place) for number, one in enumerate(visits) for place, item in enumerate(one)]
    sequence, item, time = (np.array(column) for column in zip(*rows, strict=True))
    return Trails(sequence, item, time.astype(float))


def weights(found: Transitions, item: int) -> dict[int, float]:
    others, values = found._table.beside(item)
    return dict(zip(others.tolist(), values.tolist(), strict=True))


def test_weights_fall_with_the_distance_and_are_smaller_backward() -> None:
    found = Transitions.of(trails((0, 1, 2), (0, 1)), 4)
    assert weights(found, 0) == pytest.approx({1: 2.0, 2: 0.5})
    assert weights(found, 1) == pytest.approx({0: 2 * BACKWARD, 2: 1.0})
    assert weights(found, 2) == pytest.approx({1: BACKWARD, 0: BACKWARD / 2})


def test_products_of_one_moment_came_in_no_order() -> None:
    given = Trails(np.array([0, 0]), np.array([0, 1]), np.array([5.0, 5.0]))
    found = Transitions.of(given, 2)
    assert weights(found, 0)[1] == weights(found, 1)[0] == pytest.approx((1 + BACKWARD) / 2)


def test_visits_do_not_run_into_each_other_however_they_are_given() -> None:
    given = Trails(np.array([1, 0, 1, 0]), np.array([2, 0, 3, 1]), np.array([9.0, 1.0, 8.0, 2.0]))
    found = Transitions.of(given, 4)
    assert weights(found, 0) == pytest.approx({1: 1.0})
    assert weights(found, 3) == pytest.approx({2: 1.0})


def test_the_score_is_that_of_the_formula() -> None:
    found = Transitions.of(trails((0, 1), (0, 1), (2, 1)), 3)
    nexts = found.next([2, 0])
    score = dict(zip(nexts.items.tolist(), nexts.scores.tolist(), strict=True))
    damped = 3**POPULARITY_POWER
    assert score[1] == pytest.approx((2.0 / (2 + PRIOR) + DECAY * 1.0 / (1 + PRIOR)) / damped)
    assert nexts.because[nexts.items == 1].tolist() == [0]


def test_the_latest_product_speaks_loudest() -> None:
    found = Transitions.of(trails(*[(0, 2)] * 5, *[(1, 3)] * 5), 4)
    assert best(found, [0, 1]) == 3
    assert best(found, [1, 0]) == 2


def best(found: Transitions, touched: list[int]) -> int:
    nexts = found.next(touched)
    return int(nexts.items[np.argmax(nexts.scores)])


def test_live_visits_are_learned_from_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "LIVE_TRAILS", 2)
    found = Transitions.of(trails((0, 1)), 2)
    for visit in range(9):
        found.observe(visit, 0)
        found.observe(visit, 7)
    assert best(found, [0]) == 7
    assert weights(found, 0)[7] == pytest.approx(9.0)
    assert len(found._trails) == 2


def test_live_and_bulk_visits_weigh_the_same() -> None:
    bulk = Transitions.of(trails((0, 1, 2, 1)), 3)
    live = Transitions.of(trails((2, 2)), 3)
    for item in (0, 1, 2, 1):
        live.observe("one", item)
    for item in range(3):
        assert weights(live, item) == pytest.approx(weights(bulk, item))


def test_the_newest_events_are_looked_at_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "MOST_EVENTS", 2)
    given = Trails(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3]), np.array([7.0, 8.0, 1.0, 2.0]))
    found = Transitions.of(given, 4)
    assert weights(found, 0) == pytest.approx({1: 1.0})
    assert weights(found, 2) == {}


def test_blocks_of_any_size_give_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(2)
    given = trails(*[tuple(draws.integers(8, size=6).tolist()) for _ in range(50)])
    whole = Transitions.of(given, 8)
    monkeypatch.setattr(transitions, "BLOCK_PAIRS", 40)
    parts = Transitions.of(given, 8)
    for item in range(8):
        assert weights(parts, item) == pytest.approx(weights(whole, item))


def test_days_of_customers_are_visits_and_strangers_without_an_order_are_none() -> None:
    rows = [(0, -1, 0, 9.0), (0, -1, 1, 8.9), (0, -1, 2, 3.0), (-1, -1, 3, 3.0), (-1, 5, 4, 3.0)]
    found = visits(shop_of(rows, items=5, customers=1, kind="view"))
    together = dict(zip(found.item.tolist(), found.sequence.tolist(), strict=True))
    assert sorted(together) == [0, 1, 2, 4]
    assert together[0] == together[1]
    assert len(set(together.values())) == 3
