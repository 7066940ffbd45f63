from __future__ import annotations

import pytest

from shoploom.serving import gate
from shoploom.serving.gate import RateLimit


def test_a_bucket_holds_a_minute_and_fills_steadily(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(gate.time, "monotonic", lambda: now)
    limit = RateLimit(6)
    assert [limit.wait("a") for _ in range(6)] == [0.0] * 6
    assert limit.wait("a") == pytest.approx(10.0)
    assert limit.wait("b") == 0.0
    now = 110.0
    assert limit.wait("a") == 0.0
    assert limit.wait("a") > 0


def test_no_limit_lets_everything_pass() -> None:
    limit = RateLimit(0)
    assert all(limit.wait("a") == 0.0 for _ in range(1000))


def test_memory_is_bounded_by_forgetting_full_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(gate.time, "monotonic", lambda: now)
    limit = RateLimit(60)
    for client in range(10_001):
        limit.wait(str(client))
    now = 1000.0
    limit.wait("late")
    assert len(limit._full_at) == 1
