"""Calibration metrics against numbers worked by hand."""

import numpy as np
import pytest

from shoploom.metrics.calibration import expected_calibration_error, pcoc, reliability

LABELS = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.3, 0.6, 0.8])


def test_the_curve_has_a_point_per_bin():
    curve = reliability(LABELS, PROBABILITIES, bins=2)
    assert curve.predicted.tolist() == pytest.approx([0.2, 0.7])
    assert curve.observed.tolist() == [0.0, 1.0]
    assert curve.count.tolist() == [2, 2]


def test_equal_predictions_share_a_bin():
    curve = reliability(LABELS, np.full(4, 0.5), bins=4)
    assert curve.observed.tolist() == [0.5]
    assert curve.count.tolist() == [4]


def test_ece_weighs_the_distances_by_cases():
    assert expected_calibration_error(LABELS, PROBABILITIES, bins=2) == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)
    assert expected_calibration_error(np.array([0, 1]), np.array([0.5, 0.5])) == 0.0


def test_no_case_is_no_error():
    assert expected_calibration_error(np.zeros(0), np.zeros(0)) == 0.0


def test_pcoc_is_predicted_over_observed():
    assert pcoc(LABELS, PROBABILITIES) == pytest.approx(1.8 / 2)
    assert np.isnan(pcoc(np.zeros(2), np.ones(2)))
