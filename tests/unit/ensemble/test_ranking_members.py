"""Members of the ranking tasks: scores worked by hand, what each is good at, and limits that are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from shoploom.data.arrays import Lines, ShopArrays
from shoploom.ensemble.members import (
    MEMBERS,
    als,
    content_based,
    ease,
    item_knn,
    markov,
    session_knn,
    up_cf,
)
from shoploom.ensemble.members.lightgbm_ranker import LightgbmRanker
from shoploom.ensemble.members.ranking_examples import Shortlister
from shoploom.ensemble.members.storage import SETTINGS
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Ranked
from tests.orders import Row, shop_of
from tests.shops import make_shop

SCORERS = ("up_cf", "markov", "item_knn", "session_knn", "ease", "als")


def fitted(name: str, shop: ShopArrays, task: str = "next_basket") -> Any:
    member = MEMBERS.load(name)()
    member.fit(shop, TASKS.load(task)(), seed=0)
    return member


def asked(member: Any, shop: ShopArrays, customer: int = 0, k: int = 5, repeats: str = "allow") -> dict[int, float]:
    found = member.predict(shop, Cases(np.array([customer], dtype=np.int32), k=k, repeats=repeats))
    return {item: score for item, score in zip(found.items[0], found.scores[0], strict=True) if item >= 0}


def hand_made(rows: list[Row], *, items: int = 6) -> ShopArrays:
    return shop_of(rows, items=items, customers=1 + max(row[0] for row in rows))


@cache
def judged(name: str, task_name: str) -> tuple[dict[str, float], Ranked]:
    shop, task = make_shop(customers=120), TASKS.load(task_name)()
    cut = shop.end - shop.clock.horizon_days
    past = shop.before(cut)
    cases = task.cases(past, shop.between(cut, shop.end))
    found = fitted(name, past, task_name).predict(past, cases.blind())
    return task.measure(cases, found).values(), found


@pytest.mark.parametrize("name", [*SCORERS, "content_based", "linear_ranker", "lightgbm_pointwise"])
def test_tastes_are_found(name):
    assert judged(name, "new_for_you")[0]["ndcg@20"] > judged("popularity", "new_for_you")[0]["ndcg@20"]
    assert judged(name, "next_basket")[0]["ndcg@10"] > 1.1 * judged("popularity", "next_basket")[0]["ndcg@10"]


@pytest.mark.parametrize("name", ["linear_ranker", "lightgbm_pointwise"])
def test_learned_rankers_beat_plain_frequency(name):
    plain = judged("personal_frequency", "next_basket")[0]["ndcg@10"]
    assert judged(name, "next_basket")[0]["ndcg@10"] > plain


THREE = [(0, 1, 0, 1.0), (0, 1, 1, 1.0), (1, 2, 0, 2.0), (1, 2, 2, 2.0), (2, 3, 3, 3.0)]


def test_up_cf_adds_likeness_to_the_power_of_the_locality():
    found = asked(fitted("up_cf", hand_made(THREE)), hand_made(THREE))
    alike = (1 / 2) ** up_cf.LOCALITY
    assert found[0] == pytest.approx(1 + alike, rel=1e-4)
    assert found[1] == pytest.approx(1, rel=1e-4)
    assert found[2] == pytest.approx(alike, rel=1e-4)
    assert found[3] < 1e-4


def test_up_cf_forgets_orders_beyond_the_window(monkeypatch):
    monkeypatch.setattr(up_cf, "WINDOW", 2)
    shop = hand_made([(0, 1, 5, 9.0), (0, 2, 1, 8.0), (0, 3, 2, 7.0), (0, 3, 1, 7.0)])
    found = asked(fitted("up_cf", shop), shop)
    assert found[1] == pytest.approx(1.0, rel=1e-4)
    assert found[2] == pytest.approx(0.5, rel=1e-4)
    assert found[5] < 1e-4


def test_item_knn_keeps_shrunk_cosines():
    vectors = sp.csr_matrix(np.random.default_rng(0).random((9, 7)) * (np.random.default_rng(1).random((9, 7)) < 0.6))
    dense = vectors.toarray()
    length = np.linalg.norm(dense, axis=0)
    wanted = dense.T @ dense / (np.outer(length, length) + item_knn.SHRINKAGE)
    np.testing.assert_allclose(item_knn.nearest(vectors).toarray(), wanted, rtol=1e-5)


def test_markov_mixes_everybodys_transitions_with_ones_own(monkeypatch):
    monkeypatch.setattr(markov, "BUYERS", 1)
    shop = hand_made([(1, 1, 0, 90.0), (1, 2, 1, 0.0), (0, 3, 0, 180.0), (0, 4, 2, 180.0 - 90.0), (0, 5, 0, 0.0)])
    found = asked(fitted("markov", shop), shop)
    # transitions: 0 -> 1 today (weight 1), 0 -> 2 after a half-life (weight 1/2), 2 -> 0 today (weight 1)
    state = np.array([1 + markov.STATE_DECAY**2, markov.STATE_DECAY])
    state = state / state.sum()
    all_0, own_0 = 1.5 + markov.SHRINKAGE, 0.5 + markov.OWN_SHRINKAGE
    share = 1 - markov.OWN
    assert found[1] == pytest.approx(share * state[0] * 1.0 / all_0, rel=1e-4)
    own = markov.OWN * state[0] * 0.5 / own_0
    assert found[2] == pytest.approx(share * state[0] * 0.5 / all_0 + own, rel=1e-4)


def test_markov_follows_a_customer_who_alternates():
    rows = [(0, order, order % 2, 30.0 - order) for order in range(9)]
    shop = hand_made(rows)
    found = asked(fitted("markov", shop), shop)
    assert found[1] > found[0]


def test_session_knn_listens_to_others_only(monkeypatch):
    rows = [(0, 1, 0, 100.0), (0, 1, 4, 100.0), (0, 2, 0, 1.0), (0, 2, 1, 1.0)]
    rows += [(1, 3, 0, 2.0), (1, 3, 1, 2.0), (1, 3, 2, 2.0), (2, 4, 3, 2.0), (2, 4, 5, 2.0)]
    monkeypatch.setattr(session_knn, "BUYERS", 1)
    shop = hand_made(rows)
    found = asked(fitted("session_knn", shop), shop, k=6)
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[2] == pytest.approx(found[1], rel=1e-4)
    assert found[4] < 1e-4 * found[2]
    assert found[3] < 1e-4 * found[2]


def test_session_knn_looks_at_the_latest_sessions_of_a_product(monkeypatch):
    monkeypatch.setattr(session_knn, "BUYERS", 1)
    monkeypatch.setattr(session_knn, "LATEST", 1)
    rows = [(0, 1, 0, 1.0), (1, 2, 0, 50.0), (1, 2, 2, 50.0), (2, 3, 0, 2.0), (2, 3, 3, 2.0)]
    shop = hand_made(rows)
    found = asked(fitted("session_knn", shop), shop, k=6)
    assert found[3] > 1e4 * found[2]


def test_ease_solves_the_closed_form(monkeypatch):
    monkeypatch.setattr(ease, "STRIP", 3)
    draws = np.random.default_rng(0)
    dense = draws.random((20, 8)) * (draws.random((20, 8)) < 0.5)
    inverse = np.linalg.inv(dense.T @ dense + 0.7 * np.eye(8))
    wanted = np.eye(8) - inverse / np.diag(inverse)[None]
    found = ease.autoencoder(sp.csr_matrix(dense), 0.7).toarray()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert (np.diag(found) == 0).all()


def test_ease_keeps_the_strongest_weights(monkeypatch):
    monkeypatch.setattr(ease, "KEPT", 2)
    found = ease.autoencoder(sp.csr_matrix(np.random.default_rng(0).random((20, 8))), 0.7)
    assert np.diff(found.indptr).tolist() == [2] * 8


def live(shop: ShopArrays, customer: int, items: list[int]) -> ShopArrays:
    lines = shop.lines.take(np.array([int(np.flatnonzero(shop.lines.item == item)[0]) for item in items]))
    time = np.full(len(items), shop.end + 0.01)
    own: Lines = replace(lines, customer=np.full(len(items), customer, dtype=np.int32), time=time)
    return replace(shop, live={customer: own})


@pytest.mark.parametrize("name", SCORERS)
def test_somebody_new_is_known_after_one_live_order(name):
    shop = make_shop(customers=120)
    member, newcomer = fitted(name, shop, "new_for_you"), len(shop.customers)
    grown = replace(shop, customers=type(shop.customers)([*shop.customers.ids, "newcomer"]))
    grown = replace(grown, offsets=np.append(shop.offsets, shop.offsets[-1]))
    before = asked(member, grown, newcomer, k=4)
    assert list(before) == asked_popular(shop)
    found = asked(member, live(grown, newcomer, [0, 4, 8, 12, 16]), newcomer, k=4, repeats="exclude")
    taste = [item % 4 == 0 for item in found]
    assert sum(taste) >= 2
    assert not {0, 4, 8, 12, 16} & set(found)


def asked_popular(shop: ShopArrays) -> list[int]:
    return list(asked(fitted("popularity", shop, "new_for_you"), shop, -1, k=4))


def test_content_based_names_products_that_nobody_has_bought():
    shop = make_shop(customers=120)
    past = shop.before(shop.end - shop.clock.horizon_days)
    sold = np.bincount(past.lines.item, minlength=len(past.items)) > 0
    unsold = np.flatnonzero(~sold)
    assert len(unsold) > 2
    member = fitted("content_based", past, "new_for_you")
    units = np.arange(40, dtype=np.int32)
    items = member.predict(past, Cases(units, k=8, repeats="exclude")).items
    shown = np.isin(items, unsold)
    assert shown.sum() > 10
    assert (items[shown] % 4 == np.repeat(units, shown.sum(axis=1)) % 4).mean() > 0.6


def test_content_based_reads_products_that_came_after_fitting():
    shop = make_shop(customers=120)
    member = fitted("content_based", shop, "new_for_you")
    items = type(shop.items)([*shop.items.ids, "zzz"])
    grown = replace(shop, items=items, catalogue=shop.catalogue.vstack(shop.catalogue.slice(4, 1)))
    shown = [len(shop.items) in asked(member, grown, customer, k=6, repeats="exclude") for customer in range(40)]
    assert sum(shown[0::4]) > sum(shown[1::4]) + sum(shown[2::4]) + sum(shown[3::4])


def saved_bytes(member: Any, folder: Path) -> int:
    member.save(folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


CAPS: dict[str, list[tuple[ModuleType, str, int]]] = {
    "up_cf": [(up_cf, "MOST_CUSTOMERS", 20), (up_cf, "MOST_ITEMS", 10)],
    "markov": [(markov, "MOST_ITEMS", 10), (markov, "KEPT", 3), (markov, "MOST_STEPS", 50), (markov, "MOST_LINES", 3)],
    "item_knn": [(item_knn, "MOST_ITEMS", 10), (item_knn, "NEAREST", 3), (item_knn, "MOST_CUSTOMERS", 20)],
    "session_knn": [(session_knn, "MOST_ITEMS", 10), (session_knn, "MOST_SESSIONS", 20), (session_knn, "LATEST", 2)],
    "ease": [(ease, "MOST_ITEMS", 10), (ease, "KEPT", 3), (ease, "MOST_CUSTOMERS", 20), (ease, "MOST_OWN", 2)],
    "als": [(als, "MOST_ITEMS", 10), (als, "MOST_CUSTOMERS", 20), (als, "MOST_OWN", 2), (als, "RANK", 1)],
    "content_based": [(content_based, "MOST_ITEMS", 10), (content_based, "PROFILE_WORDS", 2)],
}
KEPT = {
    "up_cf": {"shares": (20, 10, 10), "bought": (20, 10, 10)},
    "markov": {"follows": (10, 10, 3)},
    "item_knn": {"near": (10, 10, 3)},
    "session_knn": {"sessions": (20, 10, 10), "index": (10, 20, 2)},
    "ease": {"weights": (10, 10, 3)},
    "als": {},
    "content_based": {},
}
"""Rows, columns and entries per row of what a member with those limits remembers."""


@pytest.mark.parametrize("name", CAPS)
def test_memory_keeps_to_its_limits(name, monkeypatch, tmp_path):
    shop = make_shop()
    free = saved_bytes(fitted(name, shop), tmp_path / "free")
    for module, limit, value in CAPS[name]:
        monkeypatch.setattr(module, limit, value)
    member = fitted(name, shop)
    assert saved_bytes(member, tmp_path / "small") < free
    state = {key: one for key, one in vars(member).items() if sp.issparse(one) and key[0] != "_"}
    assert set(state) == set(KEPT[name])
    for key, (rows, columns, most) in KEPT[name].items():
        assert state[key].shape == (rows, columns)
        assert np.diff(state[key].indptr).max() <= most
    assert (member.predict(shop, Cases(np.arange(8, dtype=np.int32), k=5)).items >= 0).all()


def test_als_keeps_one_row_of_factors_per_product_and_content_based_one_per_text(monkeypatch):
    monkeypatch.setattr(als, "MOST_ITEMS", 12)
    monkeypatch.setattr(content_based, "MOST_ITEMS", 10)
    shop = make_shop()
    assert fitted("als", shop).side.factors.shape == (12, 3)
    texts = fitted("content_based", shop).texts
    assert (texts.of_item >= 0).sum() == 10
    assert texts.vectors.shape[0] == 10


def test_blocks_of_cases_make_the_lists_of_one_block(monkeypatch):
    from shoploom.ensemble.members import scored_lists

    shop = make_shop()
    member, cases = fitted("markov", shop), Cases(np.arange(50, dtype=np.int32), k=6)
    whole = member.predict(shop, cases)
    monkeypatch.setattr(scored_lists, "BLOCK", 7)
    parts = member.predict(shop, cases)
    np.testing.assert_array_equal(parts.items, whole.items)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)


def test_a_ranker_saved_by_an_earlier_version_still_loads(tmp_path):
    shop = make_shop()
    member = fitted("lightgbm_ranker", shop)
    member.save(tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    settings["recipe"] |= {"rounds": 100, "objective": "lambdarank"}
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    cases = Cases(np.arange(5, dtype=np.int32), k=5)
    again = LightgbmRanker.load(tmp_path).predict(shop, cases)
    np.testing.assert_array_equal(again.items, member.predict(shop, cases).items)


def test_examples_are_labelled_by_what_came_later():
    shop, task = make_shop(customers=120), TASKS.load("next_basket")()
    shortlister = Shortlister.fit(shop, task, seed=0)
    examples = shortlister.examples(shop, task, seed=0)
    assert examples is not None
    assert examples.groups.sum() == len(examples.labels) == len(examples.features)
    cases = np.repeat(np.arange(len(examples.groups)), examples.groups)
    assert (np.bincount(cases, examples.labels) >= 1).all()  # a case without a hit teaches nothing
    again = shortlister.examples(shop, task, seed=0)
    assert again is not None
    np.testing.assert_array_equal(again.features, examples.features)


def test_a_shop_of_a_week_teaches_nothing():
    shop, task = make_shop(days=6, customers=4), TASKS.load("new_for_you")()
    assert Shortlister.fit(shop, task, seed=0).examples(shop, task, seed=0) is None
