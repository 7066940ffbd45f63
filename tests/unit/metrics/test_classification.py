"""Classification metrics against numbers worked by hand."""

import numpy as np
import pytest

from shoploom.metrics import classification as c

LABELS = np.array([1, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.1])


def test_auc_is_the_share_of_pairs_in_order():
    assert c.auc(LABELS, SCORES) == 0.75  # of four pairs only (0.7, 0.8) is out of order


def test_ties_count_one_half_and_a_constant_is_chance():
    assert c.auc(np.array([1, 0]), np.array([0.5, 0.5])) == 0.5
    assert c.auc(LABELS, np.full(4, 0.3)) == 0.5


def test_auc_of_one_class_is_undefined():
    assert np.isnan(c.auc(np.ones(3), np.arange(3.0)))
    assert np.isnan(c.auc(np.zeros(0), np.zeros(0)))


def test_weights_act_like_repeated_rows():
    weights = np.array([1.0, 2.0, 3.0, 1.0])
    rows = np.repeat(np.arange(4), weights.astype(int))
    ranked = c.RankedLabels(LABELS, SCORES)
    assert ranked.auc(weights) == pytest.approx(c.auc(LABELS[rows], SCORES[rows]))
    assert ranked.average_precision(weights) == pytest.approx(c.average_precision(LABELS[rows], SCORES[rows]))


def test_average_precision_adds_precision_at_each_positive():
    assert c.average_precision(LABELS, SCORES) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert c.average_precision(np.array([1, 0, 0, 0]), np.zeros(4)) == 0.25
    assert np.isnan(c.average_precision(np.zeros(2), np.zeros(2)))


def test_brier_and_log_loss_per_case():
    assert c.brier(np.array([1, 0]), np.array([0.75, 0.5])).tolist() == [0.0625, 0.25]
    assert c.log_loss(np.array([1, 0]), np.array([0.5, 0.75])).tolist() == pytest.approx([np.log(2), np.log(4)])


def test_a_certain_mistake_costs_a_lot_but_not_infinity():
    assert c.log_loss(np.array([1]), np.array([0.0]))[0] == pytest.approx(-np.log(1e-6))


def test_class_log_loss_reads_the_true_column():
    loss = c.class_log_loss(np.array([1, 0]), np.array([[0.75, 0.25], [1.0, 0.0]]))
    assert loss.tolist() == pytest.approx([np.log(4), 0.0])


def test_macro_f1_averages_classes_that_occur():
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # class 0: TP 1, FP 0, FN 1 -> 2/3; class 1: TP 2, FP 1, FN 0 -> 4/5; class 2 does not occur
    assert c.macro_f1(truth, guess, 3)(np.ones(4)) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_a_class_that_is_only_predicted_counts_as_zero():
    assert c.macro_f1(np.array([0, 0]), np.array([0, 2]), 3)(np.ones(2)) == pytest.approx((2 / 3 + 0) / 2)
