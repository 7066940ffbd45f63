"""Members that say what comes next: promises that hold for all of them, and what each is there for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.data.sequences import Sequences
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.next_item import NEXT_ITEM
from shoploom.ensemble.next_item.base import best_items
from shoploom.ensemble.next_item.fused import FusedNextItem, held_out
from shoploom.ensemble.next_item.network import Network
from shoploom.training.sequence import SequenceRecipe

ITEMS = 40
QUICK = SequenceRecipe(epochs=12, dim=32, negatives=64, tokens=400, dropout=0.1)
members = pytest.mark.parametrize("name", NEXT_ITEM)


def walks(number: int = 300, *, timed: bool = False) -> Sequences:
    """Item i is followed by i + 1 nine times in ten, in rings of ten."""
    draws = np.random.default_rng(0)
    lists = []
    for _ in range(number):
        ring, place = draws.integers(ITEMS // 10), draws.integers(10)
        one = []
        for _ in range(draws.integers(2, 8)):
            one.append(int(10 * ring + place))
            place = (place + 1) % 10 if draws.random() < 0.9 else draws.integers(10)
        lists.append(one)
    made = Sequences.of_lists(lists, ITEMS)
    made = replace(made, fields=np.repeat(np.arange(ITEMS // 10), 10)[:, None].astype(np.int64))
    return replace(made, time=np.repeat(np.arange(number), made.lengths) / 10.0) if timed else made


def new(name: str):
    return Network(QUICK) if name == "network" else NEXT_ITEM.load(name)()


@members
def test_scores_are_finite_not_negative_and_know_more_than_chance(name):
    member, train = new(name), walks()
    member.fit(train)
    asked, answers = walks(60).asked_for_the_last()
    scores = member.score(asked)
    assert scores.shape == (len(asked), ITEMS)
    assert np.isfinite(scores).all()
    assert scores.min() >= 0
    found = best_items(scores, 10).items
    assert (found == answers[:, None]).any(axis=1).mean() > (0.2 if name == "popular" else 0.6)


@members
def test_a_saved_member_scores_the_same(name, tmp_path):
    member, train = new(name), walks(80)
    member.fit(train)
    member.save(tmp_path)
    asked, _ = train.asked_for_the_last()
    np.testing.assert_array_equal(NEXT_ITEM.load(name).load(tmp_path).score(asked), member.score(asked))


@members
def test_an_empty_prefix_is_no_error_and_only_popularity_has_an_opinion(name):
    member = new(name)
    member.fit(walks(80))
    scores = member.score(Sequences.of_lists([[], [3]], ITEMS))
    assert (scores[0].max() > 0) == (name == "popular")


@members
def test_training_does_not_change_the_sequences(name):
    train = walks(50)
    before = train.items.copy()
    new(name).fit(train)
    np.testing.assert_array_equal(before, train.items)


def test_markov_knows_the_order_and_item_knn_does_not():
    train = Sequences.of_lists([[0, 1]] * 9, 3)
    markov, knn = new("markov"), new("item_knn")
    markov.fit(train)
    knn.fit(train)
    asked = Sequences.of_lists([[1]], 3)
    assert markov.score(asked)[0, 0] == 0
    assert knn.score(asked)[0, 0] > 0


def test_the_network_places_an_item_without_events_by_its_attributes():
    train = walks()
    keep = np.flatnonzero(~np.isin(np.arange(len(train)), train.owners[train.items == 7]))
    network = Network(replace(QUICK, epochs=25))
    network.fit(train.take(keep))  # item 7 was never seen
    vectors = network.net.vectors().detach().numpy()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = unit @ unit[7]
    assert likeness[:7].mean() > likeness[10:].mean() + 0.2


def test_training_again_goes_on_from_the_weights_of_many_events():
    network = Network(replace(QUICK, few_events=0))
    network.fit(walks())
    before = network.net.vectors().detach().numpy().copy()
    network.fit(walks())
    moved = np.abs(network.net.vectors().detach().numpy() - before).mean()
    assert 0 < moved < np.abs(before).mean()


def test_training_again_on_few_events_forgets_the_first_time():
    once, twice = Network(QUICK), Network(QUICK)
    once.fit(walks())
    twice.fit(walks(50))
    twice.fit(walks())
    asked, _ = walks(20).asked_for_the_last()
    np.testing.assert_array_equal(once.score(asked), twice.score(asked))


def test_of_few_long_sequences_all_are_asked():
    draws = np.random.default_rng(0)
    long = Sequences.of_lists([draws.integers(0, 40, 60).tolist() for _ in range(50)], 40)
    _, asked, answers = held_out(long, 0)
    assert len(asked) == len(answers) == 50  # 5 % of 3,000 events are 150
    short = Sequences.of_lists([[1, 2, 3]] * 50, 40)
    assert len(held_out(short, 0)[1]) == 15  # 30 % of the sequences are more than 5 % of 150 events


@pytest.mark.parametrize("timed", [False, True])
def test_what_the_fusion_learns_from_is_hidden_from_the_members(timed):
    train = walks(timed=timed)
    known, asked, answers = held_out(train, 0)
    assert len(asked) == len(answers) > 20
    assert len(known.items) < len(train.items)
    if timed:
        assert known.time.max() < train.time.max()
    else:
        assert len(train.items) - len(known.items) == len(answers)


def test_the_ensemble_is_better_than_its_members_and_comes_back_from_disk(tmp_path):
    fused = FusedNextItem(
        [new(name) for name in ("popular", "markov", "item_knn")], FUSIONS.load("gate")(), repeats=True
    )
    fused.fit(walks(600))
    asked, answers = walks(100).asked_for_the_last()
    lists = fused.predict(asked, 5)

    def hit(items: np.ndarray) -> float:
        return float((items[:, :1] == answers[:, None]).any(axis=1).mean())

    single = {name: hit(one.items) for name, one in fused.lists(asked, 5).items()}
    assert hit(lists.items) >= max(single.values()) - 0.02
    fused.save(tmp_path)
    again = FusedNextItem.load(tmp_path).predict(asked, 5)
    np.testing.assert_array_equal(lists.items, again.items)
    np.testing.assert_array_equal(lists.scores, again.scores)


class Constant:
    """Says one item to everybody; its variants say others."""

    name = "constant"

    def __init__(self, item: int, others: tuple[int, ...] = ()) -> None:
        self.item, self.others = item, others

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        self.count = train.num_items

    def score(self, prefixes: Sequences) -> np.ndarray:
        return np.tile(np.eye(self.count, dtype=np.float32)[self.item], (len(prefixes), 1))

    def variants(self, train: Sequences) -> list[Constant]:
        return [Constant(item) for item in self.others]


@pytest.mark.parametrize(("first", "others", "stays"), [(1, (2, 3), 2), (2, (1,), 2), (1, (3,), 1)])
def test_the_variant_with_the_best_held_out_answers_stays(first, others, stays):
    train = Sequences.of_lists([[0, 4, 2]] * 30, 5)  # the answer is always 2
    fused = FusedNextItem([Constant(first, others)], FUSIONS.load("rank_average")(), repeats=True)
    fused.fit(train)
    assert fused.members["constant"].item == stays


def test_a_network_of_few_events_is_tried_with_a_recurrent_block_too():
    assert [one.recipe.block for one in Network(QUICK).variants(walks(20))] == ["gru"]
    assert Network(replace(QUICK, block="gru")).variants(walks(20)) == []
    assert Network(replace(QUICK, few_events=0)).variants(walks(20)) == []


def test_items_of_the_prefix_are_left_out_where_they_may_not_repeat():
    fused = FusedNextItem([new("popular"), new("markov")], FUSIONS.load("rank_average")(), repeats=False)
    fused.fit(walks())
    asked, _ = walks(50).asked_for_the_last()
    lists = fused.predict(asked, 10).items
    for row, (start, end) in enumerate(zip(asked.offsets[:-1], asked.offsets[1:], strict=True)):
        assert not set(lists[row]) & set(asked.items[start:end].tolist())
