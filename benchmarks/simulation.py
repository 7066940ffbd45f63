"""Events per second of a simulation on one core, its peak memory, and how real its preferences are.

Each number of events is simulated in a process of its own, limited to one core, with every file written: the rate
counts all of it but reading the shop and fitting the world. Memory and rate should not depend on the number.

    python -m benchmarks.simulation [--workspace DIR] [--events 1e5 1e6 1e7] [--folder DIR]

With a workspace, the preferences are also fitted without the last eight weeks and asked about these.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WANTED_RATE = 200_000
LARGE = 1e6
"""Smaller simulations are mostly the pilot and the writing of the world; their rate is shown, not judged."""
WANTED_RATIO = 1.5
"""Peak memory of the largest simulation over that of the smallest."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
HELD_OUT_DAYS = 56


def one(events: float, workspace: Path | None, folder: Path) -> dict[str, Any]:
    """Simulate once, in this process.

    Args:
        events: About so many.
        workspace: A shop; a made-up one where None.
        folder: Where the files are written, and removed afterwards.
    """
    from shoploom.data.arrays import ShopArrays
    from shoploom.data.memory import give_back_memory
    from shoploom.data.workspace import Workspace
    from shoploom.simulation import Settings, Simulation, World
    from shoploom.simulation.export import export

    if workspace is None:
        world = World.synthetic(customers=2_000, products=5_000, categories=100)
    else:
        world = World.of_shop(ShopArrays.build(Workspace.open(workspace).load_tables()))
    give_back_memory()
    fitted = _resident()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        started, cpu = time.perf_counter(), time.process_time()
        simulation = Simulation(world, Settings(events=events))
        top = 0.0

        def watch(done: int, total: int) -> None:
            nonlocal top
            top = max(top, _resident())

        done = export(simulation, Path(place) / "out", progress=watch)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "asked": events,
        "events": done.total,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "events_per_second": round(done.total / seconds),
        "events_per_cpu_second": round(done.total / cpu),
        "bytes_per_event": round(done.bytes / done.total, 1),
        "world_mb": round(fitted),
        "simulation_mb": round(top),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def fidelity(workspace: Path) -> dict[str, float]:
    """How well preferences that were fitted to the past say what was bought in the last eight weeks.

    Returns:
        Mean log probability of the shelf of each purchase, by the fitted needs and by the shelf's popularity alone; and
        the probability that the bought product is liked more than another one of its shelf, by affinity alone, appeal
        alone, and by what the truth makes of both (one half would be chance).
    """
    import numpy as np

    from shoploom.data.arrays import ShopArrays
    from shoploom.data.workspace import Workspace
    from shoploom.simulation import World
    from shoploom.simulation.truth import CLICK

    shop = ShopArrays.build(Workspace.open(workspace).load_tables())
    world = World.of_shop(shop.before(shop.end - HELD_OUT_DAYS))
    later = shop.between(shop.end - HELD_OUT_DAYS, shop.end)
    later = later.take(later.goods & (later.customer >= 0))
    customers = {one: row for row, one in enumerate(world.customers)}
    items = {one: row for row, one in enumerate(world.items)}
    customer = np.array([customers.get(shop.customers.ids[row], -1) for row in later.customer])
    item = np.array([items.get(shop.items.ids[row], -1) for row in later.item])
    known = (customer >= 0) & (item >= 0)
    customer, item = customer[known], item[known]
    shelf = world.shelves.of_item[item]
    needs = np.stack([world.needs.probability(row) for row in range(len(world.customers))])
    draws = np.random.default_rng(0)
    other = world.shelves.members[shelf, draws.integers(world.shelves.sizes[shelf])]
    differs = other != item
    liked = world.affinity(customer, item) - world.affinity(customer, other)
    appeal = world.appeal[item] - world.appeal[other]
    both = CLICK["affinity"] * liked + CLICK["appeal"] * appeal
    return {
        "purchases": len(item),
        "log_probability_of_shelf": round(float(np.log(needs[customer, shelf]).mean()), 3),
        "by_popularity": round(float(np.log(world.needs.overall[shelf]).mean()), 3),
        "liked_more_by_affinity": round(float(((liked > 0) + 0.5 * (liked == 0))[differs].mean()), 3),
        "liked_more_by_appeal": round(float(((appeal > 0) + 0.5 * (appeal == 0))[differs].mean()), 3),
        "liked_more_by_affinity_and_appeal": round(float((both > 0)[differs].mean()), 3),
    }


def measure(events: Sequence[float], workspace: Path | None, folder: Path | None) -> dict[str, Any]:
    """Every number of events in a process of its own, on one core."""
    rows = []
    for number in events:
        command = [sys.executable, "-m", "benchmarks.simulation", "--one", str(number)]
        command += ["--workspace", str(workspace)] if workspace else []
        command += ["--folder", str(folder)] if folder else []
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        sys.stderr.write(f"{json.dumps(rows[-1])}\n")
    return {
        "world": "synthetic" if workspace is None else str(workspace.name),
        "runs": rows,
        "slowest_rate": min((row["events_per_second"] for row in rows if row["asked"] >= LARGE), default=None),
        "wanted_rate": WANTED_RATE,
        "memory_ratio": round(rows[-1]["simulation_mb"] / rows[0]["simulation_mb"], 2),
        "wanted_memory_ratio": WANTED_RATIO,
        **({} if workspace is None else {"fidelity": fidelity(workspace)}),
    }


def main() -> None:
    """Print the result as JSON; exit status 1 if it is too slow or memory grows with the number of events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="a shop; a made-up one by default")
    parser.add_argument("--events", type=float, nargs="+", default=[1e5, 1e6, 1e7])
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(one(options.one, options.workspace, options.folder or Path(tempfile.gettempdir()))))
        return
    result = measure(options.events, options.workspace, options.folder)
    print(json.dumps(result, indent=2))
    fast = result["slowest_rate"] is None or result["slowest_rate"] >= WANTED_RATE
    raise SystemExit(0 if fast and result["memory_ratio"] <= WANTED_RATIO else 1)


def _resident() -> float:
    """Memory of this process, in MB; its peak where the system does not say (other than Linux)."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
