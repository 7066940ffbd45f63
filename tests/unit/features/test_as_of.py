"""Counts as of a moment against a loop over the events."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.features.as_of import Past, smoothed_rate


def test_only_events_strictly_before_count() -> None:
    rng = np.random.default_rng(0)
    key, when = rng.integers(0, 5, 300), rng.integers(0, 40, 300).astype(float)
    weight = rng.random((300, 2))
    asked, moment = rng.integers(0, 6, 100), rng.integers(-1, 42, 100).astype(float)
    past = Past(key, when, weight)
    for place in range(100):
        mine = key == asked[place]
        before = mine & (when < moment[place])
        recent = before & (when >= moment[place] - 7.0)
        one, at = asked[place : place + 1], moment[place : place + 1]
        assert past.total(one, at)[0] == pytest.approx(weight[before].sum(axis=0))
        assert past.total(one, at, window=7.0)[0] == pytest.approx(weight[recent].sum(axis=0))
        since, first = past.since(one, at)[0], past.since_first(one, at)[0]
        if before.any():
            assert since == moment[place] - when[before].max()
            assert first == moment[place] - when[before].min()
        else:
            assert np.isnan(since)
            assert np.isnan(first)


def test_without_events_there_is_nothing() -> None:
    past = Past(np.zeros(0, dtype=int), np.zeros(0))
    assert past.total(np.array([3]), np.array([1.0])).tolist() == [[0.0]]
    assert np.isnan(past.since(np.array([3]), np.array([1.0]))).all()


def test_a_rate_without_cases_is_the_overall_rate() -> None:
    assert smoothed_rate(np.array([0.0, 5.0]), np.array([0.0, 5.0]), 0.2, strength=5.0).tolist() == [0.2, 0.6]
