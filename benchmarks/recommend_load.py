"""How long visitors wait for ``/v1/recommend`` when they come whether or not the service is ready for them.

    python -m benchmarks.recommend_load WORKSPACE
    python -m benchmarks.recommend_load WORKSPACE --products 1000000

An open-loop load: the moments of all requests are drawn before the first one, a slow answer delays none of them, and
each is timed from its moment, not from when it was sent. Evenly spaced arrivals come first, then random ones (a
Poisson process). One worker, loopback, another customer each time; it ends by itself.

An ensemble serves, as the court's panel chose it, even where the court preferred a member alone (``--member champion``
measures that one). ``--products`` adds simulated products and sales to the copy and fits the members again: minutes,
and 10 GB of memory for a million. ``--keep FOLDER`` keeps that shop for the next run. Prints JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.serving import milliseconds, running
from benchmarks.simulated_shop import enlarge, serve_together
from shoploom.data.workspace import Workspace
from shoploom.registry import Registry

CONNECTIONS = 64
TIMEOUT_SECONDS = 10.0
IDLE_SECONDS = 3.0
"""A connection is not used again after so long: the service closes those that are idle for 5 seconds."""
START_SECONDS = 900.0
WARM_UP = 50
AHEAD_SECONDS = 0.5
MOST_SECONDS = 60.0
QUERIES = {"next_basket": "", "new_for_you": "&repeats=exclude"}
GOALS = {"demo": {"p50_ms": 15.0, "p99_ms": 40.0}, "large": {"p99_ms": 60.0}}


@dataclass
class Answers:
    """What came back.

    Args:
        seconds: From each request's moment to the end of its answer.
        late: From each request's moment until it was sent.
        served_by: Who answered how often.
        errors: What went wrong how often.
    """

    seconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    served_by: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.recommend_load", description=__doc__.split("\n\n")[0])
    parser.add_argument("workspace", type=Path, help="one with a promoted version")
    parser.add_argument("--rate", type=float, default=50.0, help="requests per second")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help=f"of each kind of arrivals, {MOST_SECONDS:g} at most"
    )
    parser.add_argument("--task", choices=sorted(QUERIES), default="next_basket")
    parser.add_argument("--member", choices=("fused", "champion"), default="fused", help="who serves")
    parser.add_argument("--members", default="", help="of the ensemble, by commas; default: as the panel chose")
    parser.add_argument("--products", type=int, default=0, help="simulate so many products")
    parser.add_argument("--sales", type=int, default=200_000, help="order lines of simulated products")
    parser.add_argument("--keep", type=Path, help="where the prepared shop stays; used again if it is there")
    options = parser.parse_args(arguments)
    with prepared(options) as path:
        workspace = Workspace.open(path)
        tables = workspace.load_tables()
        customers = tables.events["customer_id"].drop_nulls().unique().sort().to_list()
        counts = {name: len(getattr(tables, name)) for name in ("products", "events")}
        registry = Registry(workspace.models_dir)
        version = str(registry.champion())
        entry = registry.manifest(version)["tasks"][options.task]
        del tables
        workspace.close()
        seconds = min(options.seconds, MOST_SECONDS)
        with running(path, start_seconds=START_SECONDS) as port:
            paths = paths_of(customers, int(options.rate * seconds) + WARM_UP, QUERIES[options.task])
            offered(port, paths[:WARM_UP], np.arange(WARM_UP) / 10.0)
            load = os.getloadavg()[0]
            found = {
                kind: summary(offered(port, paths[WARM_UP:], moments(kind, options.rate, seconds)))
                for kind in ("even", "poisson")
            }
    report = {
        "workspace": counts | {"customers": len(customers)},
        "model_version": version,
        "task": options.task,
        "served_by": entry["served_by"],
        "members": entry["panel"]["serves"] if entry["served_by"] == "fused" else [entry["served_by"]],
        "rate": options.rate,
        "k": 20,
        "load_average_before": round(load, 2),
        "goals": GOALS["large" if options.products else "demo"],
        **found,
    }
    print(json.dumps(report, indent=2))
    return 0


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Path]:
    """A copy of the workspace that serves what is to be measured; removed afterwards unless it is kept."""
    if options.keep is not None and (options.keep / "shoploom.toml").is_file():
        yield options.keep
        return
    Workspace.open(options.workspace).close()
    with tempfile.TemporaryDirectory(dir=options.workspace.resolve().parent, prefix="benchmark-") as folder:
        path = Path(folder) / "shop"
        shutil.copytree(options.workspace, path)
        if options.products:
            enlarge(path, options.products, sales=options.sales)
        if options.member == "fused":
            members = [one for one in options.members.split(",") if one]
            serve_together(path, options.task, members, refit=bool(options.products))
        if options.keep is not None:
            path = Path(shutil.move(path, options.keep))
        yield path


def paths_of(customers: Sequence[str], count: int, query: str) -> list[str]:
    """One request per customer in random order, and again from the start where there are too few."""
    order = np.random.default_rng(0).permutation(len(customers))
    chosen = [customers[order[number % len(order)]] for number in range(count)]
    return [f"/v1/recommend?customer_id={quote(one, safe='')}&k=20{query}" for one in chosen]


def moments(kind: str, rate: float, seconds: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds from the start at which requests come."""
    count = int(rate * seconds)
    if kind == "even":
        return np.arange(count) / rate
    return np.asarray(np.cumsum(np.random.default_rng(1).exponential(1.0 / rate, count)), dtype=np.float64)


def offered(port: int, paths: Sequence[str], at: np.ndarray[Any, np.dtype[np.float64]]) -> Answers:
    """Send each request at its moment, whatever became of those before it."""
    waiting: queue.SimpleQueue[tuple[str, float] | None] = queue.SimpleQueue()
    answers, lock = Answers(), threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        done = 0.0
        while (job := waiting.get()) is not None:
            path, moment = job
            sent = time.perf_counter()
            served_by, error = "", ""
            if sent - done > IDLE_SECONDS:
                connection.close()  # the next request opens it anew
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                done = time.perf_counter()
                if answer.status == 200:
                    served_by = str(json.loads(body)["served_by"])
                else:
                    error = f"status {answer.status}"
            except (OSError, http.client.HTTPException) as failed:
                done, error = time.perf_counter(), type(failed).__name__
                connection.close()
            with lock:
                answers.seconds.append(done - moment)
                answers.late.append(sent - moment)
                (answers.errors if error else answers.served_by)[error or served_by] += 1
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    start = time.perf_counter() + AHEAD_SECONDS
    for path, moment in zip(paths, (start + at).tolist(), strict=False):
        time.sleep(max(0.0, moment - time.perf_counter()))
        waiting.put((path, moment))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    return answers


def summary(answers: Answers) -> dict[str, Any]:
    """Quantiles, who answered, what failed, and how late the requests were sent."""
    return {
        "requests": len(answers.seconds),
        **milliseconds(answers.seconds),
        "max_ms": round(1e3 * max(answers.seconds), 2),
        "errors": dict(answers.errors),
        "served_by": dict(answers.served_by),
        "sent_late_p99_ms": round(1e3 * float(np.percentile(answers.late, 99)), 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
