"""Objectives, bodies and biases of the funnel against formulas worked by hand and slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from shoploom.errors import DataError
from shoploom.model.funnel import BODIES, OBJECTIVES
from shoploom.model.funnel.aitm import Transfer, calibrator_loss
from shoploom.model.funnel.bodies import CrossLayer, second_order
from shoploom.model.funnel.chain import Observed, log_loss, log_reached
from shoploom.model.funnel.delay import Delay, delay_loss, fit_delay
from shoploom.model.funnel.escm2 import dr_risk, ips_risk
from shoploom.model.funnel.esmm import esmm_loss
from shoploom.model.funnel.network import FunnelNet
from shoploom.model.funnel.position import Examination, ips_rate, position_em, theta_by_propensity


def seen(reached: list[list[float]]) -> Observed:
    table = torch.tensor(reached)
    return Observed(table, torch.zeros_like(table))


def test_there_are_objectives_and_bodies() -> None:
    assert len(OBJECTIVES) == 4
    assert len(BODIES) == 4


def test_conversion_is_click_times_conversion_after_click() -> None:
    z = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64)
    click, cart, purchase = (1 / (1 + math.exp(-one)) for one in z[0].tolist())
    expected = [click, click * cart, click * cart * purchase]
    assert torch.allclose(log_reached(z).exp()[0], torch.tensor(expected, dtype=torch.float64), atol=1e-15)


def test_esmm_loses_over_the_entire_space() -> None:
    log_p = torch.log(torch.tensor([[0.4, 0.1], [0.4, 0.1], [0.4, 0.1]], dtype=torch.float64))
    outcome = Observed(torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), torch.zeros(3, 2))
    clicks = -(2 * math.log(0.4) + math.log(0.6))
    carts = -(math.log(0.1) + 2 * math.log(0.9))
    assert float(esmm_loss(log_p, outcome)) == pytest.approx((clicks + carts) / 3, abs=1e-9)


def test_what_cannot_be_seen_is_no_evidence_against() -> None:
    # a tenth of the positions is looked at: p(seen) = 0.1 * 0.5
    log_p = torch.log(torch.tensor([[0.5]]))
    outcome = Observed(torch.zeros(1, 1), torch.log(torch.tensor([[0.1]])))
    assert float(esmm_loss(log_p, outcome)) == pytest.approx(-math.log(1 - 0.05), abs=1e-6)


def test_log_loss_stays_finite_at_both_ends() -> None:
    log_p = torch.tensor([0.0, -200.0], requires_grad=True)
    loss = log_loss(log_p, torch.tensor([0.0, 1.0]))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss).all()
    assert torch.isfinite(log_p.grad).all()  # type: ignore[arg-type]


def test_inverse_propensity_risk_is_the_mean_loss_if_everybody_went_on() -> None:
    rng = np.random.default_rng(0)
    loss = rng.uniform(0.1, 2.0, 400_000)
    chance = rng.uniform(0.1, 0.9, 400_000)
    went = rng.random(400_000) < chance
    as_seen = [torch.from_numpy(np.asarray(one, dtype=float)[:, None]) for one in (loss, went, chance)]
    assert float(ips_risk(*as_seen)) == pytest.approx(loss.mean(), rel=0.01)
    assert float((went * loss).sum() / went.sum()) == pytest.approx(loss.mean(), rel=0.02)


def test_inverse_propensity_risk_by_hand() -> None:
    one = ips_risk(torch.tensor([[0.6], [2.0]]), torch.tensor([[1.0], [0.0]]), torch.tensor([[0.25], [0.5]]))
    assert float(one) == pytest.approx(0.6 / 0.25 / 2)


@pytest.mark.parametrize(("imputed_right", "chance_right"), [(True, False), (False, True)])
def test_the_doubly_robust_risk_forgives_one_of_two_errors(imputed_right: bool, chance_right: bool) -> None:
    rng = np.random.default_rng(1)
    loss, chance = rng.uniform(0.1, 2.0, 400_000), rng.uniform(0.2, 0.9, 400_000)
    loss = loss * (2 - chance)  # those who are less likely to go on lose more: the plain mean is wrong
    went = rng.random(400_000) < chance
    imputed = loss if imputed_right else np.full_like(loss, 0.3)
    used = chance if chance_right else np.full_like(chance, 0.5)
    table = [torch.from_numpy(np.asarray(one, dtype=float)[:, None]) for one in (loss, imputed, went, used)]
    assert float(dr_risk(*table)) == pytest.approx(loss.mean(), rel=0.01)
    assert abs(float(loss[went].mean()) - loss.mean()) > 0.03 * loss.mean()


def test_the_calibrator_punishes_only_a_later_stage_above_the_earlier() -> None:
    p = torch.tensor([[0.2, 0.5, 0.4], [0.5, 0.2, 0.3]])
    assert float(calibrator_loss(p)) == pytest.approx((0.3 + 0.0 + 0.0 + 0.1) / 2)


def test_transfer_is_a_softmax_over_two() -> None:
    torch.manual_seed(0)
    transfer = Transfer(3)
    passed, own = torch.randn(2, 3), torch.randn(2, 3)
    for row in range(2):
        scores, values = [], []
        for one in (passed[row], own[row]):
            scores.append((transfer.key(one) @ transfer.query(one)).item() / math.sqrt(3))
            values.append(transfer.value(one))
        odds = [math.exp(one) for one in scores]
        expected = (odds[0] * values[0] + odds[1] * values[1]) / sum(odds)
        assert torch.allclose(transfer(passed, own)[row], expected, atol=1e-6)


def test_second_order_is_the_sum_over_pairs() -> None:
    torch.manual_seed(1)
    fields, numbers, weight = torch.randn(1, 2, 3), torch.tensor([[2.0]]), torch.randn(1, 3)
    a, b, c = fields[0, 0], fields[0, 1], 2.0 * weight[0]
    assert torch.allclose(second_order(fields, numbers, weight)[0], a * b + a * c + b * c, atol=1e-6)


def test_a_cross_layer_by_hand() -> None:
    layer = CrossLayer(2)
    with torch.no_grad():
        layer.outer.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        layer.outer.bias.copy_(torch.tensor([0.5, 0.0]))
    # W x + b = (1*3 + 2*4 + 0.5, 4) = (11.5, 4); x0 * that + x = (1*11.5 + 3, 2*4 + 4)
    assert layer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])).tolist() == [[14.5, 12.0]]
    assert CrossLayer(8, rank=2).outer.weight.shape == (8, 2)


@pytest.mark.parametrize("body", list(BODIES))
@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_network_is_coherent_and_starts_at_the_rates(body: str, objective: str) -> None:
    torch.manual_seed(2)
    net = FunnelNet((5, 7), 3, 3, 4, body=body, objective=objective, embedding=4, hidden=8)
    codes, numbers = torch.randint(0, 5, (64, 2)), torch.randn(64, 3)
    log_p = net(codes, numbers)
    assert log_p.shape == (64, 3)
    assert bool((log_p[:, 1:] <= log_p[:, :-1]).all())
    assert bool((log_p <= 0).all())
    net.start(torch.tensor([0.2, 0.05, 0.01]))
    started = net(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 3)).exp()[0].detach()
    assert 0.1 < float(started[0]) < 0.4


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_objective_learns_who_goes_how_far(objective: str) -> None:
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    truth = np.array([[0.5, 0.1], [0.3, 0.25]])
    code = rng.integers(0, 2, 8000)
    draw = rng.random(8000)
    reached = torch.from_numpy((draw[:, None] < truth[code]).astype(np.float32))
    net = FunnelNet((2,), 0, 2, 1, objective=objective, embedding=4, hidden=32)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    codes, nothing = torch.from_numpy(code)[:, None], torch.zeros(8000, 0)
    for _ in range(150):
        optimiser.zero_grad()
        net.loss(codes, nothing, torch.full((8000,), -1), reached).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = net(torch.tensor([[0], [1]]), torch.zeros(2, 0)).exp().detach().numpy()
    empirical = np.array([reached.numpy()[code == one].mean(axis=0) for one in (0, 1)])
    assert np.abs(found - empirical).max() < 0.02


def test_examination_is_one_at_the_first_place_and_where_it_is_unknown() -> None:
    look = Examination(3)
    assert look(torch.tensor([0, -1])).tolist() == [0.0, 0.0]
    assert look(torch.tensor([1])).tolist() == pytest.approx([-math.log1p(math.exp(-1.0))])
    assert look(torch.tensor([9])).tolist() == look(torch.tensor([2])).tolist()


def shown_by_a_good_ranker(n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    gamma, theta = rng.uniform(0.05, 0.5, 40), np.array([1.0, 0.6, 0.4, 0.25])
    item = rng.integers(0, 40, n)
    place = np.clip(np.round(3 * (1 - (gamma[item] - 0.05) / 0.45) + rng.normal(0, 0.9, n)), 0, 3).astype(int)
    return gamma, theta, item, place, rng.random(n) < theta[place] * gamma[item]


def test_em_finds_examination_and_relevance_where_the_naive_rate_fails() -> None:
    gamma, theta, item, place, clicked = shown_by_a_good_ranker(300_000, np.random.default_rng(4))
    found = position_em(item, place, clicked, num_groups=40)
    assert np.abs(found.theta - theta).max() < 0.02
    assert np.corrcoef(found.gamma, gamma)[0, 1] > 0.99
    naive = np.bincount(item, clicked, 40) / np.bincount(item, minlength=40)
    assert np.abs(naive - gamma).mean() > 3 * np.abs(found.gamma - gamma).mean()


def test_em_ends_where_the_likelihood_is_flat() -> None:
    gamma, _, item, place, clicked = shown_by_a_good_ranker(20_000, np.random.default_rng(5))
    del gamma
    found = position_em(item, place, clicked, num_groups=40, prior=0.0, most_rounds=20_000, enough=1e-10)
    p = found.theta[place] * found.gamma[item]
    # d log L / d log theta_k = sum over the position of (c - p) / (1 - p)
    slope = np.bincount(place, (clicked - p) / (1 - p), 4)
    assert np.abs(slope[1:]).max() / len(item) < 1e-6


def test_propensities_give_examination_though_relevance_is_personal() -> None:
    rng = np.random.default_rng(7)
    n, theta = 400_000, np.array([1.0, 0.6, 0.3])
    liked = rng.random(n) < 0.3  # by this customer, whatever the item
    chance = np.where(liked[:, None], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5])  # of each place: what is liked comes first
    place = (rng.random(n)[:, None] > np.cumsum(chance, axis=1)).sum(axis=1)
    clicked = rng.random(n) < theta[place] * np.where(liked, 0.5, 0.1)
    item = rng.integers(0, 20, n)
    by_log = theta_by_propensity(place, clicked, chance[np.arange(n), place])
    assert np.abs(by_log - theta).max() < 0.02
    assert np.abs(position_em(item, place, clicked, num_groups=20).theta - theta).max() > 0.1


def test_propensities_of_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="must be above 0, the smallest is 0"):
        theta_by_propensity(np.array([0, 1]), np.array([1, 0]), np.array([0.5, 0.0]))
    with pytest.raises(DataError, match="first position has no click"):
        theta_by_propensity(np.array([0, 1]), np.array([0, 1]), np.array([0.5, 0.5]))


def test_em_refuses_what_cannot_be_told_apart() -> None:
    with pytest.raises(DataError, match="no item was shown at two positions"):
        position_em(np.array([0, 1]), np.array([0, 1]), np.array([1, 0]), num_groups=2)


def test_rates_by_inverse_propensity_by_hand() -> None:
    rate = ips_rate(np.array([0, 0, 1]), np.array([1, 0, 1]), np.array([0.5, 1.0, 0.8]), num_groups=3)
    assert rate.tolist() == pytest.approx([1 / 0.5 / 2, 1 / 0.8, (2.0 + 1.25) / 3])


def test_the_delay_likelihood_by_hand() -> None:
    p, rate, waited = 0.3, 0.5, 2.0
    logit, log_rate = torch.tensor([math.log(p / (1 - p))] * 2), torch.tensor([math.log(rate)] * 2)
    loss = delay_loss(logit, log_rate, torch.tensor([1.0, 0.0]), torch.tensor([waited, waited]))
    seen_late = -math.log(p * rate * math.exp(-rate * waited))
    not_yet = -math.log(1 - p + p * math.exp(-rate * waited))
    assert loss.tolist() == pytest.approx([seen_late, not_yet], rel=1e-5)


def test_the_network_sees_the_same_likelihood_through_maturity() -> None:
    p, rate, waited = 0.3, 0.5, 2.0
    maturity = float(Delay(rate).maturity(np.array([waited]))[0])
    outcome = Observed(torch.zeros(1, 1), torch.log(torch.tensor([[maturity]])))
    not_yet = -math.log(1 - p + p * math.exp(-rate * waited))
    assert float(esmm_loss(torch.log(torch.tensor([[p]])), outcome)) == pytest.approx(not_yet, rel=1e-5)


def test_the_rate_of_delays_is_found_though_long_ones_are_not_yet_seen() -> None:
    rng = np.random.default_rng(6)
    elapsed, delay = rng.uniform(0, 6, 60_000), rng.exponential(4.0, 60_000)
    known = delay <= elapsed
    found = fit_delay(delay[known], elapsed[known])
    assert 1 / found.rate == pytest.approx(4.0, rel=0.06)
    assert delay[known].mean() < 2.0  # what the eye sees


def test_a_delay_cannot_be_longer_than_the_time_elapsed() -> None:
    with pytest.raises(DataError, match="1 delays are negative or longer"):
        fit_delay(np.array([3.0]), np.array([2.0]))
    with pytest.raises(DataError, match="no conversion has been seen"):
        fit_delay(np.zeros(0), np.zeros(0))
