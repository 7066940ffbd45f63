"""A simulation on disk: events as Parquet segments, the truth beside them, the parameters as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from shoploom.data import atomic, schema
from shoploom.data.arrays import moment_of
from shoploom.data.workspace import Workspace
from shoploom.errors import UsageError
from shoploom.simulation.events import event_stream, impression_ids
from shoploom.simulation.stream import Chunk, Simulation

PARAMETERS: Final = "truth.json"
SEGMENT: Final = 100_000
"""Impressions of a file, about; memory grows with it and with nothing else."""
SOURCE: Final = "simulation"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Exported:
    """What was made.

    Args:
        events: Number by type.
        impressions: Rows of the truth.
        sessions: Number of sessions.
        bytes: Size of all files.
    """

    events: dict[str, int]
    impressions: int
    sessions: int
    bytes: int

    @property
    def total(self) -> int:
        """Number of all events."""
        return sum(self.events.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "total": self.total}


def export(
    simulation: Simulation,
    folder: Path | None = None,
    *,
    into: Workspace | None = None,
    progress: Progress | None = None,
    segment: int = SEGMENT,
) -> Exported:
    """Write a simulation to a new folder, or its events into a workspace, or both.

    The folder gets ``events/`` and ``truth/`` in Parquet, ``products.parquet``, ``customers.parquet``,
    ``world.safetensors`` and, last of all, ``truth.json``: without it, the export did not end.

    Args:
        simulation: What to write.
        folder: New or empty.
        into: Gets products, customers and events; what it has already is not added again.
        progress: Called with the number of events so far and the number expected.
        segment: Impressions per file, about.

    Raises:
        UsageError: If neither is given, or the folder is not empty.
        WorkspaceError: If the disk is full or cannot be written.
    """
    if folder is None and into is None:
        raise UsageError("nowhere to write to; name a folder, a workspace, or both")
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; name a new or empty directory")
    counts: Counter[str] = Counter()
    rows = 0

    def kept(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        nonlocal rows
        for number, chunk in enumerate(chunks, start=1):
            rows += len(chunk)
            if folder is not None:
                atomic.write_parquet(folder / "truth" / f"truth-{number:06d}.parquet", truth_frame(simulation, chunk))
            yield chunk

    if folder is not None:
        _write_world(simulation, folder)
    if into is not None:
        into.append("products", simulation.world.products, source=SOURCE, fill_only=True)
        into.append("customers", _customers(simulation), source=SOURCE, fill_only=True)
    frames = event_stream(simulation, kept(simulation.chunks(segment)))
    for number, frame in enumerate(frames, start=1):
        counts.update(dict(frame[schema.TYPE].value_counts().iter_rows()))
        if folder is not None:
            atomic.write_parquet(folder / "events" / f"events-{number:06d}.parquet", frame)
        if into is not None:
            into.append("events", frame, source=SOURCE)
        if progress is not None:
            progress(counts.total(), max(round(simulation.settings.events), counts.total()))
    events = {name: counts[name] for name in schema.EVENT_TYPES if counts[name]}
    if folder is not None:
        about = {**parameters(simulation), "events": events, "impressions": rows}
        atomic.write_text(folder / PARAMETERS, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    size = 0 if folder is None else sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    return Exported(events, rows, simulation.sessions, size)


def truth_frame(simulation: Simulation, chunk: Chunk) -> pl.DataFrame:
    """True probabilities and final labels, one row per impression; ``event_id`` is that of the impression's event."""
    names = ("p_examine", "p_relevant", "p_cart", "p_purchase", "p_refund")
    products = ("p_click", "p_conversion", "p_click_conversion")
    return pl.DataFrame(
        {
            schema.EVENT_ID: impression_ids(simulation, chunk),
            "regime": chunk.regime.astype(np.int16),
            "regular_price": chunk.regular_price,
            **{name: getattr(chunk, name) for name in ("examined", "click", "cart", "purchase", "refund")},
            **{name: getattr(chunk, name).astype(np.float32) for name in (*names, *products)},
        }
    )


def parameters(simulation: Simulation) -> dict[str, Any]:
    """Everything that is true and no array, for JSON."""
    world = simulation.world
    return {
        "name": simulation.name,
        "settings": simulation.settings.to_dict(),
        "start": moment_of(simulation.start).isoformat(),
        "end": moment_of(simulation.start + simulation.settings.days).isoformat(),
        "sessions": simulation.sessions,
        "propensity": simulation.policy.meaning,
        "truth": simulation.truth.to_dict(),
        "world": {
            "seed": world.seed,
            "customers": len(world.customers),
            "products": len(world.items),
            "shelves": len(world.shelves),
            "timezone": world.timezone,
            "needs_kappa": world.needs.kappa,
            "shelf": [
                {"topic": list(topic), "listing": listing, "products": int(size), "elasticity": float(elasticity)}
                for topic, listing, size, elasticity in zip(
                    world.shelves.topics,
                    world.shelves.listings,
                    world.shelves.sizes,
                    simulation.truth.elasticities(),
                    strict=True,
                )
            ],
        },
    }


def _write_world(simulation: Simulation, folder: Path) -> None:
    world, truth = simulation.world, simulation.truth
    atomic.write_parquet(folder / "products.parquet", world.products)
    atomic.write_parquet(folder / "customers.parquet", _customers(simulation))
    arrays = {
        "price": world.price,
        "shelf_of_item": world.shelves.of_item,
        "shelf_members": world.shelves.members,
        "activity": world.activity,
        "customer_factors": world.customer_factors,
        "item_factors": world.item_factors,
        "appeal": world.appeal,
        "cart_quality": world.cart_quality,
        "purchase_quality": world.purchase_quality,
        "resolve": world.resolve,
        "needs_overall": world.needs.overall,
        "needs_offsets": world.needs.offsets,
        "needs_shelf": world.needs.shelf,
        "needs_count": world.needs.count,
        "taste_of_customer_by_regime": truth.taste,
        "appeal_of_item_by_regime": truth.appeal,
    }
    with atomic.replacing(folder / "world.safetensors") as temporary:
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, temporary)


def _customers(simulation: Simulation) -> pl.DataFrame:
    return schema.conform("customers", pl.DataFrame({schema.CUSTOMER: simulation.world.customers}))
