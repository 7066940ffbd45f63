"""Do explanations hold? How far recommended products fall without their reason, beside what random removals do.

    python -m benchmarks.because WORKSPACE

For customers drawn at random: the first products of the list as it is, and of the list of discoveries. The control
takes as many products out of the history as the reason has, drawn at random. Reads the workspace only. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoploom.inference.because import FALL, Asked, Effect, Replay, Why, because
from shoploom.inference.catalogue import Filters
from shoploom.inference.served import Served
from shoploom.inference.suspects import Suspect
from shoploom.shop import Shop
from shoploom.tasks.base import Repeats

LISTS: tuple[Repeats, ...] = ("auto", "exclude")
CODES = ("history", "whole_history", "popular", "not_ranked")
WARM_UP = 2


@dataclass
class Found:
    """What one kind of list gave.

    Args:
        told: Every product explained.
        controls: Places that products with a reason fall without random other products.
        per_list, per_product: Seconds and processor seconds, per list and for its first product alone.
    """

    told: list[Why] = field(default_factory=list)
    controls: list[int] = field(default_factory=list)
    per_list: list[tuple[float, float]] = field(default_factory=list)
    per_product: list[tuple[float, float]] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.because", description=__doc__.split("\n\n")[0])
    parser.add_argument("workspace", type=Path, help="one with a promoted version")
    parser.add_argument("--customers", type=int, default=100, help="drawn at random among those with a history")
    parser.add_argument("-k", type=int, default=10, help="products of each list")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    served = Shop.open(options.workspace).engine.current
    state, draws = served.state, np.random.default_rng(options.seed)
    known = [one for one in state.shop.customers.ids if state.num_lines(state.customer(one))]
    chosen = draws.choice(np.array(known), min(options.customers, len(known)), replace=False).tolist()
    facts = {"model_version": served.version, "customers": len(chosen), "k": options.k, "fall": FALL}
    lists = {one: figures(explained(served, chosen, one, options.k, draws)) for one in LISTS}
    print(json.dumps(facts | {"lists": lists}, indent=2))
    return 0


def explained(served: Served, customers: Sequence[str], repeats: Repeats, k: int, draws: np.random.Generator) -> Found:
    """Explain each customer's list; as many first customers as warm up are explained twice."""
    found = Found()
    allowed = served.state.allowed(Filters())
    for customer in [*customers[:WARM_UP], *customers]:
        shown = served.recommend(customer, k=k, repeats=repeats)
        asked = Asked(served.state.customer(customer), shown.when, k, repeats, allowed)
        told, seconds = timed(served, asked, shown.items)
        found.per_list.append(seconds)
        found.per_product.append(timed(served, asked, shown.items[:1])[1])
        if len(found.per_list) > WARM_UP:
            found.told += told
            found.controls += control(Replay(served, asked), told, draws)
    return found


def timed(served: Served, asked: Asked, items: Sequence[int]) -> tuple[list[Why], tuple[float, float]]:
    """The explanations, the seconds they took, and the processor's seconds: those do not grow with other work."""
    start, busy = time.perf_counter(), time.process_time()
    told = because(served, asked, items)
    return told, (time.perf_counter() - start, time.process_time() - busy)


def control(replay: Replay, told: Sequence[Why], draws: np.random.Generator) -> list[int]:
    """Places that each product with a reason falls without other products, as many as the reason has."""
    own = np.unique(replay.history.item)
    wanted: list[tuple[int, Suspect]] = []
    for one in told:
        if one.code == "history":
            others = np.setdiff1d(own, [one.item, *one.effects[0].suspect.items])
            number = min(len(one.effects[0].suspect.items), len(others))
            wanted += [(one.item, Suspect("products", tuple(draws.choice(others, number, replace=False).tolist())))]
    usual, *without = replay.lists([suspect for _, suspect in wanted])
    return [
        other.places.get(item, len(other.places) + 1) - usual.places[item]
        for (item, _), other in zip(wanted, without, strict=True)
    ]


def figures(found: Found) -> dict[str, Any]:
    """Shares are of all products explained, falls of those with a reason in the history."""
    reasons = [(one, one.effects[0]) for one in found.told if one.code == "history"]
    kinds = Counter(kind(one, effect) for one, effect in reasons)
    sizes = [len(effect.suspect.items) for _, effect in reasons if effect.suspect.kind in ("products", "categories")]
    return {
        "products": len(found.told),
        **{code: share(one.code == code for one in found.told) for code in CODES},
        "history_but_also_popular": share(one.code == "history" and one.popular for one in found.told),
        "kinds_of_reasons": {name: share(one == name for one in kinds.elements()) for name in kinds},
        "mean_products_in_unions": mean(sizes),
        "mean_fall": mean([effect.fall for _, effect in reasons]),
        "fall_of_5_places": share(bool(one.effects) and one.effects[0].fall >= FALL for one in found.told),
        "control": {"mean_fall": mean(found.controls), "fall_of_5_places": share(one >= 5 for one in found.controls)},
        "ms_per_list": milliseconds(found.per_list[WARM_UP:]),
        "ms_per_product": milliseconds(found.per_product[WARM_UP:]),
    }


def kind(why: Why, effect: Effect) -> str:
    """How a reason is told; the product itself is told apart from other products."""
    if effect.suspect.kind == "product":
        return "itself" if effect.suspect.items == (why.item,) else "one other product"
    return {"category": "a category", "products": "several products"}.get(effect.suspect.kind, "several categories")


def share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return round(sum(values) / len(values), 3) if values else 0.0


def mean(values: Sequence[int]) -> float | None:
    return round(float(np.mean(values)), 2) if values else None


def milliseconds(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Quantiles for people, of the time and of the processor's."""
    table = 1e3 * np.array(pairs)
    values = {f"p{one}": np.percentile(table, one, axis=0) for one in (50, 99)}
    return {
        f"{place}{name}": round(float(both[at]), 1)
        for at, place in enumerate(("", "cpu_"))
        for name, both in values.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
