"""Logistic regression in strips: gaps, scale, and agreement with a solver that is known to be right."""

import numpy as np
import pytest

from shoploom.features import binary_regression
from shoploom.features.binary_regression import BinaryRegression, Columns


def rows(count=4000, seed=0):
    draws = np.random.default_rng(seed)
    features = np.column_stack([np.exp(draws.standard_normal((count, 2))), draws.random(count), np.full(count, 3.0)])
    features = np.column_stack([features, np.full(count, np.nan)]).astype(np.float32)
    features[draws.random(count) < 0.4, 1] = np.nan
    logits = 2 * np.log(features[:, 0]) - 1 + np.where(np.isnan(features[:, 1]), 2.0, 0.0)
    return features, (draws.random(count) < 1 / (1 + np.exp(-logits))).astype(np.int8)


def test_columns_are_standardised_logs_with_gaps_told():
    features = np.array([[0.0, np.nan, 7.0], [np.e**2 - 1, 1.0, 7.0]], dtype=np.float32)
    columns = Columns.fit(features)
    assert columns.kept.tolist() == [True, False, False]
    assert columns.gaps.tolist() == [False, True, False]
    np.testing.assert_allclose(columns(features), [[-1, 1, 1], [1, 0, 1]], atol=1e-5)


def test_negative_values_keep_their_sign_and_far_ones_are_clipped():
    columns = Columns.fit(np.array([[-1.0], [1.0]], dtype=np.float32))
    far = columns(np.array([[-1e30], [1e30], [np.nan]], dtype=np.float32))
    assert far[:, 0].tolist() == [-5, 5, 0]


def test_it_finds_the_same_minimum_as_another_solver(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(binary_regression, "STRIP", 700)
    features, labels = rows()
    penalty = 0.01
    model = BinaryRegression.fit(features, labels, penalty=penalty)
    other = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=2000, tol=1e-8)
    other.fit(model.columns(features)[:, :-1], labels)
    np.testing.assert_allclose(model.weights[:-1], other.coef_[0], atol=5e-3)
    assert model.weights[-1] == pytest.approx(float(other.intercept_[0]), abs=5e-3)


def test_probabilities_are_calibrated_and_come_back_from_storage():
    features, labels = rows()
    model = BinaryRegression.fit(features, labels, penalty=1e-4)
    found = model(features)
    assert found.mean() == pytest.approx(labels.mean(), abs=1e-3)
    again = BinaryRegression.from_arrays(model.arrays())
    np.testing.assert_array_equal(again(features), found)
    assert model(features[:0]).shape == (0,)


def test_classes_that_can_be_separated_do_not_run_away():
    features = np.linspace(0.0, 50.0, 400, dtype=np.float32)[:, None]
    labels = (features[:, 0] > 20).astype(np.int8)
    model = BinaryRegression.fit(features, labels, penalty=1e-4)
    assert np.isfinite(model.weights).all()
    assert ((model(features) > 0.5) == (labels > 0)).mean() > 0.98
