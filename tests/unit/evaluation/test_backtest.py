"""Folds over a shop's past: each member sees only what came before, and the last horizon stays unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from shoploom.cli import app
from shoploom.config import TrainConfig
from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members import MEMBERS
from shoploom.errors import DataError, UsageError
from shoploom.evaluation.backtest import backtest
from shoploom.tasks.churn import Churn
from tests.services import make_workspace
from tests.shops import make_shop


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=120, days=260)


def test_every_fold_equals_a_judgement_by_hand(shop: ShopArrays) -> None:
    found = backtest(shop, "churn", TrainConfig(), folds=3)
    assert [fold[:2] for fold in found.folds] == [
        ("2024-03-11", "2024-04-08"), ("2024-04-08", "2024-05-06"), ("2024-05-06", "2024-06-03")
    ]  # fmt: skip
    assert set(found.members) == set(Churn.rivals)
    task, cut = Churn(), shop.end - 2 * 28
    past = shop.before(cut)
    cases = task.cases(past, shop.between(cut, cut + 28))
    member = MEMBERS.load("few_trips")()
    member.fit(past, task)
    wanted = task.measure(cases, member.predict(past, cases.blind())).values()
    values = {name: one.values[2] for name, one in found.members["few_trips"].items()}
    assert values == pytest.approx(wanted)
    auc = found.members["few_trips"]["auc"]
    assert auc.mean == pytest.approx(np.mean(auc.values))


def test_the_last_horizon_is_not_looked_at(shop: ShopArrays) -> None:
    shorter = replace(shop.before(shop.end - 28), end=shop.end)
    one, other = (backtest(each, "spend", TrainConfig(), folds=2).to_dict() for each in (shop, shorter))
    assert one == other


def test_a_sliding_window_forgets(shop: ShopArrays) -> None:
    expanding = backtest(shop, "churn", TrainConfig(), folds=2)
    sliding = backtest(shop, "churn", TrainConfig(), folds=2, window="sliding", train_days=112)
    assert sliding.folds[0][:2] == expanding.folds[0][:2]
    assert sliding.members["logistic"]["auc"].values != expanding.members["logistic"]["auc"].values
    early = shop.lines.time >= shop.end - 3 * 28 - 112  # the first fold of the window begins here
    later = replace(shop, lines=shop.lines.take(early), offsets=offsets_of(shop, early))
    one, other = (
        backtest(each, "churn", TrainConfig(), folds=2, window="sliding", train_days=111) for each in (shop, later)
    )
    assert one == other


def offsets_of(shop: ShopArrays, kept: np.ndarray) -> np.ndarray:
    rows = shop.lines.customer[kept]
    return np.concatenate([[0], np.cumsum(np.bincount(rows[rows >= 0], minlength=len(shop.customers)))])


def test_what_cannot_be_judged_over_time_is_said(shop: ShopArrays) -> None:
    with pytest.raises(UsageError, match="the labels of 'price' have no date"):
        backtest(shop, "price", TrainConfig())
    with pytest.raises(UsageError, match="Did you mean 'churn'"):
        backtest(shop, "chrun", TrainConfig())
    with pytest.raises(DataError, match="20 folds need 616 days"):
        backtest(shop, "churn", TrainConfig(), folds=20)


def test_the_command_prints_means_and_spreads(tmp_path: Path) -> None:
    make_workspace(tmp_path / "shop")
    words = ["backtest", "--task", "churn", "--folds", "2", "-w", str(tmp_path / "shop")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "few_trips" in done.stdout
    assert "mean and standard deviation over 2 horizons" in done.stdout
    found = json.loads((tmp_path / "shop" / "reports" / "backtest-churn.json").read_text())
    assert len(found["members"]["logistic"]["auc"]["values"]) == 2
    wrong = CliRunner().invoke(app, [*words, "--window", "growing"])
    assert wrong.exit_code == 2
