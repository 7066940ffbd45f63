"""Folds in time: no training row, and no label of one, lies in the part that is judged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from shoploom.errors import DataError, UsageError
from shoploom.training.time_folds import cross_validate, spread, time_folds


@pytest.mark.parametrize("window", ["expanding", "sliding"])
@pytest.mark.parametrize("gap", [0.0, 7.5])
def test_the_parts_are_apart_and_in_order(window: str, gap: float) -> None:
    folds = time_folds(0, 365, folds=5, valid_days=28, gap_days=gap, window=window, train_days=90)  # type: ignore[arg-type]
    assert len(folds) == 5
    assert folds[-1].valid[1] == 365
    for fold in folds:
        assert fold.valid[0] - fold.train[1] == pytest.approx(gap)
        assert fold.valid[1] - fold.valid[0] == 28
        assert fold.train[0] == (0 if window == "expanding" else fold.train[1] - 90)
    for one, other in pairwise(folds):
        assert one.valid[1] == other.valid[0]


def test_rows_on_the_borders_belong_to_one_part_at_most() -> None:
    fold = time_folds(0, 30, folds=1, valid_days=10, gap_days=5)[0]
    learned, judged = fold.rows(np.array([0.0, 14.9, 15.0, 19.9, 20.0, 29.9, 30.0]))
    assert learned.tolist() == [0, 1]
    assert judged.tolist() == [4, 5]


def test_steps_may_be_shorter_than_the_judged_part() -> None:
    folds = time_folds(0, 100, folds=3, valid_days=20, step_days=5)
    assert [fold.valid for fold in folds] == [(70, 90), (75, 95), (80, 100)]


def test_mean_and_spread_by_hand() -> None:
    found = spread([{"auc": 0.6, "ap": 0.1}, {"auc": 0.8}, {"auc": 0.7}])
    assert list(found) == ["auc"]
    assert found["auc"].mean == pytest.approx(0.7)
    assert found["auc"].deviation == pytest.approx(0.1)
    assert np.isnan(spread([{"auc": 0.6}])["auc"].deviation)


def test_a_trend_shows_why_the_split_must_be_in_time() -> None:
    """A walk that drifts: nearest neighbours in time look perfect on a random split and fail on what comes after."""
    draws = np.random.default_rng(0)
    time = np.sort(draws.uniform(0, 400, 800))
    walk = np.interp(time, np.arange(401), np.cumsum(draws.normal(size=401)))

    def error(learned: np.ndarray, judged: np.ndarray) -> dict[str, float]:
        nearest = np.abs(time[judged][:, None] - time[learned][None]).argmin(axis=1)
        return {"error": float(np.abs(walk[judged] - walk[learned][nearest]).mean())}

    ahead = cross_validate(error, time, time_folds(0, 400, folds=4, valid_days=40, gap_days=20))["error"]
    order = draws.permutation(800)
    assert ahead.mean > 4 * error(order[:600], order[600:])["error"]
    assert len(ahead.values) == 4


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(DataError, match="3 folds need 91 days"):
        time_folds(0, 50, folds=3, valid_days=20, gap_days=30)
    with pytest.raises(UsageError, match="needs train_days"):
        time_folds(0, 50, valid_days=5, window="sliding")
    with pytest.raises(UsageError, match="at least one fold"):
        time_folds(0, 50, folds=0, valid_days=5)
    with pytest.raises(DataError, match="fold 0 has 0 rows to learn from"):
        cross_validate(lambda a, b: {}, np.array([29.0]), time_folds(0, 30, folds=1, valid_days=10))
