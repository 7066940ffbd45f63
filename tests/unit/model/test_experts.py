"""Batched experts and sharing schemes against slow references: one small network after the other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from shoploom.model import experts
from shoploom.model.experts import Experts, balance, mix, mix_all, run_experts, run_groups, usage
from shoploom.model.sharing.base import of_task
from shoploom.model.sharing.mmoe import MMoE
from shoploom.model.sharing.ple import PLE
from shoploom.model.sharing.stem import STEM

DIM, HIDDEN = 6, 5


def slow(group, expert, x):
    """One expert as two linear layers."""
    hidden = functional.gelu(x @ group.first[expert].T + group.first_bias[expert])
    return hidden @ group.second[expert] + group.second_bias[expert]


@pytest.fixture
def groups():
    torch.manual_seed(0)
    return [Experts(2, DIM, hidden=HIDDEN), Experts(2, DIM, hidden=HIDDEN), Experts(2, DIM, hidden=HIDDEN)]


def test_batched_experts_equal_a_loop(groups):
    x = torch.randn(4, 3, DIM)
    expected = torch.stack([slow(group, expert, x) for group in groups for expert in range(2)], dim=-2)
    torch.testing.assert_close(run_experts(groups, x), expected)


def test_groups_read_their_own_input(groups):
    x = torch.randn(4, 3, 3, DIM)
    expected = [slow(group, expert, x[:, :, place]) for place, group in enumerate(groups) for expert in range(2)]
    torch.testing.assert_close(run_groups(groups, x), torch.stack(expected, dim=-2))


def test_gradients_of_batched_experts_equal_those_of_a_loop(groups):
    x = torch.randn(7, DIM, requires_grad=True)
    run_experts(groups, x).square().sum().backward()
    found = [x.grad.clone(), *(one.grad.clone() for group in groups for one in group.parameters())]
    x.grad = None
    for group in groups:
        group.zero_grad()
    sum(slow(group, expert, x).square().sum() for group in groups for expert in range(2)).backward()
    expected = [x.grad, *(one.grad for group in groups for one in group.parameters())]
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(("kind", "options"), [(MMoE, {}), (PLE, {}), (PLE, {"levels": 2}), (STEM, {})])
def test_pieces_change_nothing(kind, options, monkeypatch):
    trunk, x = trunk_of(kind, **options), torch.randn(200, 3, DIM)
    whole = trunk.views(x, ["a", "b"])
    monkeypatch.setattr(experts, "CACHE_NUMBERS", 1)  # 64 rows at a time
    for task, view in trunk.views(x, ["a", "b"]).items():
        torch.testing.assert_close(view, whole[task])


def test_an_expert_starts_like_a_linear_layer():
    torch.manual_seed(0)
    group = Experts(50, 40, hidden=30)
    layer = nn.Linear(40, 30)
    bound = 1 / math.sqrt(40)
    assert float(group.first.detach().abs().max()) <= bound
    assert float(group.first.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert float(layer.weight.detach().std()) == pytest.approx(float(group.first.detach().std()), rel=0.1)


def test_mixtures_are_weighted_sums():
    gates, values = torch.tensor([[0.25, 0.75]]), torch.tensor([[[4.0, 0.0], [0.0, 8.0]]])
    assert mix(gates, values).tolist() == [[1.0, 6.0]]
    both, x = torch.tensor([[[0.25, 0.75], [1.0, 0.0]]]), torch.tensor([[10.0, 20.0]])
    assert mix_all(both, values, x).tolist() == [[[11.0, 26.0], [14.0, 20.0]]]


def test_usage_and_balance_show_a_gate_that_collapsed():
    assert usage(torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])).tolist() == [0.75, 0.25]
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert balance(torch.tensor([0.75, 0.25])) == pytest.approx(expected, abs=1e-9)
    assert balance(torch.tensor([1.0])) == 1.0


@pytest.mark.parametrize(("num", "hidden"), [(0, 4), (2, 0)])
def test_no_experts_are_refused(num, hidden):
    with pytest.raises(ValueError, match="wanted one expert or more"):
        Experts(num, 4, hidden=hidden)


def trunk_of(kind, **options):
    torch.manual_seed(3)
    return kind(DIM, tasks=["a", "b"], dropout=0.0, **options).eval()


def test_mmoe_is_equations_5_to_7():
    trunk, x = trunk_of(MMoE, num=3), torch.randn(5, DIM)
    normed = functional.layer_norm(x, (DIM,), trunk.norm.weight, trunk.norm.bias)
    for task in ("a", "b"):
        gate = (normed @ of_task(trunk.gate, task).weight.T).softmax(dim=1)
        mixed = x + sum(gate[:, [one]] * slow(trunk.shared, one, normed) for one in range(3))
        torch.testing.assert_close(trunk(x, task), mixed + of_task(trunk.own, task)(mixed))


def test_ple_with_one_level_is_cgc():
    trunk, x = trunk_of(PLE, num=2), torch.randn(5, DIM)
    normed = trunk.upper.norm(x)
    for task in ("a", "b"):
        gate = (normed @ of_task(trunk.upper.gate, task).weight.T).softmax(dim=1)
        outs = [slow(trunk.upper.shared, one, normed) for one in range(2)]
        outs += [slow(of_task(trunk.upper.own, task), one, normed) for one in range(2)]
        mixed = x + sum(gate[:, [place]] * one for place, one in enumerate(outs))
        torch.testing.assert_close(trunk(x, task), mixed + of_task(trunk.last, task)(mixed))


def test_ple_with_two_levels_reads_all_experts_on_the_shared_path():
    trunk, x = trunk_of(PLE, num=1, levels=2), torch.randn(5, DIM)
    low, high = trunk.lower, trunk.upper
    normed = low.norm(x)
    shared, own = slow(low.shared, 0, normed), {task: slow(low.own[task], 0, normed) for task in ("a", "b")}
    gate = low.shared_gate(normed).softmax(dim=1)
    path = x + gate[:, [0]] * shared + gate[:, [1]] * own["a"] + gate[:, [2]] * own["b"]
    for task in ("a", "b"):
        gate = low.gate[task](normed).softmax(dim=1)
        mine = x + gate[:, [0]] * shared + gate[:, [1]] * own[task]
        gate = high.gate[task](high.norm(mine)).softmax(dim=1)
        mixed = mine + gate[:, [0]] * slow(high.shared, 0, high.norm(path))
        mixed = mixed + gate[:, [1]] * slow(high.own[task], 0, high.norm(mine))
        torch.testing.assert_close(trunk(x, task), mixed + trunk.last[task](mixed))


def test_stem_reads_the_experts_of_other_tasks_without_moving_them():
    trunk, x = trunk_of(STEM), torch.randn(5, DIM)
    before = trunk(x, "a").detach()
    with torch.no_grad():
        trunk.own["b"].second_bias += 1.0
    assert float((trunk(x, "a").detach() - before).abs().min()) > 0  # read,
    trunk(x, "a").square().sum().backward()
    assert trunk.own["b"].second_bias.grad is None or not trunk.own["b"].second_bias.grad.any()  # and not moved


def test_stem_is_a_gate_over_spaces():
    trunk, x = trunk_of(STEM), torch.randn(5, DIM)
    normed = functional.layer_norm(x, (DIM,))
    spaces = [trunk.shared_space(normed), trunk.space["a"](normed), trunk.space["b"](normed)]
    outs = [slow(group, 0, one) for group, one in zip([trunk.shared, *trunk.own.values()], spaces, strict=True)]
    gate = trunk.gate["b"](spaces[2]).softmax(dim=1)
    mixed = x + sum(gate[:, [place]] * one for place, one in enumerate(outs))
    torch.testing.assert_close(trunk(x, "b"), mixed + trunk.last["b"](mixed))
