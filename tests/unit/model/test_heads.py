from __future__ import annotations

import math

import pytest
import torch

from shoploom.features.candidates import NUM_STATIC
from shoploom.model.heads.classes import ClassesHead
from shoploom.model.heads.customer import AmountHead
from shoploom.model.heads.losses import biased_sum, pinball
from shoploom.model.heads.product import PriceHead
from shoploom.model.heads.ranking import CandidateBatch, HistoryAttention, RankingHead, sampled_softmax


def test_pinball_is_the_weighted_distance():
    loss = pinball(torch.tensor([4.0, 4.0]), torch.tensor([1.0, 9.0]), 0.9)
    assert loss.tolist() == pytest.approx([0.9 * 3, 0.1 * 5])


def test_forecasts_that_add_up_have_no_bias_loss():
    truth = torch.tensor([1.0, 3.0])
    assert float(biased_sum(torch.tensor([3.0, 1.0]), truth, torch.tensor(2.0))) == 0
    assert float(biased_sum(torch.tensor([2.0, 4.0]), truth, torch.tensor(2.0))) == pytest.approx(0.25)


def test_history_attention_adds_up_exponential_decays_per_slot():
    memory = HistoryAttention((10.0,))
    found = memory(torch.tensor([0.0, 10.0, 5.0]), torch.tensor([1, 1, 2]), 3)
    expected = [math.log(0.01 + sum_) - math.log(0.01) for sum_ in (0.0, 1 + math.exp(-1), math.exp(-0.5))]
    assert found[:, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_listwise_loss_is_the_mean_log_probability_of_the_positives():
    scores = torch.tensor([[1.0, 2.0, -torch.inf], [0.0, 0.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    expected = -math.log(math.e / (math.e + math.e**2))
    assert float(RankingHead.loss(scores, labels)) == pytest.approx(expected, rel=1e-5)


def test_a_query_without_a_positive_does_not_move_the_ranking():
    scores = torch.zeros(1, 3, requires_grad=True)
    RankingHead.loss(scores, torch.zeros(1, 3)).backward()
    assert scores.grad is not None
    assert not scores.grad.any()


def test_sampled_softmax_with_the_correction_ignores_how_often_a_negative_is_drawn():
    query, positive = torch.ones(1, 4), torch.ones(1, 4)
    negatives = torch.zeros(1, 4)
    nothing = torch.tensor([[False]])
    plain = sampled_softmax(query, positive, negatives, torch.zeros(1), torch.zeros(1), nothing)
    assert float(plain) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 1)), rel=1e-5)
    same = sampled_softmax(query, positive, positive, torch.zeros(1), torch.zeros(1), torch.tensor([[True]]))
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def candidates() -> CandidateBatch:
    valid = torch.tensor([[True, True, False]])
    return CandidateBatch(
        valid=valid,
        static=torch.randn(1, 3, NUM_STATIC),
        line_age=torch.tensor([1.0, 2.0]),
        item_slot=torch.tensor([1, 1]),
        group_slots=(torch.tensor([1, 1]),),
        candidate_slot=torch.tensor([[1, 0, 0]]),
        candidate_groups=(torch.tensor([[1, 0, 0]]),),
        num_slots=2,
        num_groups=(2,),
    )


def test_padding_never_gets_a_score():
    head = RankingHead(8, num_static=NUM_STATIC, num_groupings=1, hidden=8).eval()
    scores = head(torch.randn(1, 8), torch.randn(1, 8), torch.randn(1, 3, 8), candidates())
    assert torch.isfinite(scores[0, :2]).all()
    assert scores[0, 2] == -torch.inf


def test_unlabelled_rows_do_not_move_the_class_loss():
    head = ClassesHead(4, priors={"age": [0.5, 0.5]}, dropout=0.0)
    x = torch.randn(3, 4, requires_grad=True)
    head.loss(head(x), {"age": torch.tensor([0, -1, 1])}).backward()
    assert x.grad is not None
    assert not x.grad[1].any()
    assert x.grad[0].any()


def test_without_any_label_the_class_loss_is_zero():
    head = ClassesHead(4, priors={"age": [0.5, 0.5]})
    assert float(head.loss(head(torch.randn(2, 4)), {"age": torch.tensor([-1, -1])}).detach()) == 0


def test_prior_correction_is_logit_adjustment():
    head = ClassesHead(2, priors={"a": [0.9, 0.1]}, strength=1.0, dropout=0.0)
    logits = {"a": torch.tensor([[0.0, 0.0]])}
    assert float(head.loss(logits, {"a": torch.tensor([1])})) == pytest.approx(-math.log(0.1), rel=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_quantiles_are_in_order(seed):
    torch.manual_seed(seed)
    out = AmountHead(8, num_rates=4, days=28.0)(torch.randn(50, 8), torch.rand(50, 4))
    assert (out[:, 1] <= out[:, 0]).all()
    assert (out[:, 0] <= out[:, 2]).all()
    prices = PriceHead(8, centre=1.0)(torch.randn(50, 8))
    assert (prices[:, 1] <= prices[:, 0]).all()
    assert (prices[:, 0] <= prices[:, 2]).all()
