"""Demand: how many pieces of each best seller will be sold in each block of the horizon?"""

# Shapes: B cases, P products, W blocks

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Lines, ShopArrays
from shoploom.metrics.regression import covered, pinball
from shoploom.metrics.statistics import Statistic, means, ratios, together
from shoploom.tasks.base import Cases, Measured, Prediction, Shape, Space, Truth, Unit
from shoploom.tasks.churn import numbers_of, true_numbers


class Demand:
    """Pieces in goods lines per product and block, as a mean and an 80 % interval, the promotion plan being known.

    WAPE rewards medians, which add up to too little: read it together with ``bias``.
    """

    name = "demand"
    title = "How many pieces will be sold?"
    unit: Unit = "product"
    shape: Shape = "quantiles"
    space: Space = "block"
    metric = "wape"
    lower_is_better = True
    rivals: tuple[str, ...] = ("mean_of_8", "linear_demand", "lightgbm_demand")
    hides: frozenset[str] = frozenset()

    def missing(self, shop: ShopArrays) -> str | None:
        """Goods sales over more than a horizon are needed: one to learn from, one to be judged on."""
        if not shop.lines.goods.any():
            return "no event counts as a sale of goods"
        needed = shop.clock.num_blocks + 2
        if shop.num_blocks < needed:
            return f"the history has {shop.num_blocks} blocks of {shop.clock.block_days} days; {needed} are needed"
        return None

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The future is hidden by the cut already."""
        return shop

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """Best sellers of ``past``, product by product and block by block, with their pieces in ``future``."""
        blank = self.serve_cases(past)
        blocks = past.clock.num_blocks
        items = blank.units[::blocks]
        truth = sums_by_block(future, items, past.end, past.clock.block_days, blocks, len(past.items))
        scale = np.repeat(change_scales(past.panel(items, past.num_blocks)), blocks, axis=0)
        return Cases(blank.units, blocks=blank.blocks, scale=scale, truth=Truth(numbers=truth.ravel()))

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """None: labels lie in the horizons of earlier cuts."""
        return None

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """The same best sellers and blocks as of now."""
        items = np.sort(shop.best_sellers(shop.clock.demand_products, shop.clock.demand_days))
        return demand_cases(items, shop.clock.num_blocks)

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """WAPE and bias of the mean, MASE and RMSSE, pinball loss and coverage of quantiles. A product is a unit."""
        truth, columns = true_numbers(cases), numbers_of(cases, prediction)
        _, unit = np.unique(cases.units, return_inverse=True)
        error = columns["mean"] - truth
        units = _sums(unit, truth)
        parts: list[Statistic] = [
            ratios({"wape": (_sums(unit, np.abs(error)), units), "bias": (_sums(unit, error), units)})
        ]
        if cases.scale is not None:
            absolute, squared = (_means(unit, cases.scale[:, column]) for column in (0, 1))
            root = np.sqrt(_means(unit, error**2))
            parts.append(means({"mase": _means(unit, np.abs(error)) / absolute, "rmsse": root / squared}))
        if "p10" in columns and "p90" in columns:
            low, high = columns["p10"], columns["p90"]
            loss = (pinball(truth, low, 0.1) + pinball(truth, high, 0.9)) / 2
            parts.append(ratios({"pinball": (_sums(unit, loss), units)}))
            parts.append(means({"coverage_p10_p90": _means(unit, covered(truth, low, high))}))
        return Measured(together(*parts), int(unit.max(initial=-1)) + 1)


def demand_cases(items: NDArray[np.integer], blocks: int) -> Cases:
    """Every item with every block of the horizon, item by item."""
    number = np.tile(np.arange(blocks, dtype=np.int32), len(items))
    return Cases(np.repeat(items, blocks).astype(np.int32), blocks=number)


def sums_by_block(lines: Lines, items: I32, start: float, block_days: int, blocks: int, num_items: int) -> F64:
    """(P, W) pieces in goods lines of each item in each block after ``start``."""
    place = np.full(num_items, -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    block = np.floor((lines.time - start) / block_days).astype(np.int64)
    known = (lines.item >= 0) & (lines.item < num_items)
    row = np.where(known, place[np.where(known, lines.item, 0)], -1)
    kept = lines.goods & (row >= 0) & (block >= 0) & (block < blocks)
    flat = row[kept] * blocks + block[kept]
    sums = np.bincount(flat, lines.quantity[kept].astype(np.float64), minlength=len(items) * blocks)
    return sums.astype(np.float64).reshape(-1, blocks)


def change_scales(panel: F64) -> F64:
    """(P, 2) mean absolute and root mean squared change from block to block since the first sale.

    NaN where nothing ever changed: there such an error has no unit.

    Example:
        >>> change_scales(np.array([[0.0, 3.0, 1.0, 5.0], [0.0, 0.0, 0.0, 0.0]])).round(2).tolist()
        [[3.0, 3.16], [nan, nan]]
    """
    width = panel.shape[1]
    first = np.where((panel > 0).any(axis=1), (panel > 0).argmax(axis=1), width)
    change = np.diff(panel, axis=1)
    used = np.arange(max(width - 1, 0)) >= first[:, None]
    count = np.maximum(used.sum(axis=1), 1)
    absolute = (np.abs(change) * used).sum(axis=1) / count
    squared = np.sqrt((change**2 * used).sum(axis=1) / count)
    scales = np.column_stack([absolute, squared])
    return np.where(scales > 0, scales, np.nan)


def _sums(unit: NDArray[np.integer], values: F64) -> F64:
    return np.bincount(unit, values, minlength=int(unit.max(initial=-1)) + 1).astype(np.float64)


def _means(unit: NDArray[np.integer], values: F64) -> F64:
    return _sums(unit, values) / np.maximum(np.bincount(unit), 1)
