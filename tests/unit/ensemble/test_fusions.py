"""Every way of fusing lists: promises that hold for all of them, and what the learned ones learn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.ensemble.fusions.weighted import _conditional_logit
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.metrics import ranking
from shoploom.tasks.base import Ranked, Truth

LEARNED = ("selection", "weighted", "gate", "stacking")
fusions = pytest.mark.parametrize("name", FUSIONS)


def ranked(scores: np.ndarray, k: int) -> Ranked:
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
    return Ranked(items, np.take_along_axis(scores, items.astype(np.int64), 1))


def market(cases: int = 400, items: int = 60, seed: int = 0) -> tuple[Pool, np.ndarray, Truth]:
    """Two half-informed members and a clueless one; the first knows loyal customers, the second new ones."""
    draws = np.random.default_rng(seed)
    taste = draws.normal(size=(cases, items))
    loyal = np.arange(cases) % 2 == 1
    noise = draws.normal(size=(3, cases, items))
    habit = taste + np.where(loyal, 0.7, 3.0)[:, None] * noise[0]
    trend = taste + np.where(loyal, 3.0, 0.7)[:, None] * noise[1]
    lists = {"habit": ranked(habit + 9, 30), "trend": ranked(trend + 9, 30), "noise": ranked(noise[2] + 9, 30)}
    bought = np.argsort(-taste, axis=1)[:, :3]
    truth = Truth(np.arange(cases + 1, dtype=np.int64) * 3, bought.ravel().astype(np.int32))
    pool = Pool.of(lists)
    context = np.column_stack([loyal[pool.row], draws.normal(size=len(pool))]).astype(np.float32)
    pool = pool.with_context(("loyal", "chance"), context, ("new", "loyal"), loyal.astype(np.int64))
    return pool, pool.hits(truth), truth


def quality(lists: Ranked, truth: Truth) -> float:
    assert truth.offsets is not None
    assert truth.items is not None
    hits = ranking.hit_matrix(lists.items, truth.offsets, truth.items)
    return float(np.mean(ranking.ndcg(hits, ranking.count_relevant(truth.offsets), 10)))


def alone(pool: Pool, name: str) -> Ranked:
    column = pool.members.index(name)
    return top(pool, np.where(pool.rank[:, column] > 0, pool.score[:, column], -99.0).astype(np.float64), 10)


@fusions
def test_fused_lists_are_better_than_the_mean_member_and_learned_ones_than_each(name):
    pool, hits, _ = market()
    other, _, truth = market(seed=1)
    fusion = FUSIONS.load(name)()
    fusion.fit(pool, hits, seed=0)
    members = {one: quality(alone(other, one), truth) for one in pool.members}
    found = quality(top(other, fusion.score(other), 10), truth)
    assert found > np.mean(list(members.values()))
    if name in LEARNED:
        assert found > 1.05 * max(members.values())


def test_a_gate_that_sees_the_customer_beats_one_weight_for_all():
    pool, hits, _ = market()
    other, _, truth = market(seed=1)
    values = {}
    for name in ("weighted", "gate"):
        fusion = FUSIONS.load(name)()
        fusion.fit(pool, hits)
        values[name] = quality(top(other, fusion.score(other), 10), truth)
    assert values["gate"] > values["weighted"] + 0.02


def test_the_gate_trusts_whom_it_should():
    pool, hits, _ = market()
    gate = FUSIONS.load("gate")()
    gate.fit(pool, hits)
    shares = gate.shares(pool)
    loyal = pool.context[:, 0] > 0
    listed = (pool.rank > 0).all(axis=1)
    habit, trend, noise = (shares[:, pool.members.index(one)] for one in ("habit", "trend", "noise"))
    assert habit[loyal & listed].mean() > 2 * trend[loyal & listed].mean()
    assert trend[~loyal & listed].mean() > 2 * habit[~loyal & listed].mean()
    assert noise[listed].mean() < 0.15


@fusions
def test_what_is_saved_scores_the_same(name, tmp_path):
    pool, hits, _ = market(cases=60)
    fusion = FUSIONS.load(name)()
    fusion.fit(pool, hits)
    settings, values = fusion.state()
    json.dumps(settings)
    save_state(tmp_path, settings, values)
    again = FUSIONS.load(name).from_state(*load_state(tmp_path))
    np.testing.assert_array_equal(fusion.score(pool), again.score(pool))
    np.testing.assert_array_equal(fusion.shares(pool), again.shares(pool))


@fusions
def test_shares_are_shares_and_nobody_who_says_nothing_of_all_candidates_has_one(name):
    pool, _, truth = market(cases=60)
    nobody = Ranked(np.full((60, 1), -1, dtype=np.int32), np.zeros((60, 1)))
    lists = {one: alone(pool, one) for one in pool.members} | {"silent": nobody}
    more = Pool.of(lists).with_context((), np.zeros((len(Pool.of(lists)), 0), dtype=np.float32))
    fusion = FUSIONS.load(name)()
    fusion.fit(more, more.hits(truth))
    shares = fusion.shares(more)
    assert shares.min() >= 0
    assert np.allclose(shares.sum(axis=1)[shares.sum(axis=1) > 0], 1)
    if name != "stacking":  # trees may hold against a member that it says nothing
        assert shares[:, more.members.index("silent")].max() == 0


@fusions
def test_the_same_seed_gives_the_same_fusion(name):
    pool, hits, _ = market(cases=80)
    found = []
    for _ in range(2):
        fusion = FUSIONS.load(name)()
        fusion.fit(pool, hits, seed=3)
        found.append(fusion.score(pool))
    np.testing.assert_array_equal(found[0], found[1])


@fusions
def test_nothing_to_learn_from_is_no_error(name):
    pool, hits, _ = market(cases=10)
    fusion = FUSIONS.load(name)()
    fusion.fit(pool, np.zeros_like(hits))
    assert np.isfinite(fusion.score(pool)).all()
    empty = pool.take(np.zeros(0, dtype=np.int64))
    assert len(fusion.score(empty)) == 0


def test_places_without_a_score_earn_nothing():
    good = Ranked(np.array([[1, 2, 3]], dtype=np.int32), np.array([[3.0, 2.0, 1.0]]))
    filled = Ranked(np.array([[9, 8, -1]], dtype=np.int32), np.array([[0.0, -np.inf, 0.0]]))
    pool = Pool.of({"good": good, "filled": filled})
    assert pool.item.tolist() == [1, 2, 3]
    assert (pool.credit()[:, 1] == 0).all()
    lists = top(pool, FUSIONS.load("rank_average")().score(pool), 5)
    assert lists.items.tolist() == [[1, 2, 3, -1, -1]]


def test_standardised_scores_have_mean_0_and_spread_1_per_member_and_case():
    pool, _, _ = market(cases=7)
    values, listed = pool.score, pool.rank > 0
    for case in range(7):
        for column in range(3):
            mine = values[(pool.row == case) & listed[:, column], column]
            assert mine.mean() == pytest.approx(0, abs=1e-5)
            assert mine.std() == pytest.approx(1, abs=0.02)
    assert (values[~listed] == 0).all()


def test_parts_of_a_pool_keep_their_candidates():
    pool, _, truth = market(cases=9)
    some = pool.take(np.array([2, 5]))
    assert some.cases == 2
    assert some.item.tolist() == pool.item[np.isin(pool.row, [2, 5])].tolist()
    np.testing.assert_array_equal(some.hits(truth.take(np.array([2, 5]))), pool.hits(truth)[np.isin(pool.row, [2, 5])])
    two = pool.of_members(("trend", "noise"))
    assert two.members == ("trend", "noise")
    assert (two.rank > 0).any(axis=1).all()


def test_members_that_answer_different_cases_are_refused():
    one = Ranked(np.zeros((2, 1), dtype=np.int32), np.ones((2, 1)))
    with pytest.raises(ValueError, match="all must answer"):
        Pool.of({"a": one, "b": Ranked(one.items[:1], one.scores[:1])})


def test_weights_are_those_that_made_the_choices():
    rng = np.random.default_rng(0)
    cases, each, true = 4000, 8, np.array([1.5, -0.8, 0.0])
    opinions = rng.normal(size=(cases * each, 3)).astype(np.float32)
    row = np.repeat(np.arange(cases), each)
    liked = (opinions @ true + rng.gumbel(size=len(row))).reshape(cases, each)
    chosen = (liked == liked.max(axis=1, keepdims=True)).ravel()
    found = _conditional_logit(opinions, row, chosen, np.zeros(3))
    assert found == pytest.approx(true, abs=0.08)
    drawn = _conditional_logit(opinions[:8], row[:8], chosen[:8], np.full(3, 0.4))
    assert np.isfinite(drawn).all()  # one case alone is held by the penalty
