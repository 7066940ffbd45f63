"""Few labels on data whose answer is known: rows that lie together belong together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from shoploom.data.arrays import F64
from shoploom.errors import DataError, UsageError
from shoploom.training.few_labels import Predict, consistency_train, consistent_targets, self_train


def neighbours(features: F64, targets: F64, *, weight: F64) -> Predict:
    """Shares of the classes near by; unsure of what is far from everything known."""

    def predict(rows: F64) -> F64:
        distance = ((rows[:, None] - features[None]) ** 2).sum(axis=2)
        near = weight * np.exp(-distance / (2 * 0.15**2))
        return (near @ targets + 0.01 / targets.shape[1]) / (near.sum(axis=1, keepdims=True) + 0.01)

    return predict


def moons(seed: int) -> tuple[F64, np.ndarray, F64, np.ndarray]:
    """Two moons with three labels each, and 400 rows without."""
    x, y = make_moons(406, noise=0.07, random_state=seed)
    known = np.concatenate([np.flatnonzero(y == one)[:3] for one in (0, 1)])
    rest = np.setdiff1d(np.arange(406), known)
    return x[known], y[known], x[rest], y[rest]


def test_self_training_walks_along_the_moons() -> None:
    before, after = [], []
    for seed in range(10):
        x, y, more, truth = moons(seed)
        alone = neighbours(x, np.eye(2)[y], weight=np.ones(len(y)))
        found = self_train(neighbours, x, y, more, num_classes=2, threshold=0.9, share=0.1, rounds=25)
        before.append((alone(more).argmax(axis=1) == truth).mean())
        after.append((found.predict(more).argmax(axis=1) == truth).mean())
        assert found.added[-1] > found.added[0] > 0
    assert np.mean(before) < 0.9
    assert np.mean(after) > 0.98


def test_labels_are_given_in_the_shares_that_are_known() -> None:
    x, y, more, _ = moons(0)
    found = self_train(neighbours, x, y, more, num_classes=2, threshold=0.6, share=0.1, rounds=1)
    assert np.bincount(found.labels[found.labels >= 0]).tolist() == [20, 20]  # a tenth of 400 rows, half each


def test_nothing_sure_changes_nothing() -> None:
    x, y, more, _ = moons(0)

    def unsure(features: F64, targets: F64, *, weight: F64) -> Predict:
        return lambda rows: np.full((len(rows), 2), 0.5)

    found = self_train(unsure, x, y, more, num_classes=2)
    assert found.added == (0,)
    assert (found.labels == -1).all()


def test_consistent_targets_by_hand() -> None:
    """Two copies say 0.6 and 0.8: 0.7 on average; sharpened at 1/2: 0.49 / (0.49 + 0.09)."""
    said = iter([np.array([[0.6, 0.4]]), np.array([[0.8, 0.2]])])
    found = consistent_targets(lambda rows: next(said), np.zeros((1, 1)), lambda x, draws: x, copies=2)
    np.testing.assert_allclose(found, [[0.49 / 0.58, 0.09 / 0.58]])


def network(features: F64, targets: F64, *, weight: F64) -> Predict:
    """A small network on soft targets."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2))
    x, t, w = (torch.tensor(one, dtype=torch.float32) for one in (features, targets, weight))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        loss = (w * torch.nn.functional.cross_entropy(net(x), t, reduction="none")).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def predict(rows: F64) -> F64:
        with torch.no_grad():
            return net(torch.tensor(rows, dtype=torch.float32)).softmax(dim=1).double().numpy()

    return predict


def test_consistency_moves_the_border_between_the_moons() -> None:
    before, after = [], []
    for seed in range(4):
        x, y, more, truth = moons(seed)
        alone = network(x, np.eye(2)[y], weight=np.ones(len(y)))
        found = consistency_train(
            network, x, y, more, lambda rows, draws: rows + 0.4 * draws.normal(size=rows.shape), num_classes=2, rounds=6
        )
        before.append((alone(more).argmax(axis=1) == truth).mean())
        after.append((found(more).argmax(axis=1) == truth).mean())
    assert np.mean(after) > np.mean(before) + 0.04


def test_wrong_use_is_named() -> None:
    x, y, more, _ = moons(0)
    with pytest.raises(DataError, match="no labelled row of class 2"):
        self_train(neighbours, x, y, more, num_classes=3)
    with pytest.raises(UsageError, match=r"threshold is 0\.3"):
        self_train(neighbours, x, y, more, num_classes=2, threshold=0.3)
