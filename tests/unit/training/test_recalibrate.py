"""Calibrators against hand-worked cases, and on probabilities that are wrong in a known way."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.errors import DataError
from shoploom.metrics.calibration import by_segment, expected_calibration_error
from shoploom.training.recalibrate import (
    CALIBRATORS,
    BySegment,
    ChainCalibration,
    Isotonic,
    Online,
    Platt,
    Temperature,
    pooled,
)


def wrong_in_a_known_way(n: int, slope: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Claimed probabilities, and labels whose logit is ``slope * logit + shift``."""
    rng = np.random.default_rng(0)
    logit = rng.normal(-2.0, 1.0, n)
    true = 1 / (1 + np.exp(-(slope * logit + shift)))
    return 1 / (1 + np.exp(-logit)), (rng.random(n) < true).astype(float)


def test_there_are_calibrators() -> None:
    assert len(CALIBRATORS) == 4


def test_isotonic_by_hand() -> None:
    curve = Isotonic().fit(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))
    assert curve.outputs.tolist() == [0.0, 0.5, 1.0]
    assert curve.inputs.tolist() == pytest.approx([0.1, 0.25, 0.4])
    assert curve(np.array([0.0, 0.25, 0.325, 0.9])).tolist() == pytest.approx([0.0, 0.5, 0.75, 1.0])


def test_isotonic_is_the_best_rising_curve() -> None:
    rng = np.random.default_rng(1)
    mean, weight = rng.random(8), rng.integers(1, 5, 8).astype(float)
    block = pooled(mean, weight)
    fitted = (np.bincount(block, weight * mean) / np.bincount(block, weight))[block]

    # the min-max formula of isotonic regression
    def average(low: int, high: int) -> float:
        return float(np.average(mean[low : high + 1], weights=weight[low : high + 1]))

    expected = [max(min(average(low, high) for high in range(at, 8)) for low in range(at + 1)) for at in range(8)]
    assert fitted.tolist() == pytest.approx(expected)


def test_platt_finds_slope_and_shift() -> None:
    claimed, labels = wrong_in_a_known_way(200_000, 0.6, -0.7)
    curve = Platt().fit(claimed, labels)
    assert (curve.slope, curve.shift) == pytest.approx((0.6, -0.7), abs=0.04)


def test_temperature_finds_the_temperature() -> None:
    claimed, labels = wrong_in_a_known_way(200_000, 0.5, 0.0)
    assert Temperature().fit(claimed, labels).temperature == pytest.approx(2.0, rel=0.03)


def test_online_follows_a_change_that_a_fixed_curve_misses() -> None:
    claimed, labels = wrong_in_a_known_way(100_000, 1.0, 0.0)
    later, outcome = wrong_in_a_known_way(100_000, 1.0, -1.0)
    fixed, running = Platt().fit(claimed, labels), Online(keep=0.9).fit(claimed, labels)
    running.fit(later, outcome)
    assert running.weights.tolist() == pytest.approx([1.0, -1.0], abs=0.1)
    assert expected_calibration_error(outcome, running(later)) < 0.2 * expected_calibration_error(outcome, fixed(later))


@pytest.mark.parametrize("kind", list(CALIBRATORS))
def test_every_calibrator_mends_and_survives_storage(kind: str) -> None:
    claimed, labels = wrong_in_a_known_way(60_000, 0.7, 0.0)
    curve = CALIBRATORS.load(kind)().fit(claimed[:40_000], labels[:40_000])
    better = curve(claimed[40_000:])
    before = expected_calibration_error(labels[40_000:], claimed[40_000:])
    assert expected_calibration_error(labels[40_000:], better) < before / 3
    again = CALIBRATORS.load(kind).from_arrays(curve.arrays())
    assert np.array_equal(again(claimed), curve(claimed))


def test_a_segment_of_its_own_is_mended_of_its_own() -> None:
    high, high_labels = wrong_in_a_known_way(20_000, 1.0, 1.0)
    low, low_labels = wrong_in_a_known_way(20_000, 1.0, -1.0)
    claimed, labels = np.concatenate([high, low]), np.concatenate([high_labels, low_labels])
    segment = np.repeat([0, 1], 20_000)
    curve = BySegment("platt").fit(claimed, labels, segment)
    rows = by_segment(labels, curve(claimed, segment), segment, ["high", "low"])
    assert [one.segment for one in rows] == ["all", "high", "low"]
    assert max(one.ece for one in rows) < 0.01
    assert all(abs(one.pcoc - 1) < 0.01 for one in rows)
    common = by_segment(labels, Platt().fit(claimed, labels)(claimed), segment, ["high", "low"])
    assert common[0].ece < 0.01 < min(one.ece for one in common[1:])


def test_a_segment_with_few_cases_takes_the_common_curve() -> None:
    claimed, labels = wrong_in_a_known_way(5000, 0.5, 0.0)
    segment = (np.arange(5000) < 20).astype(int)
    curve = BySegment("platt", least=50).fit(claimed, labels, segment)
    assert list(curve.own) == [0]
    assert np.array_equal(curve(claimed, segment)[:20], curve.common(claimed)[:20])


def test_the_chain_stays_coherent_and_survives_storage() -> None:
    claimed, labels = wrong_in_a_known_way(20_000, 0.5, 0.0)
    chain = np.column_stack([claimed, claimed * 0.9])
    reached = np.column_stack([labels, labels * (np.arange(20_000) % 10 > 0)])
    segment = np.arange(20_000) % 2
    curve = ChainCalibration.fit(chain, reached, segment, kind="isotonic")
    found = curve(chain, segment)
    assert (found[:, 1] <= found[:, 0]).all()
    again = ChainCalibration.from_state(*curve.state())
    assert np.array_equal(again(chain, segment), found)


def test_calibration_needs_outcomes() -> None:
    with pytest.raises(DataError, match="3 probabilities and 0 outcomes"):
        Platt().fit(np.full(3, 0.5), np.zeros(0))


def test_calibration_by_segment_by_hand() -> None:
    rows = by_segment(np.array([1, 0, 0, 0]), np.array([0.5, 0.5, 0.1, 0.1]), np.array([0, 0, 1, 1]), ["a", "b", "c"])
    assert [(one.segment, one.cases) for one in rows] == [("all", 4), ("a", 2), ("b", 2)]
    assert rows[1].ece == 0.0
    assert rows[2].ece == pytest.approx(0.1)
    assert np.isnan(rows[2].pcoc)
    assert rows[0].pcoc == pytest.approx(1.2)
    assert rows[2].to_dict()["pcoc"] is None
