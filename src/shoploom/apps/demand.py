"""Demand: how many pieces of a product will sell, block by block, with what is planned."""

from __future__ import annotations

from typing import Any

import numpy as np

from shoploom.apps.products import iso
from shoploom.inference.engine import Engine
from shoploom.inference.state import ShopState


def forecast(engine: Engine, product_id: str, *, history_blocks: int = 26) -> dict[str, Any]:
    """Expected pieces with an 80 % interval per block, the promotion plan and what was sold before.

    Raises:
        NotFoundError: If the product is unknown or the shop's data cannot feed the task.
    """
    served = engine.current
    state = served.state
    row = state.known_product(product_id)
    answer = served.predict("demand", [row])[0]
    length, end = state.shop.clock.block_days, state.shop.end
    plan = promotions(state, row, 0, state.shop.clock.num_blocks)
    blocks = [
        {"start": iso(end + number * length), "end": iso(end + (number + 1) * length)}
        | {name: round(values[number], 2) for name, values in answer.items()}
        | {"promotions": plan[number]}
        for number in range(state.shop.clock.num_blocks)
    ]
    return {
        "model_version": served.version,
        "product_id": product_id,
        "title": state.catalogue.title(row),
        "served_by": type(served.members["demand"]).name,
        "block_days": length,
        "expected_total": round(sum(answer["mean"]), 2) if "mean" in answer else None,
        "forecast": blocks,
        "history": history(state, row, history_blocks),
    }


def history(state: ShopState, row: int, blocks: int) -> list[dict[str, Any]]:
    """Pieces sold in the blocks before ``end``, oldest first; no block before the product's first sale."""
    length, end, lines = state.shop.clock.block_days, state.shop.end, state.facts.lines
    rows = state.facts.lines_of_item(row)
    rows = rows[lines.goods[rows]]
    block = np.floor((lines.time[rows] - end) / length).astype(np.int64)
    first = max(-blocks, int(block.min(initial=0)), -state.shop.num_blocks)
    pieces = np.zeros(-first)
    np.add.at(pieces, block[block >= first] - first, lines.quantity[rows][block >= first])
    plan = promotions(state, row, first, -first)
    return [
        {"start": iso(end + at * length), "end": iso(end + (at + 1) * length)}
        | {"pieces": round(float(pieces[at - first]), 2), "promotions": plan[at - first]}
        for at in range(first, 0)
    ]


def promotions(state: ShopState, row: int, first: int, blocks: int) -> list[dict[str, float]]:
    """Per block the share of stores that promote an item, by kind of promotion."""
    if not blocks:
        return []
    plan = state.shop.plan
    own = plan.item == row
    length = state.shop.clock.block_days
    starts, ends = (
        (plan.start[own] - state.shop.end) / length - first,
        (plan.end[own] - state.shop.end) / length - first,
    )
    found: list[dict[str, float]] = [{} for _ in range(blocks)]
    for start, end, kind, share in zip(starts, ends, plan.kind[own], plan.share[own], strict=True):
        for block in range(max(0, int(np.floor(start))), min(blocks, int(np.ceil(end)))):
            cover = min(end, block + 1) - max(start, block)
            name = plan.kinds[int(kind)]
            found[block][name] = round(found[block].get(name, 0.0) + float(share) * float(cover), 4)
    return found
