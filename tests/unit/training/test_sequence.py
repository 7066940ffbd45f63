"""Training over sequences: how much of them is read, and that all of it counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shoploom.data.sequences import Sequences
from shoploom.training.sequence import MOST_PLACES, SequenceRecipe, new_net, padded, suited, train_sequence_net

QUICK = SequenceRecipe(epochs=20, dim=16, negatives=16, tokens=400, dropout=0.0, length=10)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3] * 8, 50),  # short: as the recipe says
        ([10] * 3 + [90] * 5, 90),
        ([10] * 7 + [90], 50),  # one long sequence of eight is not the rule
        ([900] * 4, MOST_PLACES),
        ([], 50),
    ],
)
def test_more_is_read_where_most_sequences_are_long(lengths, expected):
    train = Sequences.of_lists([[0] * length for length in lengths], 1)
    assert suited(SequenceRecipe(), train).length == expected


def test_events_before_the_last_window_are_learned_too():
    # item 1 follows item 0 in the first twenty events only; the last thirty alternate 2 and 3
    train = Sequences.of_lists([[0, 1] * 10 + [2, 3] * 15] * 30, 4)
    net = train_sequence_net(new_net(train, QUICK), train, QUICK)
    items, lengths = padded(Sequences.of_lists([[0, 1, 0]], 4), QUICK.length)
    with torch.no_grad():
        vectors = net.vectors()
        scores = (net(vectors, items, lengths)[0, -1] @ vectors.T).numpy()
    assert scores.argmax() == 1


def test_one_seed_gives_one_net():
    train = Sequences.of_lists([[0, 1, 2, 3]] * 20, 4)
    recipe = replace(QUICK, dropout=0.2, epochs=2)
    one, two = (train_sequence_net(new_net(train, recipe), train, recipe) for _ in range(2))
    np.testing.assert_array_equal(one.vectors().detach().numpy(), two.vectors().detach().numpy())


def test_sequences_of_one_event_teach_nothing_and_are_no_error():
    train = Sequences.of_lists([[0], [1]], 2)
    net = new_net(train, QUICK)
    before = net.vectors().detach().numpy().copy()
    np.testing.assert_array_equal(train_sequence_net(net, train, QUICK).vectors().detach().numpy(), before)


def test_padded_holds_the_last_events_at_the_left():
    items, lengths = padded(Sequences.of_lists([[5, 6, 7], [8], []], 9), 2)
    assert items.tolist() == [[6, 7], [8, 0], [0, 0]]
    assert lengths.tolist() == [2, 1, 0]
