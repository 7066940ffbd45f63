from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.config import TrainConfig
from shoploom.data.arrays import Attribute
from shoploom.ensemble.members.shared import SharedAnswers
from shoploom.model.heads.wide_classes import WideClassesHead
from shoploom.tasks import TASKS
from shoploom.tasks.profile import held_customers
from shoploom.training.shared import train_shared
from tests.shops import make_shop


@pytest.fixture(scope="module")
def trained():
    shop = make_shop()
    tasks = {"profile": TASKS.load("profile")()}
    return shop, tasks, train_shared(shop, tasks, TrainConfig(size="tiny", epochs=1))


def test_the_wide_path_finds_the_attributes_of_customers_it_was_fitted_on(trained):
    shop, tasks, shared = trained
    head = shared.model.heads["profile"]
    assert isinstance(head, WideClassesHead)
    assert bool(head.is_fitted)
    known = tasks["profile"].labelled(shop)
    found = SharedAnswers.of(shared, shop).predict(shop, tasks["profile"], known.blind())
    for name, codes in known.truth.codes.items():
        rows = np.flatnonzero(codes >= 0)
        right = (found.probabilities[name][rows].argmax(axis=1) == codes[rows]).mean()
        assert right > np.bincount(codes[rows]).max() / len(rows), name


def test_wide_inputs_are_shares_of_spend(trained):
    shop, _, shared = trained
    customers = shop.active_customers()[:20]
    wide = shared.pipeline.view(shop).tastes(shop, customers)
    assert wide.shape == (20, len(shared.pipeline.tastes))
    np.testing.assert_allclose((wide**2).sum(axis=1), 1.0, atol=1e-6)
    assert not shared.pipeline.view(shop).tastes(shop, np.array([-1])).any()


def test_a_value_that_only_held_back_customers_have_is_a_class_all_the_same() -> None:
    shop = make_shop()
    one, held = shop.attributes["segment"], held_customers(shop)
    odd = Attribute((*one.values, "zz"), np.where(held, np.int32(len(one.values)), one.codes).astype(np.int32))
    shop = replace(shop, attributes=shop.attributes | {"segment": odd})
    task = TASKS.load("profile")()
    cases, seen = task.cases(shop, shop.lines), task.hold_out(shop)
    shared = train_shared(seen, {"profile": task}, TrainConfig(size="tiny", epochs=1))
    found = SharedAnswers.of(shared, seen).predict(seen, task, cases.blind())
    assert found.probabilities["segment"].shape == (len(cases), len(odd.values))
    assert task.measure(cases, found).values()["segment macro_f1"] == 0.0  # nobody had it, so nobody is told to
