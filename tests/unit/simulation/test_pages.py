"""Policies and click models: what is said to be the probability is how often it happens."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from shoploom.simulation import Settings
from shoploom.simulation.click_models import CLICK_MODELS
from shoploom.simulation.click_models.cascade import Cascade
from shoploom.simulation.click_models.position import PositionBased
from shoploom.simulation.policies import POLICIES
from shoploom.simulation.policies.base import best
from shoploom.simulation.policies.mixture import Mixture
from shoploom.simulation.policies.plackett_luce import PlackettLuce

SCORES = np.array([0.3, -0.5, 1.2, 0.0], dtype=np.float32)
MANY = 60_000


def pages(scores: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    table = np.tile(scores, (MANY, 1))
    table[:, size:] = -np.inf
    return table, np.full(MANY, size)


def close(seen: float, expected: float, count: int = MANY) -> bool:
    """Within four standard errors of a share."""
    return abs(seen - expected) <= 4 * np.sqrt(expected * (1 - expected) / count) + 1e-12


def test_best_columns_come_first() -> None:
    assert best(SCORES[None], 3).tolist() == [[2, 0, 3]]
    assert best(SCORES[None], 4).tolist() == [[2, 0, 3, 1]]


def test_mixture_propensities_are_the_share_of_pages_with_the_product_at_the_place() -> None:
    shown = Mixture((0.5, 0.2, 0.3)).show(*pages(SCORES, 4), 3, np.random.default_rng(0))
    ranked, popular = [2, 0, 3], [0, 1, 2]
    for place in range(3):
        total = 0.0
        for column in range(4):
            expected = 0.5 * (ranked[place] == column) + 0.2 * (popular[place] == column) + 0.3 / 4
            here = shown.columns[:, place] == column
            assert close(here.mean(), expected)
            assert np.allclose(shown.propensities[here, place], expected)
            total += expected
        assert total == pytest.approx(1)


def test_plackett_luce_propensities_multiply_to_the_probability_of_the_list() -> None:
    shown = PlackettLuce(0.7).show(*pages(SCORES, 4), 2, np.random.default_rng(0))
    weight = np.exp(SCORES.astype(float) / 0.7)
    for first, second in permutations(range(4), 2):
        one = weight[first] / weight.sum()
        two = weight[second] / (weight.sum() - weight[first])
        here = (shown.columns == [first, second]).all(axis=1)
        assert close(here.mean(), one * two)
        assert np.allclose(shown.propensities[here], [one, two])


@pytest.mark.parametrize("name", list(POLICIES))
def test_a_shelf_smaller_than_the_page_fills_its_first_places(name: str) -> None:
    policy = POLICIES.load(name).of(Settings())
    shown = policy.show(*pages(SCORES, 2), 4, np.random.default_rng(0))
    assert (np.sort(shown.columns[:, :2], axis=1) == [0, 1]).all()
    assert (shown.propensities[:, 2:] == 1).all()
    # whatever stands at the second place is known once the first is: the sum over both orders is 1
    first = [shown.propensities[shown.columns[:, 0] == column, 0][0] for column in (0, 1)]
    assert sum(first) == pytest.approx(1)


def test_position_model_clicks_with_examination_times_relevance() -> None:
    relevance = np.tile([0.5, 0.2, 0.9], (MANY, 1))
    seen = PositionBased(0.7).clicks(relevance, np.random.default_rng(1))
    for place, wanted in enumerate((0.5, 0.2, 0.9)):
        examination = (place + 1) ** -0.7
        assert np.allclose(seen.examination[:, place], examination)
        assert close(seen.examined[:, place].mean(), examination)
        assert close(seen.clicked[:, place].mean(), examination * wanted)


def test_cascade_examination_is_the_product_of_going_on() -> None:
    relevance = np.tile([0.5, 0.2, 0.9], (MANY, 1))
    seen = Cascade(0.9, 0.4).clicks(relevance, np.random.default_rng(1))
    second = 0.5 * 0.9 + 0.5 * 0.4
    third = second * (0.8 * 0.9 + 0.2 * 0.4)
    for place, (examination, wanted) in enumerate(((1.0, 0.5), (second, 0.2), (third, 0.9))):
        assert np.allclose(seen.examination[:, place], examination)
        assert close(seen.clicked[:, place].mean(), examination * wanted)


def test_a_cascade_that_stops_at_a_click_has_one_click_at_most() -> None:
    seen = Cascade(1.0, 0.0).clicks(np.full((1000, 6), 0.4), np.random.default_rng(2))
    assert seen.clicked.sum(axis=1).max() == 1


@pytest.mark.parametrize("name", list(CLICK_MODELS))
def test_nothing_is_clicked_that_was_not_examined(name: str) -> None:
    relevance = np.random.default_rng(0).random((500, 7))
    seen = CLICK_MODELS.load(name).of(Settings()).clicks(relevance, np.random.default_rng(1))
    assert not (seen.clicked & ~seen.examined).any()
    assert seen.clicked.any()


@pytest.mark.parametrize("name", list(POLICIES))
def test_no_product_stands_twice_and_the_same_draws_fill_the_same_pages(name: str) -> None:
    policy = POLICIES.load(name).of(Settings())
    scores = np.random.default_rng(5).normal(size=(300, 12)).astype(np.float32)
    before = scores.copy()
    one, two = (policy.show(scores, np.full(300, 12), 8, np.random.default_rng(6)) for _ in range(2))
    assert all(len(set(page)) == 8 for page in one.columns.tolist())
    assert np.array_equal(one.columns, two.columns)
    assert np.array_equal(one.propensities, two.propensities)
    assert ((one.propensities > 0) & (one.propensities <= 1)).all()
    assert np.array_equal(scores, before)


def test_there_are_policies_and_click_models_to_look_at() -> None:
    assert {"mixture", "plackett_luce"} <= set(POLICIES)
    assert {"position", "cascade"} <= set(CLICK_MODELS)
