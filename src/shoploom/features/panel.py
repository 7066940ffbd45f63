"""Weekly sales panels of products with the promotion plan and the calendar: what the demand head reads."""

# Shapes: n products, P past blocks, W future blocks, K promotion kinds, C calendar features

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, ShopArrays, moment_of
from shoploom.features.calendar import block_calendar

PAST_BLOCKS = 52
SCALE_BLOCKS = 13


@dataclass(frozen=True)
class Panel:
    """Products as of one moment; ``truth`` (n, W) is NaN where it lies in the future."""

    units: F32
    scale: F32
    plan_past: F32
    plan_future: F32
    calendar_past: F32
    calendar_future: F32
    level: F32
    truth: F32


class PanelSource:
    """All panels of a set of products, made once and cut at any block.

    Args:
        shop: As known at its end; blocks are counted from there.
        items: (n,) product rows.
        log_price: (I,) log prices, 0 where unknown.
    """

    def __init__(self, shop: ShopArrays, items: NDArray[np.integer], log_price: F32) -> None:
        self.ahead = shop.clock.num_blocks
        self.blocks = max(1, shop.num_blocks)
        self.units = shop.panel(items, self.blocks).astype(np.float32)
        self.plan = shop.plan_shares(items, -self.blocks, self.blocks + self.ahead).transpose(1, 2, 0)
        self.calendar = calendar_rows(shop, -self.blocks, self.blocks + self.ahead)
        self.log_price = log_price[items]

    def calendar_used(self) -> list[float]:
        """(C,) 1 for calendar features that happened in two past blocks at least, and not in all; else 0."""
        happened = (self.calendar[: self.blocks] != 0).sum(axis=0)
        return [float(2 <= count < self.blocks) for count in happened]

    def at(self, origin: int) -> Panel:
        """The panel as known after ``origin`` blocks, 1 to ``blocks``; older history is padded with NaN."""
        first = max(0, origin - PAST_BLOCKS)
        padding = PAST_BLOCKS - (origin - first)
        units = np.pad(self.units[:, first:origin], ((0, 0), (padding, 0)), constant_values=np.nan)
        truth = np.full((len(units), self.ahead), np.nan, dtype=np.float32)
        later = self.units[:, origin : origin + self.ahead]
        truth[:, : later.shape[1]] = later
        recent = self.units[:, max(0, origin - SCALE_BLOCKS) : origin]
        scale = recent.mean(axis=1) + 0.02 * self.units[:, :origin].mean(axis=1) + 1e-2
        return Panel(
            units=units,
            scale=scale.astype(np.float32),
            plan_past=np.pad(self.plan[:, first:origin], ((0, 0), (padding, 0), (0, 0))),
            plan_future=self.plan[:, origin : origin + self.ahead],
            calendar_past=np.pad(self.calendar[first:origin], ((padding, 0), (0, 0))),
            calendar_future=self.calendar[origin : origin + self.ahead],
            level=np.column_stack([np.log(scale), self.log_price]).astype(np.float32),
            truth=truth,
        )


def calendar_rows(shop: ShopArrays, first: int, blocks: int) -> F32:
    """(blocks, C) calendar features of blocks relative to ``shop.end``."""
    starts = shop.end + shop.clock.block_days * np.arange(first, first + blocks)
    rows = block_calendar([moment_of(day) for day in starts], shop.clock.block_days)
    return np.asarray(rows, dtype=np.float32)


def cut_rows(panel: Panel, rows: NDArray[np.integer]) -> Panel:
    """Some products of a panel, without blocks whose truth is not known yet (all of them, where none is)."""
    ahead = int(np.isfinite(panel.truth).all(axis=0).sum()) or panel.truth.shape[1]
    return Panel(
        units=panel.units[rows],
        scale=panel.scale[rows],
        plan_past=panel.plan_past[rows],
        plan_future=panel.plan_future[rows][:, :ahead],
        calendar_past=panel.calendar_past,
        calendar_future=panel.calendar_future[:ahead],
        level=panel.level[rows],
        truth=panel.truth[rows][:, :ahead],
    )
