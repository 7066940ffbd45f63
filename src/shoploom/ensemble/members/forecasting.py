"""What the demand members share: rows to learn from, rows to predict, and the order of quantiles."""

# Shapes: R rows, B cases, F features

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, ShopArrays
from shoploom.features.demand_rows import DemandHistory, level, rows_at
from shoploom.tasks.base import Cases, Numbers

STEP = 2
"""Every second moment is learned from; the ones between tell little more."""
SHORTEST = 8
"""Blocks of history before the first moment, if there are so many."""
CLOSED = 3.0
"""Blocks in which the shop sold less than a third of the usual (closed, or a gap in the data) are left out."""
SWING = (0.6, 1.6)
LARGEST = 50.0
"""Larger multiples of a product's level (bulk orders) count as this."""


@dataclass(frozen=True)
class DemandRows:
    """What there is to learn from.

    Args:
        features: (R, F) of ``features.demand_rows``.
        target: (R,) pieces in units of ``scale``, freed of the swing of its block.
        scale: (R,) each product's level, the weight of the row.
    """

    features: F64
    target: F64
    scale: F64

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.integer] | slice) -> DemandRows:
        """Some rows."""
        return DemandRows(self.features[rows], self.target[rows], self.scale[rows])


def training_rows(shop: ShopArrays) -> DemandRows:
    """Rows of the best sellers at earlier moments, chosen as they looked then.

    A whole shop's good or bad week would be learned as if it belonged to the products: per moment and block ahead the
    targets are scaled to the usual total of that many blocks ahead.
    """
    clock = shop.clock
    window = max(1, round(clock.demand_days / clock.block_days))
    history = DemandHistory.of(shop, _sellers(shop), clock.num_blocks)
    parts: list[tuple[int, DemandRows]] = []
    for origin in range(history.known - 1, max(0, min(SHORTEST, history.known - 2) - 1), -STEP):
        own = history.take(history.best(clock.demand_products, window, origin))
        scale = level(own, origin)
        for ahead in range(1, min(clock.num_blocks, history.known - origin) + 1):
            units = own.units[:, origin + ahead - 1]
            parts.append((ahead, DemandRows(rows_at(own, origin, ahead), units / scale, scale)))
    return _steady([part for part in parts if len(part[1])])


def predicted(shop: ShopArrays, cases: Cases, model: Callable[[F64, F64], dict[str, F64]]) -> Numbers:
    """Ask ``model(features, level)`` about the cases, one call in all; its numbers are pieces."""
    assert cases.blocks is not None, "demand cases name their blocks"
    if not len(cases):
        return Numbers({name: np.zeros(0) for name in ("mean", "p10", "p90")})
    items, place = np.unique(cases.units, return_inverse=True)
    history = DemandHistory.of(shop, items, int(cases.blocks.max()) + 1)
    scale = level(history, history.known)
    features: list[F64] = []
    rows = np.empty(len(cases), dtype=np.int64)
    done = 0
    for block in np.unique(cases.blocks):
        chosen = np.flatnonzero(cases.blocks == block)
        features.append(rows_at(history, history.known, int(block) + 1)[place[chosen]])
        rows[chosen] = done + np.arange(len(chosen))
        done += len(chosen)
    found = model(np.concatenate(features)[rows], scale[place])
    return Numbers(ordered(found["mean"], found["p10"], found["p90"]))


def ordered(mean: F64, low: F64, high: F64) -> dict[str, F64]:
    """No number below 0, and p10 not above p90."""
    low = np.maximum(low, 0.0)
    return {"mean": np.maximum(mean, 0.0), "p10": low, "p90": np.maximum(high, low)}


def _sellers(shop: ShopArrays) -> I32:
    """Items that were among the best sellers at one of the moments, by row."""
    lines, clock = shop.lines, shop.clock
    found: list[NDArray[np.integer]] = [np.zeros(0, dtype=np.int32)]
    for back in range(0, max(1, shop.num_blocks), STEP):
        until = shop.end - back * clock.block_days
        kept = lines.goods & (lines.time < until) & (lines.time >= until - clock.demand_days)
        pieces = np.bincount(lines.item[kept], lines.quantity[kept], len(shop.items))
        best = np.argsort(-pieces, kind="stable")[: clock.demand_products]
        found.append(best[pieces[best] > 0])
    return np.unique(np.concatenate(found)).astype(np.int32)


def _steady(parts: list[tuple[int, DemandRows]]) -> DemandRows:
    """The rows of all moments, each block's total brought to the usual of that many blocks ahead."""
    totals = [(ahead, float(rows.target @ rows.scale) / float(rows.scale.sum())) for ahead, rows in parts]
    usual = {ahead: float(np.median([total for other, total in totals if other == ahead])) for ahead, _ in totals}
    kept: list[DemandRows] = []
    for (ahead, rows), (_, total) in zip(parts, totals, strict=True):
        if total * CLOSED > usual[ahead]:
            swing = float(np.clip(usual[ahead] / total, *SWING))
            kept.append(DemandRows(rows.features, np.minimum(rows.target * swing, LARGEST), rows.scale))
    if not kept:
        return DemandRows(np.zeros((0, 0)), np.zeros(0), np.zeros(0))
    return DemandRows(
        np.concatenate([one.features for one in kept]),
        np.concatenate([one.target for one in kept]),
        np.concatenate([one.scale for one in kept]),
    )
