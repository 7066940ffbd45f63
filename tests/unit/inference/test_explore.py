from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from shoploom.inference.explore import explored

DRAWS = 6_000


@pytest.mark.parametrize(
    ("items", "pool", "share", "fixed"),
    [
        ([0, 1, 2, 3], [10, 11, 12, 13, 14, 15], 0.3, [1]),
        ([0, 1, 2, 3], [10, 11], 0.5, []),  # fewer to try than places
        ([0, 1], [10], 1.0, []),
        ([0, 1, 2], [], 0.5, []),
    ],
)
def test_frequencies_are_the_stated_propensities(
    items: list[int], pool: list[int], share: float, fixed: list[int]
) -> None:
    counts: Counter[tuple[int, int]] = Counter()
    stated: dict[tuple[int, int], float] = {}
    for number in range(DRAWS):
        found = explored(items, pool, share=share, seed=f"request {number}", fixed=fixed)
        assert len(set(found.items)) == len(items)
        for place, (item, propensity) in enumerate(zip(found.items, found.propensities, strict=True)):
            counts[place, item] += 1
            assert stated.setdefault((place, item), propensity) == propensity
    for place in range(len(items)):
        total = sum(propensity for (where, _), propensity in stated.items() if where == place)
        assert total == pytest.approx(1.0)
    for key, propensity in stated.items():
        error = np.sqrt(propensity * (1 - propensity) / DRAWS)
        assert abs(counts[key] / DRAWS - propensity) <= 5 * error, key


def test_by_hand() -> None:
    found = explored([0, 1, 2], [10, 11, 12, 13], share=0.2, seed="any", fixed=[0])
    expected = {0: 1.0} | dict.fromkeys([1, 2], 0.8) | dict.fromkeys([10, 11, 12, 13], 0.05)
    assert found.propensities == pytest.approx([expected[item] for item in found.items])


def test_an_inverse_propensity_estimate_of_another_list_is_unbiased() -> None:
    """Clicks are known to come with these rates; what another list would get is read from explored lists alone."""
    rate = {0: 0.1, 1: 0.3, 10: 0.6, 11: 0.2}
    wanted, draws, total = [10, 1], np.random.default_rng(0), 0.0
    for number in range(DRAWS):
        found = explored([0, 1], [10, 11], share=0.4, seed=str(number))
        for place, item in enumerate(found.items):
            clicked = draws.random() < rate[item]
            total += clicked * (wanted[place] == item) / found.propensities[place]
    assert total / DRAWS == pytest.approx(rate[10] + rate[1], abs=0.05)


def test_the_same_request_draws_the_same_list() -> None:
    lists = {tuple(explored(range(10), range(10, 50), share=0.5, seed="r1").items) for _ in range(5)}
    others = {tuple(explored(range(10), range(10, 50), share=0.5, seed=f"r{n}").items) for n in range(50)}
    assert len(lists) == 1
    assert len(others) == 50


def test_nothing_is_drawn_without_a_share() -> None:
    found = explored([3, 1], [5, 6], share=0.0, seed="x")
    assert (found.items, found.propensities, found.drawn) == ([3, 1], [1.0, 1.0], [])
