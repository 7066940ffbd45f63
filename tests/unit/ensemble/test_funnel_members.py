"""What every member of the funnel has to do, and what the stack makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel import FUNNEL
from shoploom.ensemble.funnel.fused import FusedFunnel, stack_weights
from shoploom.errors import DataError
from shoploom.metrics.classification import auc


def stream(n: int = 6000, seed: int = 0) -> tuple[Impressions, np.ndarray]:
    """Customers and items with a known relevance, positions that hide what is good, and the true click chance."""
    rng = np.random.default_rng(seed)
    customer, item = rng.integers(1, 31, n), rng.integers(1, 21, n)
    taste = np.random.default_rng(99).normal(0, 1, (31, 21))
    relevance = 1 / (1 + np.exp(1.0 - taste[customer, item]))
    place = rng.integers(0, 4, n)
    seen = 0.5**place * relevance
    clicked = rng.random(n) < seen
    carted = clicked & (rng.random(n) < 0.4)
    number = (taste[customer, item] + rng.normal(0, 0.5, n)).astype(np.float32)
    number[::10] = np.nan
    rows = Impressions(
        ("click", "cart"),
        np.column_stack([customer, item]).astype(np.int32),
        ("customer", "item"),
        (31, 21),
        number[:, None],
        ("hint",),
        np.column_stack([clicked, carted]).astype(np.float32),
        place.astype(np.int32),
        np.arange(n) / 100.0,
    )
    return rows, relevance


ROWS, RELEVANCE = stream()


def test_there_are_members() -> None:
    assert len(FUNNEL) == 10


@pytest.mark.parametrize("name", list(FUNNEL))
def test_every_member_is_coherent_repeatable_and_survives_storage(name: str, tmp_path: Path) -> None:
    train, later = ROWS.take(ROWS.time < 40), ROWS.take(ROWS.time >= 40)
    before = train.numbers.copy()
    member = FUNNEL.load(name)()
    assert member.name == name
    member.fit(train, seed=3)
    found = member.predict(later)
    assert found.shape == (len(later), 2)
    assert (found >= 0).all()
    assert (found[:, 1] <= found[:, 0]).all()
    assert auc(later.reached[:, 0], found[:, 0]) > 0.6
    assert np.array_equal(train.numbers, before, equal_nan=True)
    again = FUNNEL.load(name)()
    again.fit(train, seed=3)
    assert np.array_equal(again.predict(later), found)
    member.save(tmp_path / name)
    assert np.array_equal(FUNNEL.load(name).load(tmp_path / name).predict(later), found)


@pytest.mark.parametrize("name", list(FUNNEL))
def test_once_examined_the_place_does_not_matter(name: str) -> None:
    member = FUNNEL.load(name)()
    member.fit(ROWS, seed=0)
    once = ROWS.as_examined()
    found = member.predict(once)[:, 0]
    down = ROWS.position == 3
    assert member.predict(ROWS)[down, 0].mean() < 0.6 * found[down].mean()
    relevance = RELEVANCE[down].mean() / RELEVANCE[~down].mean()
    assert found[down].mean() / found[~down].mean() == pytest.approx(relevance, rel=0.1)


def test_the_network_learns_how_far_people_look() -> None:
    member = FUNNEL.load("esmm")()
    rows, _ = stream(40_000)
    member.fit(rows, seed=0)
    assert member.theta() == pytest.approx([1.0, 0.5, 0.25, 0.125], abs=0.06)


def test_the_stack_trusts_who_knows_and_shares_where_nobody_can_tell() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-1.0, 1.0, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-truth))
    knows = stack_weights(np.column_stack([truth, rng.normal(-1, 1, 20_000)]), labels)
    assert knows[:2] == pytest.approx([1.0, 0.0], abs=0.06)
    few = stack_weights(np.column_stack([truth, truth + rng.normal(0, 0.1, 20_000)])[:20], labels[:20])
    assert few[:2] == pytest.approx([0.5, 0.5], abs=0.1)
    nothing = stack_weights(np.zeros((5, 2)), np.zeros(5))
    assert nothing.tolist() == [0.5, 0.5, 0.0]


def test_stacking_ends_where_its_gradient_is_nought() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, (500, 2)), (rng.random(500) < 0.4).astype(float)
    x[:, 0] += y
    weights = stack_weights(x, y, prior=30.0)
    p = 1 / (1 + np.exp(-(x @ weights[:2] + weights[2])))
    slope = np.append(x.T @ (p - y) + 30.0 * (weights[:2] - 0.5), (p - y).sum())
    free = np.append(weights[:2] > 0, True)
    assert np.abs(slope[free]).max() < 0.05
    assert (slope[~free] >= -0.05).all()


def test_the_whole_is_fitted_reported_and_stored(tmp_path: Path) -> None:
    members = [FUNNEL.load(name)() for name in ("rates", "logistic", "esmm")]
    whole = FusedFunnel(members, segment="customer")
    train, later = ROWS.take(ROWS.time < 45), ROWS.take(ROWS.time >= 45)
    whole.fit(train, seed=0)
    found = whole.predict(later)
    assert (found[:, 1] <= found[:, 0]).all()
    assert set(whole.held_auc) == {"rates", "logistic", "esmm"}
    report = whole.report(later)
    assert report[0]["segment"] == "all"
    assert abs(report[0]["predicted"] - report[0]["observed"]) < 0.04
    whole.save(tmp_path / "funnel")
    assert np.array_equal(FusedFunnel.load(tmp_path / "funnel").predict(later), found)


def test_one_moment_cannot_be_split() -> None:
    rows, _ = stream(50)
    same = rows.take(np.zeros(50, dtype=np.int64))
    with pytest.raises(DataError, match="cannot hold later impressions out"):
        FusedFunnel([FUNNEL.load("rates")()]).fit(same)


def test_nothing_clicked_is_nothing_to_learn() -> None:
    rows, _ = stream(200)
    empty = rows.take(rows.reached[:, 0] == 0)
    with pytest.raises(DataError, match="none of which reached 'click'"):
        FUNNEL.load("esmm")().fit(empty)
