"""The funnel on a stream whose truth is known: every member beside the best possible ranker.

    python -m benchmarks.funnel [--events 5e6] [--members esmm,dcn] [--workspace DIR] [--seed 0]

Trains on the first part of a simulated stream, as it was known at the cut (late purchases had not come yet), and is
asked about the impressions after it. Prints JSON: AUC of every stage where it was shown and once examined beside the
true probabilities', calibration by segment, and how click rates by item, once corrected for the position, go with the
truth.
"""

# Shapes: n impressions, S stages, K items

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.data.impressions import ImpressionLog, Impressions
from shoploom.data.workspace import Workspace
from shoploom.ensemble.funnel import FUNNEL
from shoploom.ensemble.funnel.fused import FusedFunnel
from shoploom.ensemble.funnel.network import FunnelNetwork
from shoploom.features.funnel import FunnelFeatures
from shoploom.metrics.calibration import by_segment
from shoploom.metrics.classification import auc
from shoploom.model.funnel.delay import fit_delay
from shoploom.model.funnel.position import Examined, ips_rate, position_em, theta_by_propensity
from shoploom.simulation import Settings, Simulation, World

STAGES = ("click", "cart", "purchase")
SEGMENTS = ("new or rare", "occasional", "frequent")
TRAIN_SHARE = 0.8
LEAST_SHOWN = 100
"""Items shown less often after the cut are left out of the correlation with the truth."""


def read(simulation: Simulation, world: World) -> tuple[ImpressionLog, F64, F64, NDArray[np.bool_], F64]:
    """The log, (n, S) true chances to be seen to reach each stage, (n, S) once examined, who examined, propensity."""
    parts: list[dict[str, NDArray[Any]]] = []
    for chunk in simulation.chunks(200_000):
        names = (
            "time",
            "customer",
            "item",
            "shelf",
            "position",
            "price",
            "regular_price",
            "propensity",
            "p_examine",
            "examined",
        )
        part = {name: np.asarray(getattr(chunk, name)) for name in names}
        part["stage_time"] = np.column_stack([chunk.click_time, chunk.cart_time, chunk.purchase_time])
        part["truth"] = np.cumprod(np.column_stack([chunk.p_relevant, chunk.p_cart, chunk.p_purchase]), axis=1)
        parts.append(part)
    table = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    order = np.argsort(table["time"], kind="stable")
    table = {name: one[order] for name, one in table.items()}
    _, shelf_of_item = np.unique(
        world.products["category"].list.join("/").fill_null("").to_numpy(), return_inverse=True
    )
    category = shelf_of_item[table["item"]].astype(np.int32) + 1
    log = ImpressionLog(
        STAGES,
        table["customer"].astype(np.int32) + 1,
        table["item"].astype(np.int32) + 1,
        category,
        (len(world.customers) + 1, len(world.items) + 1, int(shelf_of_item.max()) + 2),
        table["position"].astype(np.int32) - 1,
        table["time"],
        table["stage_time"],
        {"shelf": (table["shelf"].astype(np.int32) + 1, len(world.shelves) + 1)},
        {"log_price_ratio": np.log(table["price"] / table["regular_price"]).astype(np.float32)},
    )
    truth = table["truth"]
    return log, truth * table["p_examine"][:, None], truth, table["examined"].astype(np.bool_), table["propensity"]


