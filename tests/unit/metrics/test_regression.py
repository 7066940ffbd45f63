from __future__ import annotations

import numpy as np
import pytest

from shoploom.metrics import regression

TRUTH = np.array([10.0, 0.0, 5.0])
GUESS = np.array([8.0, 1.0, 9.0])


def test_wape_and_bias_divide_sums() -> None:
    assert regression.wape(TRUTH, GUESS) == pytest.approx((2 + 1 + 4) / 15)
    assert regression.bias(TRUTH, GUESS) == pytest.approx((-2 + 1 + 4) / 15)
    assert np.isnan(regression.wape(np.zeros(2), np.ones(2)))


def test_weights_count_rows() -> None:
    weights = np.array([2.0, 0.0, 1.0])
    assert regression.wape(TRUTH, GUESS, weights) == pytest.approx((2 * 2 + 4) / 25)
    repeated = np.array([0, 0, 2])
    assert regression.bias(TRUTH, GUESS, weights) == regression.bias(TRUTH[repeated], GUESS[repeated])


def test_mape_is_a_mean_and_mdape_a_median() -> None:
    truth, guess = np.array([2.0, 4.0, 1.0]), np.array([3.0, 4.0, 4.0])
    assert regression.mape(truth, guess) == pytest.approx((0.5 + 0 + 3) / 3)
    assert regression.mdape(truth, guess) == 0.5


def test_scaled_errors_leave_out_rows_without_a_scale() -> None:
    scale = np.array([2.0, np.nan, 0.5])
    assert regression.mase(TRUTH, GUESS, scale) == pytest.approx((2 / 2 + 4 / 0.5) / 2)
    assert regression.rmsse(TRUTH, GUESS, scale) == pytest.approx(np.sqrt((1**2 + 8**2) / 2))
    assert regression.mase(TRUTH, GUESS, np.array([2.0, 0.0, 0.5])) == pytest.approx((1 + 8) / 2)


def test_pinball_punishes_the_rare_side_more() -> None:
    assert regression.pinball(np.array([10.0, 10.0]), np.array([0.0, 20.0]), 0.9).tolist() == pytest.approx([9.0, 1.0])


def test_coverage_counts_both_ends() -> None:
    low, high = np.array([10.0, 1.0, 0.0]), np.array([12.0, 2.0, 5.0])
    assert regression.coverage(TRUTH, low, high) == pytest.approx(2 / 3)


def test_r2_log_is_one_for_the_truth_and_zero_for_the_geometric_mean() -> None:
    truth = np.array([1.0, 10.0, 100.0])
    assert regression.r2_log(truth, truth) == 1
    assert regression.r2_log(truth, np.full(3, 10.0)) == pytest.approx(0)
    assert np.isnan(regression.r2_log(np.ones(3), truth))


def test_spearman_shares_ranks_of_ties() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    found = regression.spearman(np.array([1.0, 5.0, 5.0, 9.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert np.isnan(regression.spearman(np.ones(3), GUESS))


def test_spearman_with_weights_equals_repeated_rows() -> None:
    weights, rows = np.array([3.0, 1.0, 2.0]), np.array([0, 0, 0, 1, 2, 2])
    assert regression.spearman(TRUTH, GUESS, weights) == pytest.approx(regression.spearman(TRUTH[rows], GUESS[rows]))


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1], [2, 0, 1, 1, 0], [1, 3, 0, 0, 2]])
def test_weighted_median_equals_the_median_of_repeated_values(weights: list[int]) -> None:
    values = np.array([4.0, 1.0, 3.0, 8.0, 2.0])
    found = regression.weighted_median(values, np.array(weights, dtype=float))
    assert found == np.median(np.repeat(values, weights))
