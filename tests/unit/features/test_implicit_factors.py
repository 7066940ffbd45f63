"""Least squares in batches, beside the textbook's equation row by row."""

import numpy as np
import pytest
import scipy.sparse as sp

from shoploom.features import implicit_factors
from shoploom.features.implicit_factors import FixedSide, factorise

PENALTY = 0.5


def one_by_one(factors, weights):
    """Hu et al., Eq. (4): x = (Y'CY + penalty I)^-1 Y'C p."""
    found = []
    for row in weights.toarray():
        confidence = np.diag(1.0 + row)
        left = factors.T @ confidence @ factors + PENALTY * np.eye(factors.shape[1])
        found.append(np.linalg.solve(left, factors.T @ confidence @ (row > 0)))
    return np.array(found)


@pytest.mark.parametrize("batch", [40, implicit_factors.BATCH_NUMBERS])
def test_every_row_is_solved_exactly_whatever_its_length(monkeypatch, batch):
    monkeypatch.setattr(implicit_factors, "BATCH_NUMBERS", batch)
    draws = np.random.default_rng(0)
    factors = draws.standard_normal((60, 6)).astype(np.float32)
    dense = draws.random((30, 60)) * (draws.random((30, 60)) < np.linspace(0, 1, 30)[:, None])
    weights = sp.csr_matrix(4 * dense)
    sizes = np.diff(weights.indptr)
    assert sizes.min() == 0
    assert ((sizes > 0) & (sizes <= 6)).any()
    assert sizes.max() > 40
    found = FixedSide.of(factors, PENALTY).solve(weights)
    np.testing.assert_allclose(found, one_by_one(factors.astype(np.float64), weights), rtol=2e-3, atol=2e-4)


def test_no_rows_have_no_factors():
    side = FixedSide.of(np.ones((4, 2), dtype=np.float32), PENALTY)
    assert side.solve(sp.csr_matrix((0, 4))).shape == (0, 2)
    nothing = FixedSide.of(np.zeros((0, 2), dtype=np.float32), PENALTY)
    assert nothing.solve(sp.csr_matrix((3, 0))).tolist() == [[0, 0]] * 3


def test_two_tastes_are_told_apart():
    tastes = np.kron(np.eye(2), np.ones((6, 5)))
    tastes[0, 0] = tastes[7, 9] = 0.0
    columns = factorise(sp.csr_matrix(5 * tastes), rank=3, penalty=0.1, rounds=8, seed=0)
    rows = FixedSide.of(columns, 0.1).solve(sp.csr_matrix(5 * tastes))
    scores = rows @ columns.T
    assert scores[0, 0] > 0.3 > 0.1 > scores[0, 5:].max()
    assert scores[7, 9] > 0.3 > 0.1 > scores[7, :5].max()