def run(world: World, settings: Settings, *, members: Sequence[str], seed: int, examination: str) -> dict[str, Any]:
    """Simulate, train, measure."""
    watch = _Watch()
    log, seen_truth, examined_truth, examined, propensity = read(Simulation(world, settings), world)
    cut = float(np.quantile(log.time, TRAIN_SHARE))
    late = log.time >= cut
    known = log.known_at(cut)
    watch("simulate")
    bias = position_em(known.item, known.position, np.isfinite(known.stage_time[:, 0]), num_groups=known.sizes[1])
    theta = theta_by_propensity(known.position, np.isfinite(known.stage_time[:, 0]), propensity[~late])
    watch("position")
    waited = known.stage_time[:, 2] - known.stage_time[:, 1]
    bought = np.isfinite(waited)
    delay = fit_delay(waited[bought], (cut - known.stage_time[:, 1])[bought])
    features = FunnelFeatures(known, theta=theta)
    train = features.impressions(known, matured=_matured(known, cut))
    # weights stay as they were at the cut; counts go on, and each impression sees what was before it
    test = FunnelFeatures(log, theta=theta, overall=features.overall).impressions(log.take(late))
    if examination == "propensity":
        train, test = (
            replace(one, examined=theta[np.minimum(one.position, len(theta) - 1)].astype(np.float32))
            for one in (train, test)
        )
    watch("features")
    segment = _segments(known, test)
    fused = FusedFunnel([FUNNEL.load(name)() for name in members])
    fused.fit(train, seed=seed, refit=False)
    watch("fit")
    answers = fused.predictions(test)
    found = {**answers, "fused": fused.fused(test, answers)}
    watch("predict")
    once = test.as_examined()
    done: dict[str, Any] = {
        "impressions": {"train": len(train), "test": len(test)},
        "reached": dict(zip(STAGES, test.reached.mean(axis=0).round(5).tolist(), strict=True)),
        "mean_delay_days_seen": float(waited[bought].mean()),
        "mean_delay_days_fitted": 1 / delay.rate,
        "auc": {},
        "ece": {},
        "held_auc": fused.held_auc,
        "stack_weights": dict(zip([*members, "shift"], fused.weights.round(3).tolist(), strict=True)),
    }
    best = _aucs(test, seen_truth[late])
    done["auc"]["bayes"] = best
    for name, one in found.items():
        done["auc"][name] = _aucs(test, one)
        done["ece"][name] = _worst_ece(test, one, segment)
    done["below_bayes"] = {
        name: {stage: round(best[stage] - value[stage], 5) for stage in STAGES} for name, value in done["auc"].items()
    }
    done["calibration"] = _calibration(test, found["fused"], segment)
    done["position"] = _position(known, bias, theta, log.take(late), examined_truth[late], fused, once, watch)
    watch("measure")
    rows = examined[late]
    debiased = {name: member.predict(once)[rows] for name, member in fused.members.items()}
    done["auc_once_examined"] = {"bayes": _aucs(once.take(rows), examined_truth[late][rows])} | {
        name: _aucs(once.take(rows), one) for name, one in debiased.items()
    }
    done["seconds"] = watch.seconds
    done["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return done


def _matured(known: ImpressionLog, cut: float) -> NDArray[np.float32]:
    """(n, S) the chance that each stage would have been seen by the cut, from delays as they were known then.

    A click and a cart come within the session; a purchase late. Delays are a mixture of "at once" and exponential.
    """
    waited = known.stage_time[:, 2] - known.stage_time[:, 1]
    bought = np.isfinite(waited)
    at_once = bought & (waited < 0.25)
    slow = bought & ~at_once
    elapsed = cut - known.time
    found = np.ones((len(known), 3), dtype=np.float32)
    if slow.any():
        delay = fit_delay(waited[slow], elapsed[slow])
        mature = delay.maturity(elapsed)
        # those seen late stand for more than themselves
        share = float((1 / mature[slow]).sum() / ((1 / mature[slow]).sum() + at_once.sum()))
        found[:, 2] = 1 - share + share * mature
    return found


def _segments(known: ImpressionLog, test: Impressions) -> NDArray[np.int64]:
    """(n,) customers by impressions before the cut, in thirds."""
    shown = np.bincount(known.customer, minlength=known.sizes[0])
    edges = np.quantile(shown[shown > 0], [1 / 3, 2 / 3])
    return np.searchsorted(edges, shown[test.field("customer")])


def _aucs(rows: Impressions, found: F64) -> dict[str, float]:
    return {name: round(auc(rows.reached[:, place], found[:, place]), 5) for place, name in enumerate(STAGES)}


def _worst_ece(rows: Impressions, found: F64, segment: NDArray[np.int64]) -> dict[str, float]:
    lines = [by_segment(rows.reached[:, place], found[:, place], segment, SEGMENTS) for place in range(len(STAGES))]
    return {name: round(max(one.ece for one in each), 5) for name, each in zip(STAGES, lines, strict=True)}


def _calibration(rows: Impressions, found: F64, segment: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [
        {"stage": name, **line.to_dict()}
        for place, name in enumerate(STAGES)
        for line in by_segment(rows.reached[:, place], found[:, place], segment, SEGMENTS)
    ]


def _position(
    known: ImpressionLog,
    bias: Examined,
    theta: F64,
    test: ImpressionLog,
    truth: F64,
    fused: FusedFunnel,
    once: Impressions,
    watch: _Watch,
) -> dict[str, Any]:
    """Click rates by item against the mean true relevance after the cut."""
    size = known.sizes[1]
    shown = np.bincount(test.item, minlength=size)
    before = np.bincount(known.item, minlength=size)
    kept = (shown >= LEAST_SHOWN) & (before >= LEAST_SHOWN)
    true = np.bincount(test.item, truth[:, 0], size)[kept] / shown[kept]
    clicked = np.isfinite(known.stage_time[:, 0])
    naive = np.bincount(known.item, clicked, size) / np.maximum(before, 1)
    place = np.minimum(known.position, len(theta) - 1)
    rates: dict[str, F64] = {
        "naive": naive,
        "em": bias.gamma,
        "ips": ips_rate(known.item, clicked, theta[place], num_groups=size, prior=20.0),
    }
    for name, member in fused.members.items():
        rates[name] = np.bincount(test.item, member.predict(once)[:, 0], size) / np.maximum(shown, 1)
    watch("by_item")
    found: dict[str, Any] = {
        "items": int(kept.sum()),
        "theta": {"em": bias.theta.round(4).tolist(), "propensity": theta.round(4).tolist()},
        "correlation": {name: round(float(np.corrcoef(one[kept], true)[0, 1]), 4) for name, one in rates.items()},
        "mean_ratio": {name: round(float(one[kept].mean() / true.mean()), 4) for name, one in rates.items()},
    }
    for name, member in fused.members.items():
        if isinstance(member, FunnelNetwork):
            found["theta"][name] = member.theta().round(4).tolist()
            naive_of = np.corrcoef(member.predict(once)[:, 0], truth[:, 0])[0, 1]
            found.setdefault("correlation_by_impression", {})[name] = round(float(naive_of), 4)
    return found


class _Watch:
    """Seconds of each part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self.last, 1)
        self.last = now
        sys.stderr.write(f"{name}: {self.seconds[name]} s\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=float, default=5e6)
    parser.add_argument("--days", type=float, default=90.0)
    parser.add_argument("--members", default=",".join(FUNNEL))
    parser.add_argument("--workspace", type=Path, help="a workspace with a shop; else a synthetic world")
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--customers", type=int, default=300, help="of the synthetic world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examination", choices=("propensity", "joint"), default="propensity")
    parser.add_argument("--click-model", default="position")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.workspace is None:
        world = World.synthetic(customers=options.customers, products=options.products, seed=options.seed)
    else:
        shop = ShopArrays.build(Workspace.open(options.workspace).load_tables())
        world = World.of_shop(shop, products=options.products, seed=options.seed)
    settings = Settings(events=options.events, seed=options.seed, days=options.days, click_model=options.click_model)
    about: Mapping[str, Any] = {
        "events": options.events,
        "customers": len(world.customers),
        "products": len(world.items),
        "world": "synthetic" if options.workspace is None else "shop",
        "seed": options.seed,
        "examination": options.examination,
    }
    members = [name.strip() for name in options.members.split(",") if name.strip()]
    done = {**about, **run(world, settings, members=members, seed=options.seed, examination=options.examination)}
    sys.stdout.write(json.dumps(done, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
