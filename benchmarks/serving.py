"""How quick the service is: latency of ``/v1/recommend``, and durable events beside a bare SQLite writer, in one run.

    python -m benchmarks.serving WORKSPACE

The workspace is copied beside itself first, so that its events stay what they were. Prints JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from shoploom.data.workspace import Workspace
from shoploom.registry import Registry

SERVE = "import sys; from shoploom.shop import Shop; Shop.open(sys.argv[1]).serve(port=int(sys.argv[2]))"
START_SECONDS = 120.0
WARM_UP = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__.split("\n\n")[0])
    parser.add_argument("workspace", type=Path, help="one with a promoted version")
    parser.add_argument("--requests", type=int, default=500, help="recommendations to ask for")
    parser.add_argument("--batches", type=int, default=40, help="batches of events")
    parser.add_argument("--batch-size", type=int, default=500)
    options = parser.parse_args(arguments)
    with copied(options.workspace) as path:
        tables = Workspace.open(path).load_tables()
        products = tables.events["product_id"].drop_nulls().unique().sort().to_list()
        customers = tables.events["customer_id"].drop_nulls().unique().sort().to_list()
        with running(path) as port:
            asked = recommend_seconds(port, customers, options.requests)
            batches = make_batches(products, customers, options.batches + WARM_UP, options.batch_size)
            served, bare = events_seconds(port, batches, path / "bare.sqlite")
        events = options.batches * options.batch_size
        found = {
            "workspace": {"products": len(tables.products), "customers": len(customers), "events": len(tables.events)},
            "model_version": Registry(path / "models").champion(),
            "recommend": {"requests": len(asked), "k": 20, **milliseconds(asked)},
            "events": {
                "batch_size": options.batch_size,
                "per_second": round(events / sum(served)),
                "bare_sqlite_per_second": round(events / sum(bare)),
                "ratio": round(sum(bare) / sum(served), 3),
                **milliseconds(served),
            },
        }
    print(json.dumps(found, indent=2))
    return 0


def recommend_seconds(port: int, customers: Sequence[str], requests: int) -> list[float]:
    """Seconds per request, one after the other on one connection, each for another customer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    chosen = np.random.default_rng(0).choice(np.array(customers), requests + 20)
    seconds = []
    for customer in chosen.tolist():
        start = time.perf_counter()
        connection.request("GET", f"/v1/recommend?customer_id={quote(customer)}&k=20")
        answer = connection.getresponse()
        body = answer.read()
        seconds.append(time.perf_counter() - start)
        assert answer.status == 200, body[:500]
    connection.close()
    return seconds[20:]


def events_seconds(port: int, batches: Sequence[list[dict[str, Any]]], path: Path) -> tuple[list[float], list[float]]:
    """Seconds per batch through the service, and straight into SQLite; in turns, so that both meet the same disk.

    The bare writer: WAL, synchronous=FULL, unique ids, bodies ready made, one commit per batch.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, body BLOB)")
    served, bare = [], []
    for batch in batches:
        body, rows = json.dumps(batch).encode(), [(one["event_id"], json.dumps(one).encode()) for one in batch]
        start = time.perf_counter()
        connection.request("POST", "/v1/events", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        served.append(time.perf_counter() - start)
        assert answer.status == 200, content[:500]
        assert json.loads(content)["accepted"] == len(batch), content[:500]
        start = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO log (event_id, body) VALUES (?, ?)", rows)
        database.execute("COMMIT")
        bare.append(time.perf_counter() - start)
    connection.close()
    database.close()
    return served[WARM_UP:], bare[WARM_UP:]


def make_batches(
    products: Sequence[str], customers: Sequence[str], batches: int, size: int
) -> list[list[dict[str, Any]]]:
    """Purchases of known customers and products, with ids of their own."""
    draws = np.random.default_rng(1)
    found = []
    for _ in range(batches):
        bought, by = draws.integers(len(products), size=size), draws.integers(len(customers), size=size)
        found.append(
            [
                {
                    "event_id": uuid.uuid4().hex,
                    "type": "purchase",
                    "time": "2030-01-01T12:00:00Z",
                    "product_id": products[product],
                    "customer_id": customers[customer],
                    "order_id": f"order {customer}",
                    "quantity": 1,
                    "price": 2.5,
                }
                for product, customer in zip(bought.tolist(), by.tolist(), strict=True)
            ]
        )
    return found


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Quantiles for people."""
    values = 1e3 * np.array(seconds)
    return {f"p{one}_ms": round(float(np.percentile(values, one)), 2) for one in (50, 95, 99)}


@contextmanager
def copied(workspace: Path) -> Iterator[Path]:
    """A copy on the same disk, removed afterwards."""
    Workspace.open(workspace)
    with tempfile.TemporaryDirectory(dir=workspace.resolve().parent, prefix="benchmark-") as folder:
        path = Path(folder) / "shop"
        shutil.copytree(workspace, path)
        yield path


@contextmanager
def running(path: Path, *, start_seconds: float = START_SECONDS) -> Iterator[int]:
    """The service in a process of its own, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(path), str(port)])
    try:
        _wait(process, port, start_seconds)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, f"the service ended with {process.returncode} before it was ready"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"the service was not ready within {seconds:.0f} s")


if __name__ == "__main__":
    raise SystemExit(main())
