"""A tiny published shop whose rankings are answered by ensembles: real members, fitted in a second.

Which members collaborate, and what they are worth, is made up, so that the same rung answers on every machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shoploom.data.arrays import ShopArrays
from shoploom.data.workspace import Workspace
from shoploom.ensemble.court import FUSED
from shoploom.ensemble.fused import Fused, Rung
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.load import member_folder
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.panel import Panel, Role, Step
from shoploom.registry import Registry
from shoploom.tasks import TASKS
from shoploom.tasks.base import Ranked

BUDGET = 15.0
MEMBERS_OF = {
    "next_basket": {
        "decayed_frequency": Role(alone=0.52, without=0.31, share=0.55, ms=2.0),
        "tifu_knn": Role(alone=0.50, without=0.57, share=0.30, ms=6.0),
        "popularity": Role(alone=0.12, without=0.601, share=0.15, ms=1.0),
        "lightgbm_ranker": Role(alone=0.54, without=0.60, share=0.0, ms=40.0),
    },
    "new_for_you": {
        "recent_popularity": Role(alone=0.30, without=0.25, share=0.6, ms=1.0),
        "neighbours": Role(alone=0.25, without=0.30, share=0.4, ms=4.0),
    },
}
VALUES = {"next_basket": {4: 0.61, 3: 0.60, 2: 0.58}, "new_for_you": {2: 0.33}}
"""Main metric of the ensemble of the first so many members."""
ALONE = {"churn": "few_trips", "spend": "usual_spend"}


def panel_of(name: str) -> Panel:
    """The made-up panel of a ranking: the best ensemble that the budget of a training allows serves."""
    roles = MEMBERS_OF[name]
    ladder = tuple(
        Step(tuple(roles)[:count], VALUES[name][count], sum(one.ms for one in list(roles.values())[:count]))
        for count in range(len(roles), 1, -1)
    )
    fusions = {kind: ladder[0].value - 0.01 * place for place, kind in enumerate(FUSIONS, start=1)}
    fusions["rank_average"] = ladder[0].value
    kept = [Rung(one.members, FUSIONS.load("rank_average")(), one.value, one.ms) for one in ladder if one.ms <= BUDGET]
    nobody = Ranked(np.zeros((0, 1), np.int32), np.zeros((0, 1)))
    return Panel("rank_average", fusions, roles, ladder, tuple(kept), nobody)


def ensemble_of(shop: ShopArrays, name: str) -> Fused:
    """What the panel chose, fitted."""
    panel = panel_of(name)
    return Fused({one: _fitted(shop, name, one) for one in panel.rung.members}, panel.rungs)


def publish_ensembles(workspace: Workspace, *, promote: bool = True) -> str:
    """Publish an ensemble for each ranking, and a member that answers alone for two other tasks."""
    tables = workspace.load_tables()
    shop = ShopArrays.build(tables)

    def write(folder: Path) -> dict[str, Any]:
        tasks: dict[str, Any] = {"category": {"missing": "too few labelled products"}}
        for name in MEMBERS_OF:
            ensemble_of(shop, name).save(member_folder(folder, name, FUSED))
            about = {"served_by": FUSED, "reason": "the ensemble is better than each member"}
            tasks[name] = {**about, "metric": TASKS.load(name).metric, "panel": panel_of(name).to_dict()}
        for name, one in ALONE.items():
            _fitted(shop, name, one).save(member_folder(folder, name, one))
            tasks[name] = {"served_by": one, "reason": f"{one} is the only member", "metric": TASKS.load(name).metric}
        facts = {"clock_end": tables.end.isoformat(), "data_fingerprint": workspace.fingerprint()}
        return {**facts, "tasks": tasks, "config": {"train": {"max_ms": BUDGET}}, "seed": 0}

    registry = Registry(workspace.models_dir)
    version = registry.publish(write)
    if promote:
        registry.promote(version)
    return version


def _fitted(shop: ShopArrays, task: str, name: str) -> Member:
    member: Member = MEMBERS.load(name)()
    member.fit(shop, TASKS.load(task)())
    return member
