"""Durable events per second of the event log beside a bare SQLite writer, in one run on one disk.

Both write the same JSON bodies with a unique id, 500 per call, WAL with ``synchronous=FULL``, durable when the call
returns. The ratio is the cost of validation, deduplication against sealed segments and the hand-over to the writer.

    python -m benchmarks.eventlog [--events 50000] [--batch 500] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from shoploom.data.eventlog import EventLog


def make_events(count: int) -> list[dict[str, Any]]:
    """Purchases as a shop's storefront sends them."""
    return [
        {
            "event_id": f"event-{number:012d}",
            "type": "purchase",
            "time": f"2024-05-{1 + number % 28:02d}T{number % 24:02d}:30:00",
            "customer_id": str(number % 2_000),
            "order_id": str(number // 8),
            "product_id": str(number % 40_000),
            "quantity": 1.0 + number % 3,
            "price": 2.49,
            "amount": 2.49 * (1 + number % 3),
        }
        for number in range(count)
    ]


def bare_rate(path: Path, events: list[dict[str, Any]], batch: int) -> float:
    """Events per second of ``executemany`` and commit, JSON bodies ready made."""
    rows = [(event["event_id"], json.dumps(event).encode()) for event in events]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, event_id TEXT UNIQUE, body BLOB)")
    started = time.perf_counter()
    for at in range(0, len(rows), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO bare (event_id, body) VALUES (?, ?)", rows[at : at + batch])
        connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return len(events) / seconds


def log_rate(store: Path, events: list[dict[str, Any]], batch: int) -> float:
    """Events per second of ``EventLog.append``, validation and encoding included."""
    log = EventLog(store)
    started = time.perf_counter()
    for at in range(0, len(events), batch):
        log.append(events[at : at + batch])
    seconds = time.perf_counter() - started
    log.close()
    return len(events) / seconds


def measure(folder: Path, *, events: int, batch: int, rounds: int) -> dict[str, Any]:
    """Both rates, measured by turns; medians and the ratio."""
    made = make_events(events)
    bare, log = [], []
    for number in range(rounds):
        bare.append(bare_rate(folder / f"bare-{number}.sqlite", made, batch))
        log.append(log_rate(folder / f"store-{number}", made, batch))
    return {
        "events": events,
        "batch": batch,
        "bare_per_second": round(statistics.median(bare)),
        "log_per_second": round(statistics.median(log)),
        "ratio": round(statistics.median(log) / statistics.median(bare), 3),
        "wanted_ratio": 0.5,
    }


def main() -> None:
    """Print the result as JSON; exit status 1 if the ratio is below one half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(Path(folder), events=options.events, batch=options.batch, rounds=options.rounds)
    print(json.dumps(result, indent=2))
    raise SystemExit(0 if result["ratio"] >= result["wanted_ratio"] else 1)


if __name__ == "__main__":
    main()
