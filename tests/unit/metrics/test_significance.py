from __future__ import annotations

import numpy as np
import pytest

from shoploom.metrics.significance import bootstrap, holm, paired
from shoploom.metrics.statistics import means
from shoploom.tasks.base import Measured


def measured(values: list[float] | np.ndarray) -> Measured:
    return Measured(means({"score": np.asarray(values, dtype=float)}), len(values))


def test_the_interval_of_a_mean_is_near_two_standard_errors() -> None:
    values = np.random.default_rng(1).normal(5, 2, 1000)
    found = bootstrap(measured(values))["score"]
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * 2 / np.sqrt(1000), abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * 2 / np.sqrt(1000), abs=0.03)


def test_two_calls_agree_to_the_last_digit() -> None:
    assert bootstrap(measured([1, 2, 4, 8])) == bootstrap(measured([1, 2, 4, 8]))


def test_a_constant_shift_is_certain_although_the_values_scatter() -> None:
    values = np.random.default_rng(1).normal(0, 10, 50)
    found = paired(measured(values + 0.5), measured(values))["score"]
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.p_value == pytest.approx(2 / 301)


def test_equal_predictions_do_not_differ() -> None:
    found = paired(measured([1, 2, 3]), measured([1, 2, 3]))["score"]
    assert (found.low, found.value, found.high, found.p_value) == (0, 0, 0, 1)


def test_only_shared_metrics_are_compared() -> None:
    other = Measured(means({"other": np.ones(3)}), 3)
    assert paired(measured([1, 2, 3]), other) == {}


def test_raises_when_the_units_differ() -> None:
    with pytest.raises(ValueError, match="3 and of 2 units"):
        paired(measured([1, 2, 3]), measured([1, 2]))


def test_undefined_numbers_become_none_in_json() -> None:
    assert bootstrap(measured([np.nan]))["score"].to_dict() == {"value": None, "low": None, "high": None}


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    # sorted 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 -> 0.02, 0.03, 0.06, max(0.06, 0.04)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
