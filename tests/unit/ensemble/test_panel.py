from __future__ import annotations

import json

import numpy as np
import pytest

from shoploom.ensemble.fused import DEPTH
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.panel import Panel, convene, folds, milliseconds
from shoploom.tasks.base import Ranked
from shoploom.tasks.next_basket import NextBasket
from tests.shops import make_shop

NAMES = ("popularity", "personal_frequency", "tifu_knn")
MS = {"popularity": 1.0, "personal_frequency": 2.0, "tifu_knn": 4.0}


@pytest.fixture(scope="module")
def court():
    shop, task = make_shop(customers=200), NextBasket()
    past = shop.before(shop.end - shop.clock.horizon_days)
    cases = task.cases(past, shop.between(past.end, shop.end))
    lists = {}
    for name in NAMES:
        member = MEMBERS.load(name)()
        member.fit(past, task)
        lists[name] = member.predict(past, cases.blind())
    return past, task, cases, lists


def called(court, **changes) -> Panel | None:
    past, task, cases, lists = court
    return convene(task, past, cases, changes.pop("lists", lists), MS, **({"max_ms": 100.0} | changes))


def test_every_fusion_and_every_member_is_measured(court):
    panel = called(court)
    assert panel is not None
    assert set(panel.fusions) == set(FUSIONS)
    assert panel.fusions[panel.fusion] == max(panel.fusions.values())
    assert set(panel.roles) == set(NAMES)
    assert sum(one.share for one in panel.roles.values()) == pytest.approx(1, abs=0.01)
    assert panel.roles["popularity"].alone < panel.roles["tifu_knn"].alone
    json.dumps(panel.to_dict())


def test_the_chosen_rung_is_what_its_lists_measure(court):
    _, task, cases, _ = court
    panel = called(court)
    assert panel is not None
    assert task.measure(cases, panel.lists).values()[task.metric] == pytest.approx(panel.rung.value)
    assert panel.lists.items.shape == (len(cases), cases.k)


def test_the_budget_chooses_the_members(court):
    panel = called(court, max_ms=6.5)
    assert panel is not None
    assert panel.rung.ms <= 6.5
    assert len(panel.rung.members) == 2
    assert panel.ladder[0].ms == 7.0
    assert [len(one.members) for one in panel.ladder] == [3, 2]
    broke = called(court, max_ms=0.1)
    assert broke is not None
    assert broke.rung.ms == min(one.ms for one in broke.ladder)  # nothing is cheap enough


def test_a_clueless_member_is_worth_nothing(court):
    *_, cases, lists = court
    draws = np.random.default_rng(0)
    count = 1 + max(int(one.items.max()) for one in lists.values())
    noise = np.stack([draws.permutation(count)[: cases.k] for _ in range(len(cases))]).astype(np.int32)
    guess = Ranked(noise, np.tile(np.arange(cases.k, 0, -1.0), (len(cases), 1)))
    MS["guess"] = 1.0
    panel = called(court, lists={**lists, "guess": guess})
    del MS["guess"]
    assert panel is not None
    assert panel.roles["guess"].share == min(one.share for one in panel.roles.values())
    assert "guess" not in panel.rung.members


def test_lists_are_cross_fitted_by_customer():
    units = np.arange(10_000, dtype=np.int32)
    found = folds(units)
    assert set(found.tolist()) == {0, 1, 2}
    assert np.bincount(found).min() > 3000
    np.testing.assert_array_equal(folds(units[::-1]), found[::-1])


def test_too_little_to_learn_from_is_no_panel(court):
    past, task, cases, lists = court
    few = np.arange(10)
    some = {name: Ranked(one.items[few], one.scores[few]) for name, one in lists.items()}
    assert convene(task, past, cases.take(few), some, MS, max_ms=10.0) is None
    assert called(court, lists={"tifu_knn": lists["tifu_knn"]}) is None


def test_the_time_of_an_answer_is_that_of_one_customer(court):
    past, task, cases, _ = court
    member = MEMBERS.load("personal_frequency")()
    member.fit(past, task)
    assert 0 < milliseconds(member, past, cases) < 1000
    assert cases.k < DEPTH
