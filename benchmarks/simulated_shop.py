"""Shops for load tests: a workspace in which an ensemble serves whoever won the court, and one with many products.

Both change a copy of a trained workspace. What they serve is made for measuring time, never for measuring quality.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.workspace import Workspace
from shoploom.ensemble.context import in_context
from shoploom.ensemble.court import FUSED, SHARED
from shoploom.ensemble.fused import DEPTH, Fused, Rung
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.fusions.base import Fusion
from shoploom.ensemble.fusions.pool import Pool
from shoploom.ensemble.load import MEMBERS_FOLDER, SHARED_FOLDER, load_member, member_folder
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.members.shared import Shared
from shoploom.ensemble.panel import milliseconds, spread
from shoploom.errors import NotFoundError, UsageError
from shoploom.registry import Registry
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Ranked, Task

RESERVED = ("files", "format", "shoploom", "version")
FITTED_ON = 60
"""Cases from which the fusion learns; a million dense scores for each of many more would not fit into memory."""
SOURCE = "simulated"
ZIPF, OFFSET = 0.8, 10.0
"""The r-th new product sells in proportion to (r + OFFSET) ** -ZIPF."""


def serve_together(path: Path, task_name: str, members: Sequence[str] = (), *, refit: bool = False) -> list[str]:
    """Publish and promote a copy of the champion in which an ensemble answers a ranking.

    Members that the champion keeps are taken over, others are fitted on all data. The fusion is of the kind that the
    court liked best, and is fitted on the last horizon, which the members know already: right for time only.

    Args:
        path: The workspace; is changed.
        task_name: A ranking.
        members: Who answers; none: those that the court's panel chose.
        refit: Fit all members anew but the shared model: the shop has grown since.

    Returns:
        Who answers.

    Raises:
        UsageError: If nobody is named and the champion tried no ensemble, or the task is no ranking.
    """
    workspace = Workspace.open(path)
    registry = Registry(workspace.models_dir)
    champion = registry.champion()
    if champion is None:
        raise UsageError(f"{path} has no promoted version; run `shoploom train` first")
    manifest, folder = registry.manifest(champion), registry.folder(champion)
    entry: dict[str, Any] = manifest["tasks"].get(task_name, {})
    panel: dict[str, Any] = entry.get("panel") or {}
    if not members and not refit and entry.get("served_by") == FUSED:
        return [str(one) for one in panel["serves"]]
    names = list(members or panel.get("serves", ()))
    task: Task = TASKS.load(task_name)()
    if not names or task.shape != "ranking":
        raise UsageError(f"version {champion} tried no ensemble for {task_name}; name members, or choose a ranking")
    shop = ShopArrays.build(workspace.load_tables())
    fitted = {name: _member(folder, shop, task, name, refit=refit) for name in names}
    fused = _fused(fitted, shop, task, panel.get("fusion", "gate"))

    def write(target: Path) -> dict[str, Any]:
        for name in (SHARED_FOLDER, MEMBERS_FOLDER):
            shutil.copytree(folder / name, target / name)
        for member in fused.members.values():
            if isinstance(member, Shared):
                member.stored = target / SHARED_FOLDER
        home = member_folder(target, task_name, FUSED)
        shutil.rmtree(home, ignore_errors=True)
        fused.save(home)
        about = {"members": names, "value": 0.0, "ms": fused.rung.ms}
        roles = {name: {"alone": 0.0, "without": 0.0, "share": 0.0, "ms": 0.0} for name in names}
        kind = fused.rung.fusion.name
        said = {"fusion": kind, "fusions": {kind: 0.0}, "members": roles, "rungs": [about], "serves": names}
        reason = "made to serve by a benchmark; nobody judged it"
        changed = entry | {"served_by": FUSED, "reason": reason, "panel": said}
        kept = {name: one for name, one in manifest.items() if name not in RESERVED}
        return kept | {"tasks": manifest["tasks"] | {task_name: changed}}

    registry.promote(registry.publish(write))
    return names


def enlarge(path: Path, products: int, *, sales: int, seed: int = 0) -> None:
    """Add simulated products and sales to a workspace until its catalogue has so many products.

    A new product has the title, category and attributes of one that is there, the brand of another and a price about
    that of the first. A new sale is one that is there, of a new product: each customer buys more, nobody more often.

    Args:
        path: The workspace; is changed.
        products: Of the catalogue, in the end.
        sales: Order lines to add.
        seed: Of what is drawn.
    """
    workspace, draws = Workspace.open(path), np.random.default_rng(seed)
    known = workspace.read("products")
    count = products - len(known)
    if count <= 0:
        return
    like = known[draws.integers(len(known), size=count)]
    brands = known[schema.BRAND].gather(draws.integers(len(known), size=count))
    ids = pl.Series(schema.PRODUCT, [f"{SOURCE}-{number:07d}" for number in range(count)])
    factor = pl.Series(np.exp(0.3 * draws.standard_normal(count)))
    added = like.with_columns(ids, brands.alias(schema.BRAND), (pl.col(schema.PRICE) * factor).round(2))
    workspace.append("products", added, source=SOURCE)
    events = workspace.read("events")
    bought = events.filter((pl.col(schema.TYPE) == schema.PURCHASE) & pl.col(schema.CUSTOMER).is_not_null())
    chance = (np.arange(count) + OFFSET) ** -ZIPF
    chosen = draws.choice(count, size=sales, p=chance / chance.sum())
    lines = bought[draws.integers(len(bought), size=sales)].with_columns(
        ids.gather(chosen),
        pl.Series(schema.EVENT_ID, [f"{SOURCE}-{number:07d}" for number in range(sales)]),
    )
    workspace.append("events", lines, source=SOURCE)
    workspace.close()


def _member(folder: Path, shop: ShopArrays, task: Task, name: str, *, refit: bool) -> Member:
    """From the version where it is kept, else fitted."""
    if name == SHARED or not refit:
        try:
            return load_member(folder, task.name, name)
        except NotFoundError:
            if name == SHARED:
                raise
    sys.stderr.write(f"fitting {name}\n")
    member: Member = MEMBERS.load(name)()
    member.fit(shop, task)
    return member


def _fused(members: dict[str, Member], shop: ShopArrays, task: Task, kind: str) -> Fused:
    past = shop.before(shop.end - shop.clock.horizon_days)
    cases = task.cases(past, shop.between(past.end, shop.end))
    cases = cases.take(spread(len(cases), FITTED_ON))
    assert cases.truth is not None
    now = Cases(cases.units, k=DEPTH, repeats=cases.repeats)
    lists: dict[str, Ranked] = {}
    for name, member in members.items():
        found = member.predict(shop, now)
        assert isinstance(found, Ranked), f"{name} does not rank"
        lists[name] = found
    pool = in_context(shop, now, Pool.of(lists))
    fusion: Fusion = FUSIONS.load(kind)()
    fusion.fit(pool, pool.hits(cases.truth))
    some = replace(now, k=DEPTH)
    ms = sum(milliseconds(member, shop, some) for member in members.values())
    return Fused(members, [Rung(tuple(members), fusion, 0.0, round(ms, 3))])
