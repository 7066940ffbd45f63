"""Counters for Prometheus: requests and their seconds by route, events, freshness, what is loaded, who answers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shoploom.ensemble.fused import Fused
from shoploom.inference.engine import Engine

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one service; several services in one process do not mix.

    Args:
        engine: Read when the counters are shown.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = CollectorRegistry()
        here = self._registry
        self._requests = Counter(
            "shoploom_requests", "Requests answered.", ["route", "method", "status"], registry=here
        )
        self._seconds = Histogram(
            "shoploom_request_seconds", "Seconds per request.", ["route"], buckets=BUCKETS, registry=here
        )
        self._events = Counter("shoploom_events", "Events by outcome.", ["outcome"], registry=here)
        self._visible = Histogram(
            "shoploom_event_visible_seconds",
            "Seconds from the arrival of a batch until answers know it.",
            buckets=BUCKETS,
            registry=here,
        )
        self._newest = Gauge("shoploom_newest_event_timestamp_seconds", "Arrival of the newest batch.", registry=here)
        self._model = Gauge("shoploom_model_loaded", "1 for the version that serves.", ["version"], registry=here)
        self._live = Gauge("shoploom_live_events", "Events since the bulk data were loaded.", registry=here)
        self._size = Gauge("shoploom_rows", "Rows in memory.", ["table"], registry=here)
        self._members = Gauge(
            "shoploom_ensemble_members", "Members that an ensemble asks per answer.", ["task"], registry=here
        )
        here.register(_Dropped(engine))

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def events(self, accepted: int, repeated: int, seconds: float) -> None:
        """Count one batch of events."""
        self._events.labels("accepted").inc(accepted)
        self._events.labels("repeated").inc(repeated)
        self._visible.observe(seconds)
        self._newest.set(time.time())

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        self._model.clear()
        self._members.clear()
        if self._engine.ready:
            status = self._engine.status()
            self._model.labels(status["version"]).set(1)
            self._live.set(status["live_events"])
            for table in ("products", "customers", "events"):
                self._size.labels(table).set(status[table])
            for task, member in self._engine.current.members.items():
                if isinstance(member, Fused):
                    self._members.labels(task).set(len(member.rung.members))
        return generate_latest(self._registry)


class _Dropped(Collector):
    """Reads the engine's own counts, which go on when versions are swapped."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One count per task, member and reason."""
        found = CounterMetricFamily(
            "shoploom_ensemble_members_dropped",
            "Answers of an ensemble that a member had no part in.",
            labels=["task", "member", "reason"],
        )
        for task, counts in dict(self._engine.dropped).items():
            for (member, reason), number in dict(counts).items():
                found.add_metric([task, member, reason], number)
        yield found
