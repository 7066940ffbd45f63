"""The network over sequences: what every block must keep, and the formulas of single parts."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from shoploom.model.sequence import BLOCKS, Block, HstuBlock, SequenceNet, sampled_softmax

blocks = pytest.mark.parametrize("block", BLOCKS)


def new(block: str, *, num_items: int = 9, length: int = 6) -> SequenceNet:
    torch.manual_seed(0)
    fields = torch.tensor([[row % 3] for row in range(num_items)])
    return SequenceNet(num_items, fields, dim=8, heads=2, layers=2, length=length, block=block).eval()


def states(net: SequenceNet, items: list[list[int]], lengths: list[int]) -> np.ndarray:
    with torch.no_grad():
        return net(net.vectors(), torch.tensor(items), torch.tensor(lengths)).numpy()


def test_every_block_has_a_name_that_a_recipe_may_hold():
    assert set(BLOCKS) == set(get_args(Block))


@blocks
def test_a_block_keeps_the_shape(block):
    made = BLOCKS[block](8, heads=2, dropout=0.0, length=6)
    assert made(torch.randn(3, 5, 8)).shape == (3, 5, 8)


@blocks
def test_a_later_event_does_not_change_an_earlier_state(block):
    net = new(block)
    one, other = states(net, [[1, 2, 3, 4]], [4]), states(net, [[1, 2, 3, 8]], [4])
    np.testing.assert_allclose(one[:, :3], other[:, :3], atol=1e-6)
    assert np.abs(one[:, 3] - other[:, 3]).max() > 1e-3


@blocks
def test_an_earlier_event_changes_a_later_state(block):
    net = new(block)
    assert np.abs(states(net, [[1, 2, 3]], [3]) - states(net, [[5, 2, 3]], [3]))[:, 2].max() > 1e-4


@blocks
def test_padding_does_not_matter(block):
    net = new(block)
    alone = states(net, [[1, 2]], [2])
    beside = states(net, [[1, 2, 0, 0, 0], [3, 4, 5, 6, 7]], [2, 5])
    np.testing.assert_allclose(alone[0], beside[0, :2], atol=1e-6)
    other = states(net, [[1, 2, 8, 8, 8], [3, 4, 5, 6, 7]], [2, 5])
    np.testing.assert_array_equal(beside[0, :2], other[0, :2])


@blocks
def test_every_weight_learns(block):
    net = new(block)
    net(net.vectors(), torch.tensor([[1, 2, 3]]), torch.tensor([3])).square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name


def test_hstu_follows_its_formula_written_as_loops():
    torch.manual_seed(3)
    block = HstuBlock(4, heads=2, dropout=0.0, length=3).eval()
    torch.nn.init.normal_(block.bias.weight)
    x = torch.randn(1, 3, 4)
    silu = torch.nn.functional.silu
    u, v, q, k = silu(block.uvqk(block.norm(x)))[0].chunk(4, dim=1)
    mixed = torch.zeros(3, 4)
    for now in range(3):
        for then in range(now + 1):
            for head in range(2):
                part = slice(2 * head, 2 * head + 2)
                weight = silu(q[now, part] @ k[then, part] + block.bias.weight[now - then, head]) / (now + 1)
                mixed[now, part] += weight * v[then, part]
    expected = x[0] + block.out(block.mixed_norm(mixed) * u)
    torch.testing.assert_close(block(x)[0], expected)


def test_an_item_that_was_drawn_as_its_own_negative_is_left_out():
    # logits of item 1: 2 - log q(1) = 2 - 0; the only other negative is item 0: 1 - log q(0) = 1 - 0.5
    vectors, state = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0]])
    loss = sampled_softmax(vectors, state, torch.tensor([1]), torch.tensor([0, 1]), torch.tensor([0.5, 0.0]))
    assert loss.item() == pytest.approx(np.log(1 + np.exp(0.5 - 2.0)))
