"""The family ``next_basket``: a shop's tables without roles, and each customer's next order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.judged_shop import cases_of, member_of, table_of
from shoploom.config import CleaningConfig, Config, ShopConfig, TrainConfig
from shoploom.data.arrays import ShopArrays
from shoploom.data.sources.importing import import_source
from shoploom.data.workspace import Workspace
from shoploom.ensemble.members import MEMBERS
from shoploom.errors import DataError, UsageError, unknown_name
from shoploom.pipeline import build_version

HEAD = "next_basket"
TABLE_OF = {"products": "products", "demographics": "customers", "promotions": "promotions", "transactions": "events"}
WEEK = timedelta(days=7)


def run_baskets(
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
    """Import with detected columns, train once for all heads, predict the next order for each model.

    Raises:
        UsageError: If a model is unknown.
        DataError: If a table is missing.
    """
    for name in models:
        if name not in ("served", "shared") and name not in MEMBERS:
            raise UsageError(unknown_name("model", name, ["served", "shared", *MEMBERS]))
    shop = _shop(folder, task, scratch)
    inputs = pl.read_parquet(folder / "test_inputs.parquet")
    build = build_version(shop, TrainConfig(size=size, seed=seed, device=device), folder=None)
    cases = cases_of(HEAD, inputs, shop)
    answered = {}
    for name in models:
        member = member_of(name, HEAD, shop, build, seed)
        target = out / f"{name}.parquet" if len(models) > 1 else out
        target.parent.mkdir(parents=True, exist_ok=True)
        lists = table_of(HEAD, inputs, shop, member.predict(shop, cases), build)
        lists.cast({"product_id": pl.Int64}, strict=False).write_parquet(target)
        answered[name] = type(member).name
    return {"task": task["task"], "seed": seed, "size": size, "models": answered, "cost": build.seconds}


def _shop(folder: Path, task: Mapping[str, Any], scratch: Path) -> ShopArrays:
    """The tables through the ordinary sources, as known at the cut."""
    cut = datetime.fromisoformat(str(task["notes"]["cut"]))
    whole = CleaningConfig(purchases_are_goods=False)  # the whole basket counts, services and all
    config = Config(shop=ShopConfig(name=str(task["task"])), cleaning=whole)
    workspace = Workspace.init(scratch / "shop", config)
    for name, table in TABLE_OF.items():
        path = folder / f"{name}.parquet"
        if not path.is_file():
            if name == "transactions":
                raise DataError(f"{path} is missing; split the task again")
            continue
        mapping = _weeks(folder, path) if name == "promotions" else {}
        import_source(workspace, "files", paths=[path], table=table, mapping=mapping)
    tables = workspace.load_tables(cut)
    workspace.close()
    return ShopArrays.build(dataclasses.replace(tables, end=cut, clock=config.clock))


def _weeks(folder: Path, path: Path) -> dict[str, str]:
    """Week numbers of the promotion plan as blocks that begin where the shop's own weeks do."""
    columns = pl.read_parquet_schema(path)
    events = pl.read_parquet(folder / "transactions.parquet", columns=["time", "week"])
    first = events.group_by("week").agg(pl.col("time").min().dt.truncate("1d")).filter(pl.col("week") > 1)
    origin = first.select((pl.col("time") - pl.col("week") * WEEK).median()).item()
    shares = [name for name in columns if name.endswith("share")]
    return {
        "product_id": "product_id",
        "block": "week",
        "share": ", ".join(shares),
        "block_origin": origin.isoformat(sep=" "),
        "block_days": "7",
    }
