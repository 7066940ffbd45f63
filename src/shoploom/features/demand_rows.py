"""Tables for forecasting members: one row per product, moment and block ahead, all in units of the product's own level.

A row knows what was known at its moment: lags, levels, how the product sold under plans like the one of the block
asked for, and how its category moves. Nothing is fitted here.
"""

# Shapes: P products, N known blocks, W blocks ahead, K promotion kinds, F features

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F64, ShopArrays, moment_of
from shoploom.features.calendar import block_calendar

LAGS = 8
LEVELS = (4, 8, 13, 26)
RECENT = 13
DECAY = 0.97
"""Weight of a block relative to the next one, where history is averaged under like plans."""
PACE = 0.6
"""The same for the pace of the whole shop."""
YEAR_DAYS = 366


@dataclass(frozen=True)
class DemandHistory:
    """What is known of P products.

    Args:
        units, amount: (P, N) pieces and takings per block, the last column ending at ``shop.end``.
        plan: (K, P, N + W) promotion shares of past and future blocks.
        group: (P,) number of the product's category, the whole shop where there are none.
        total: (N,) pieces of the whole shop per block.
        calendar: (N + W, F) of ``features.calendar``; no columns where the history is shorter than a year, because
            nothing can be learned from a season seen once.
    """

    units: F64
    amount: F64
    plan: F64
    group: NDArray[np.int64]
    total: F64
    calendar: F64

    @classmethod
    def of(cls, shop: ShopArrays, items: NDArray[np.integer], ahead: int) -> DemandHistory:
        """The history of some items up to ``shop.end`` and the plan ``ahead`` blocks further."""
        blocks = max(1, shop.num_blocks)
        length = shop.clock.block_days
        starts = [moment_of(shop.end + length * block) for block in range(-blocks, ahead)]
        calendar = block_calendar(starts, length, shop.timezone)
        return cls(
            units=shop.panel(items, blocks),
            amount=shop.panel(items, blocks, "amount"),
            plan=shop.plan_shares(items, -blocks, blocks + ahead).astype(np.float64),
            group=_groups(shop, items),
            total=_total(shop, blocks),
            calendar=calendar if blocks * length > YEAR_DAYS else calendar[:, :0],
        )

    @property
    def known(self) -> int:
        """Number N of known blocks."""
        return int(self.units.shape[1])

    def take(self, rows: NDArray[np.integer]) -> DemandHistory:
        """Some of the products; groups stay what they are."""
        return replace(
            self,
            units=self.units[rows],
            amount=self.amount[rows],
            plan=self.plan[:, rows],
            group=self.group[rows],
        )

    def best(self, number: int, blocks: int, origin: int) -> NDArray[np.int64]:
        """Rows of the products with the most pieces in the last blocks, as it looked after ``origin`` blocks.

        Training on today's best sellers at an earlier moment would teach hindsight: that best sellers rise.
        """
        pieces = self.units[:, max(0, origin - blocks) : origin].sum(axis=1)
        order = np.argsort(-pieces, kind="stable")[:number]
        return np.sort(order[pieces[order] > 0])


def level(history: DemandHistory, origin: int) -> F64:
    """(P,) the unit of all rows: the mean of the last 13 known blocks, moved with the whole shop.

    The shop's own pace now over its pace in those 13 blocks tells of a season that single products are too noisy to
    show. Slightly above 0 without sales.
    """
    recent = history.units[:, max(0, origin - RECENT) : origin]
    return np.asarray((recent.mean(axis=1) + 0.01) * _momentum(history.total[:origin]), dtype=np.float64)


def _momentum(total: F64) -> float:
    weight = PACE ** np.arange(len(total) - 1, -1, -1)
    usual = float(total[-RECENT:].mean())
    return float(np.clip(weight @ total / weight.sum() / usual, 0.5, 2.0)) if usual > 0 else 1.0


