"""The family ``shop``: one cut, one training, all heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.judged_rules import cleaning_of, clock_of, mapping_of
from shoploom.config import Config, ShopConfig, TrainConfig
from shoploom.data.arrays import ShopArrays, day_of
from shoploom.data.sources.importing import import_source
from shoploom.data.workspace import Workspace
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.members.shared import Shared
from shoploom.errors import UsageError, unknown_name
from shoploom.pipeline import Build, build_version
from shoploom.tasks.base import Cases, Classes, Prediction, Ranked

TABLE_OF = {"transactions": "events", "products": "products", "customers": "customers", "promotions": "promotions"}
ORDER = ("products", "customers", "promotions", "transactions")


def run_shop(
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
    """Import, train once, predict every head of the split for each model.

    Raises:
        UsageError: If a model is unknown.
    """
    for name in models:
        if name not in ("served", "shared") and name not in MEMBERS:
            raise UsageError(unknown_name("model", name, ["served", *MEMBERS]))
    shop, config = load_shop(folder, task, scratch, TrainConfig(size=size, seed=seed, device=device))
    build = build_version(shop, config.train, folder=None)
    done: dict[str, Any] = {"task": task["task"], "seed": seed, "size": size, "models": {}}
    for name in models:
        target = out / name if len(models) > 1 else out
        target.mkdir(parents=True, exist_ok=True)
        done["models"][name] = _predict(folder, task, target, name, shop, build, seed)
    done["cost"] = build.seconds | {"parameters": build.parameters}
    done["court"] = {
        head: {name: round(one[verdict.metric].value, 4) for name, one in verdict.members.items()}
        for head, verdict in build.verdicts.items()
    }
    return done


def load_shop(folder: Path, task: Mapping[str, Any], scratch: Path, train: TrainConfig) -> tuple[ShopArrays, Config]:
    """The split's tables through the ordinary sources, as known at its cut."""
    cut = datetime.fromisoformat(task["cut"])
    levels = task["roles"].get("products", {}).get("category", [])
    names: list[str] = []
    if levels:
        products = pl.read_parquet(folder / "products.parquet", columns=list(levels))
        names = [one for level in levels for one in products[level].drop_nulls().unique().to_list()]
    config = Config(
        shop=ShopConfig(name=str(task["task"])),
        cleaning=cleaning_of(task, names),
        clock=clock_of(task),
        train=train,
    )
    workspace = Workspace.init(scratch / "shop", config)
    for table in ORDER:
        path = folder / f"{table}.parquet"
        if path.is_file():
            mapping = mapping_of(task, table)
            if "block" in mapping:
                mapping |= _block_options(mapping, task, cut)
            import_source(workspace, "files", paths=[path], table=TABLE_OF[table], mapping=mapping)
    tables = workspace.load_tables(cut)
    workspace.close()
    return ShopArrays.build(dataclasses.replace(tables, end=cut, clock=config.clock)), config


def _block_options(mapping: dict[str, str], task: Mapping[str, Any], cut: datetime) -> dict[str, str]:
    """Blocks count from the cut; every attribute of the plan is the share of stores of one kind of promotion."""
    return {
        "share": mapping.pop("attributes"),
        "block_origin": cut.isoformat(sep=" "),
        "block_days": str(task["block_days"]),
    }


def _predict(
    folder: Path, task: Mapping[str, Any], out: Path, model: str, shop: ShopArrays, build: Build, seed: int
) -> dict[str, str]:
    """One parquet file per head; returns who answered."""
    answered: dict[str, str] = {}
    for head, about in task["heads"].items():
        if head not in build.members:
            continue
        member = member_of(model, head, shop, build, seed)
        inputs = pl.read_parquet(folder / about["inputs"])
        cases = cases_of(head, inputs, shop)
        prediction = member.predict(shop, cases)
        table = table_of(head, inputs, shop, prediction, build)
        table.write_parquet(out / about["predictions"])
        answered[head] = type(member).name
    return answered


def member_of(model: str, head: str, shop: ShopArrays, build: Build, seed: int) -> Member:
    """The serving member, the shared model, or a rival where it knows the head (else the serving member)."""
    if model == "shared":
        return Shared(build.answers, head)
    if model == "served" or model not in build.tasks[head].rivals:
        return build.members[head]
    member: Member = MEMBERS.load(model)()
    member.fit(shop, build.tasks[head], seed=seed)
    return member


def cases_of(head: str, inputs: pl.DataFrame, shop: ShopArrays) -> Cases:
    """The inputs of a head as cases."""
    if "customer_id" in inputs.columns:
        ids = _texts(inputs["customer_id"])
        if head == "profile":
            ids = ids.unique(maintain_order=True)
        units = shop.customers.rows(ids)
        when = np.array([day_of(one) for one in inputs["time"]]) if "time" in inputs.columns else None
        repeats = "exclude" if head == "new_for_you" else "allow"
        return Cases(units, when=when, k=20, repeats=repeats)  # type: ignore[arg-type]
    units = shop.items.rows(_texts(inputs["product_id"]))
    blocks = inputs["block"].to_numpy().astype(np.int32) if "block" in inputs.columns else None
    return Cases(units, blocks=blocks)


def table_of(head: str, inputs: pl.DataFrame, shop: ShopArrays, prediction: Prediction, build: Build) -> pl.DataFrame:
    """A prediction in the columns that the judge wants, ids in the types of the inputs."""
    if isinstance(prediction, Ranked):
        query, rank = np.nonzero(prediction.items >= 0)
        products = pl.Series("product_id", [shop.items.ids[row] for row in prediction.items[query, rank]], pl.Utf8)
        return pl.DataFrame({"customer_id": inputs["customer_id"][query], "product_id": products, "rank": rank + 1})
    if isinstance(prediction, Classes):
        return _profile(inputs, prediction)
    columns = dict(prediction.columns)
    value = {"spend": "spend", "price": "price"}.get(head)
    if value:
        columns[value] = columns.pop("mean")
    if head == "price":
        columns = {name: np.maximum(one, 1e-3) for name, one in columns.items()}
    keys = [name for name in ("customer_id", "product_id", "block") if name in inputs.columns]
    return inputs.select(keys).with_columns(**{name: pl.Series(one) for name, one in columns.items()})


def _profile(inputs: pl.DataFrame, prediction: Classes) -> pl.DataFrame:
    """Long rows (customer, attribute, value, probability) for the pairs of the inputs."""
    ids = inputs["customer_id"].unique(maintain_order=True)
    place = {one: row for row, one in enumerate(ids.to_list())}
    tables = []
    for (attribute,), rows in inputs.group_by("attribute", maintain_order=True):
        values = prediction.values[str(attribute)]
        shares = prediction.probabilities[str(attribute)]
        shares = shares / shares.sum(axis=1, keepdims=True)
        at = np.array([place[one] for one in rows["customer_id"].to_list()])
        tables.append(
            rows[np.repeat(np.arange(rows.height), len(values))].with_columns(
                value=pl.Series(list(values) * rows.height, dtype=pl.Utf8),
                probability=pl.Series(shares[at].ravel()),
            )
        )
    return pl.concat(tables)


def _texts(column: pl.Series) -> pl.Series:
    """Ids as the import spells them."""
    if column.dtype.is_float():
        column = column.cast(pl.Int64)
    return column.cast(pl.Utf8)
