"""Predictions for splits about the next item of a sequence: the families ``leave_one_out`` and ``sessions``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data.sequences import Sequences
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.next_item import NEXT_ITEM
from shoploom.ensemble.next_item.fused import DEPTH, FusedNextItem
from shoploom.ensemble.next_item.network import Network
from shoploom.errors import DataError, UsageError, unknown_name
from shoploom.tasks.base import Ranked
from shoploom.training.sequence import SequenceRecipe

SERVED = "served"
SHARED = "shared"
FUSION = "gate"
EPOCHS = {"tiny": 4, "small": 40, "base": 80}


@dataclass(frozen=True)
class Split:
    """A split in memory.

    Args:
        train: Whole sequences.
        prefixes: One per case.
        cases: Ids of the cases.
        items: (I,) ids of the items.
        repeats: Whether an item of the prefix may come again.
        columns: Names of the prediction's columns: case, item, rank.
        depth: Length of the lists.
    """

    train: Sequences
    prefixes: Sequences
    cases: pl.Series
    items: pl.Series
    repeats: bool
    columns: tuple[str, str, str]
    depth: int


def run_sequences(
    folder: Path,
    task: Mapping[str, Any],
    out: Path,
    *,
    models: Sequence[str],
    seed: int,
    device: str,
    size: str,
    scratch: Path,
) -> dict[str, Any]:
    """Fit all members once and write the lists of each model.

    ``served`` is their fusion, ``shared`` the network alone; fusions and members go by name. With several models OUT
    becomes a folder with a file per model.

    Raises:
        UsageError: If a model is unknown.
    """
    del device, scratch
    known = [SERVED, SHARED, *NEXT_ITEM, *FUSIONS]
    for name in models:
        if name not in known:
            raise UsageError(unknown_name("model", name, known))
    split = read_split(folder, task)
    recipe = SequenceRecipe(epochs=EPOCHS.get(size, EPOCHS["small"]))
    network = Network(recipe, progress=_told)
    members = [network if name == Network.name else NEXT_ITEM.load(name)() for name in NEXT_ITEM]
    wanted = {FUSION if name == SERVED else name for name in models} & set(FUSIONS)
    fused = FusedNextItem(members, FUSIONS.load(FUSION)(), repeats=split.repeats)
    others = {name: FUSIONS.load(name)() for name in wanted - {FUSION}}
    fused.fit(split.train, seed=seed, others=list(others.values()))
    lists = fused.lists(split.prefixes, DEPTH)
    for name in models:
        member = Network.name if name == SHARED else name
        if member in lists:
            found = lists[member]
        else:
            one = fused if name in (SERVED, FUSION) else fused.with_fusion(others[name])
            found = one.fused(split.prefixes, lists, split.depth)
        target = out / f"{name}.parquet" if len(models) > 1 else out
        target.parent.mkdir(parents=True, exist_ok=True)
        as_table(split, found).write_parquet(target)
    return {"task": task["task"], "seed": seed, "size": size, "models": list(models)}


def read_split(folder: Path, task: Mapping[str, Any]) -> Split:
    """The tables of a split, by what its family calls them.

    Raises:
        DataError: If a table is missing or names items that the catalogue does not have.
    """
    inputs = _table(folder, "test_inputs")
    case, item, rank = task["prediction_columns"]
    depth = int(str(task["prediction_columns"][rank]).rsplit(" ", 1)[-1])
    history = next(name for name, kind in inputs.schema.items() if isinstance(kind, pl.List))
    fields: NDArray[np.int64] | None = None
    if task["family"] == "sessions":
        events = _table(folder, "clicks")
        owner, clock = events.columns[0], "time"
        items = events[item].unique().sort()
    else:
        events = _table(folder, "interactions")
        owner, clock = case, "position"
        if (folder / "items.parquet").is_file():
            catalogue = _table(folder, "items")
            items = catalogue[item]
            if "attribute_ids" in catalogue.columns:
                fields = attribute_codes(catalogue["attribute_ids"])
        else:
            items = pl.concat([events[item], inputs[history].explode().drop_nulls()]).unique().sort()
    rows = pl.DataFrame({item: items, "row": np.arange(len(items), dtype=np.int32)})
    ordered = events.with_row_index("place").join(rows, on=item).sort(owner, clock, "place")
    sizes = ordered.group_by(owner, maintain_order=True).len()["len"].to_numpy()
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    time = ordered[clock].to_numpy() / 86_400 if clock == "time" else None
    train = Sequences(ordered["row"].to_numpy(), offsets, len(items), time, fields)
    place = dict(zip(items.to_list(), range(len(items)), strict=True))
    lists = [[place[one] for one in each if one in place] for each in inputs[history].to_list()]
    prefixes = replace(Sequences.of_lists(lists, len(items)), fields=fields)
    return Split(train, prefixes, inputs[case], items, task["family"] == "sessions", (case, item, rank), depth)


def attribute_codes(texts: pl.Series) -> NDArray[np.int64]:
    """(I, F) codes from ids separated by spaces, -1 where an item has fewer."""
    lists = texts.fill_null("").str.split(" ").to_list()
    names = sorted({one for each in lists for one in each if one})
    place = {name: number for number, name in enumerate(names)}
    width = max((sum(bool(one) for one in each) for each in lists), default=0)
    found = np.full((len(lists), width), -1, dtype=np.int64)
    for row, each in enumerate(lists):
        codes = [place[one] for one in each if one]
        found[row, : len(codes)] = codes
    return found


def as_table(split: Split, lists: Ranked) -> pl.DataFrame:
    """Rows of case, item and rank."""
    case, item, rank = split.columns
    found = lists.items[:, : split.depth]
    row, column = np.nonzero(found >= 0)
    return pl.DataFrame(
        {
            case: split.cases.gather(row),
            item: split.items.gather(found[row, column]),
            rank: column.astype(np.int64) + 1,
        }
    )


def _table(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing; split the task again")
    return pl.read_parquet(path)


def _told(step: int, total: int, losses: Mapping[str, float]) -> None:
    if step % 100 == 0 or step == total:
        shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        sys.stderr.write(f"step {step} of {total}: loss {shown}\n")