def rows_at(history: DemandHistory, origin: int, horizon: int) -> F64:
    """(P, F) what is known after ``origin`` blocks about the block ``horizon`` (1 is the next) further.

    Args:
        history: All products of the batch.
        origin: Number of blocks that count as known, 1 to ``history.known``.
        horizon: Blocks ahead.
    """
    past, scale = history.units[:, :origin], level(history, origin)
    columns = [np.full(len(past), float(horizon)), np.log(scale)]
    columns += [past[:, -lag] / scale if lag <= origin else np.full(len(past), np.nan) for lag in range(1, LAGS + 1)]
    columns += [past[:, -blocks:].mean(axis=1) / scale for blocks in LEVELS]
    columns += [past[:, -8:].std(axis=1) / scale, (past[:, -8:] == 0).mean(axis=1), _trend(past) / scale]
    columns += _prices(past, history.amount[:, :origin])
    columns += [_group_trend(history, origin), np.minimum(_age(past), 52.0)]
    if len(history.plan):
        columns += _under_the_plan(history, origin, horizon, scale)
    columns += [np.full(len(past), value) for value in history.calendar[origin + horizon - 1]]
    return np.column_stack(columns)


def _under_the_plan(history: DemandHistory, origin: int, horizon: int, scale: F64) -> list[F64]:
    """How the product sold under plans like the target's, at two widths, and the plan itself."""
    past, target = history.units[:, :origin] / scale[:, None], origin + horizon - 1
    plan = np.sqrt(np.clip(history.plan, 0, 1))
    known, wanted = plan[:, :, :origin], plan[:, :, target]
    distance = ((known - wanted[:, :, None]) ** 2).sum(axis=0)
    fresh = DECAY ** np.arange(origin - 1, -1, -1)
    columns = []
    for width in (0.02, 0.2):
        weight = np.exp(-distance / width) * fresh
        columns.append(((weight * past).sum(axis=1) + 0.5) / (weight.sum(axis=1) + 0.5))
    columns.append((np.exp(-distance / 0.02) * fresh).sum(axis=1))
    plain = (known.max(axis=0) < 0.2) * fresh
    columns.append(((plain * past).sum(axis=1) + 0.5) / (plain.sum(axis=1) + 0.5))
    for kind in range(len(plan)):
        now = history.plan[kind, :, target]
        before = history.plan[kind, :, :origin]
        columns += [now, now - before[:, -RECENT:].mean(axis=1), before[:, -1]]
    return columns


def _trend(past: F64) -> F64:
    """Last four blocks minus the four before."""
    half = min(4, max(1, past.shape[1] // 2))
    return np.asarray(past[:, -half:].mean(axis=1) - past[:, -2 * half :][:, :half].mean(axis=1), dtype=np.float64)


def _prices(past: F64, amount: F64) -> list[F64]:
    """Takings per piece when last sold, and over the usual."""
    sold = past > 0
    price = np.where(sold, amount / np.where(sold, past, 1.0), 0.0)
    last = np.where(sold, np.arange(past.shape[1]), -1).max(axis=1)
    latest = np.where(last >= 0, price[np.arange(len(past)), np.maximum(last, 0)], np.nan)
    usual = np.where(sold.any(axis=1), price.sum(axis=1) / np.maximum(sold.sum(axis=1), 1), np.nan)
    return [latest, latest / np.where(usual > 0, usual, np.nan)]


def _group_trend(history: DemandHistory, origin: int) -> F64:
    """Last four blocks over the last 13 of all products of the same category."""
    count = int(history.group.max(initial=0)) + 1
    short, long = (
        np.bincount(history.group, history.units[:, max(0, origin - blocks) : origin].mean(axis=1), count)
        for blocks in (4, RECENT)
    )
    return np.asarray(((short + 1.0) / (long + 1.0))[history.group], dtype=np.float64)


def _age(past: F64) -> F64:
    """Blocks since the first sale."""
    sold = past > 0
    first = np.where(sold.any(axis=1), sold.argmax(axis=1), past.shape[1])
    return np.asarray(past.shape[1] - first, dtype=np.float64)


def _total(shop: ShopArrays, blocks: int) -> F64:
    """(N,) pieces in goods lines per block, ending at ``shop.end``."""
    lines = shop.lines
    block = np.floor((lines.time - shop.end) / shop.clock.block_days).astype(np.int64) + blocks
    kept = lines.goods & (block >= 0) & (block < blocks)
    return np.bincount(block[kept], lines.quantity[kept].astype(np.float64), blocks).astype(np.float64)


def _groups(shop: ShopArrays, items: NDArray[np.integer]) -> NDArray[np.int64]:
    paths = shop.catalogue[schema.CATEGORY][items.astype(np.uint32)] if len(items) else shop.catalogue[:0]
    names = [path[0] if path is not None and len(path) and path[0] else "" for path in paths]
    place = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([place[name] for name in names], dtype=np.int64)
