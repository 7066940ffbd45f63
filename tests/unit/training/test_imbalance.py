"""Weights, resampling and focal loss against formulas worked by hand, and a comparison on data with a known answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from shoploom.data.arrays import F64
from shoploom.errors import DataError, UsageError
from shoploom.training.imbalance import (
    METHODS,
    compare,
    corrected,
    effective_weights,
    focal_class_loss,
    focal_loss,
    inverse_weights,
    oversampled,
    prepare,
    undersampled,
)

CODES = np.array([0] * 95 + [1] * 5)


def test_effective_numbers_by_hand() -> None:
    weights = effective_weights(np.array([0, 0, 1]), num_classes=2, beta=0.5)
    raw = np.array([0.5 / (1 - 0.25), 0.5 / (1 - 0.5)])  # one over 1.5 and over 1
    np.testing.assert_allclose(weights, 2 * raw / raw.sum())
    near_one = effective_weights(CODES, num_classes=2, beta=1 - 1e-9)
    np.testing.assert_allclose(near_one, inverse_weights(CODES, num_classes=2), rtol=1e-5)
    with pytest.raises(UsageError, match=r"beta is 1\.0"):
        effective_weights(CODES, num_classes=2, beta=1.0)


def test_oversampling_keeps_every_row_and_repeats_evenly() -> None:
    rows = oversampled(CODES, share=0.5, seed=1)
    counts = np.bincount(rows, minlength=100)
    assert (counts[:95] == 1).all()
    assert counts[95:].sum() == round(0.5 * 95)
    assert counts[95:].max() - counts[95:].min() <= 1


def test_undersampling_keeps_the_small_class_and_repeats_nothing() -> None:
    rows = undersampled(CODES, share=0.25, seed=1)
    assert np.bincount(CODES[rows]).tolist() == [20, 5]
    assert len(set(rows.tolist())) == 25
    with pytest.raises(UsageError, match="share is 0"):
        undersampled(CODES, share=0.0)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_is_its_formula_for_both_classes(gamma: float) -> None:
    logits = torch.tensor([-3.0, 0.5, 2.0, -1.0], dtype=torch.float64)
    target = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    p = torch.sigmoid(logits)
    p_t, alpha_t = torch.where(target > 0, p, 1 - p), torch.where(target > 0, 0.25, 0.75)
    torch.testing.assert_close(
        focal_loss(logits, target, gamma=gamma, alpha=0.25), -alpha_t * (1 - p_t) ** gamma * p_t.log()
    )


def test_focal_loss_without_focus_is_cross_entropy_and_stays_finite() -> None:
    logits, target = torch.tensor([-200.0, 0.3, 200.0], requires_grad=True), torch.tensor([1.0, 0.0, 1.0])
    plain = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(focal_loss(logits, target, gamma=0.0), plain)
    focal_loss(logits, target, gamma=0.5).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_focal_loss_of_two_classes_equals_the_binary_one() -> None:
    logits, codes = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0, 1, 0])
    binary = focal_loss(logits[:, 1] - logits[:, 0], codes.float(), gamma=2.0)
    torch.testing.assert_close(focal_class_loss(logits, codes, gamma=2.0), binary)
    weighed = focal_class_loss(logits, codes, gamma=2.0, weight=torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(weighed, binary * torch.tensor([1.0, 3.0])[codes])


def test_corrected_probabilities_undo_resampling() -> None:
    """Bayes by hand: likelihood ratio 4; odds 4 among equals, 4/9 where one in ten is positive."""
    assert corrected(np.array([0.8]), trained=0.5, real=0.1)[0] == pytest.approx((4 / 9) / (1 + 4 / 9))
    assert corrected(np.array([0.3]), trained=0.2, real=0.2)[0] == pytest.approx(0.3)


def logistic(features: F64, labels: F64, *, weight: F64, gamma: float) -> Callable[[F64], F64]:
    """Logistic regression by L-BFGS, in float64."""
    x, y = torch.tensor(np.column_stack([features, np.ones(len(features))])), torch.tensor(labels)
    w, beta = torch.tensor(weight), torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([beta], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (w * focal_loss(x @ beta, y, gamma=gamma)).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    fitted = beta.detach().numpy()
    return lambda rows: 1 / (1 + np.exp(-(np.column_stack([rows, np.ones(len(rows))]) @ fitted)))


def rare(seed: int) -> tuple[F64, F64]:
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(4000, 2))
    return x, (draws.random(4000) < 1 / (1 + np.exp(4 - 1.5 * x[:, 0]))).astype(float)


def test_before_and_after_on_a_logistic_truth() -> None:
    """The model is right, so nothing can rank better; balancing buys recall and costs calibration until mended."""
    found = compare(logistic, rare(0), rare(1))
    assert list(found) == list(METHODS)
    before = found["none"]
    for method in ("class_weights", "oversampling", "undersampling"):
        after = found[method]
        assert after["auc"] == pytest.approx(before["auc"], abs=0.01)
        assert after["recall"] > before["recall"] + 0.3
        assert after["ece"] > 5 * before["ece"]
        assert after["ece_mended"] < 0.02
        assert after["log_loss_mended"] == pytest.approx(before["log_loss"], rel=0.05)


def test_a_method_shows_the_share_that_it_trains_on() -> None:
    assert prepare("none", CODES).shown == pytest.approx(0.05)
    assert prepare("class_weights", CODES).shown == pytest.approx(0.5)
    assert prepare("oversampling", CODES).shown == pytest.approx(0.5)
    assert prepare("focal", CODES).gamma == 2.0


def test_wrong_use_is_named() -> None:
    with pytest.raises(UsageError, match="Did you mean 'oversampling'"):
        prepare("oversamplin", CODES)
    with pytest.raises(DataError, match="all 3 labels are alike"):
        prepare("none", np.ones(3))
