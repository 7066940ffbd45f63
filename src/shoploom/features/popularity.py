"""How popular each item is at a moment, and which promotions are on: what all candidates share."""

# Shapes: I items, M moments, K promotion kinds

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, Flags, ShopArrays
from shoploom.data.keys import distinct

WINDOWS = (7.0, 28.0, 91.0)


@dataclass(frozen=True)
class Popularity:
    """Buyers' lines per item in the last ``WINDOWS`` days before a moment.

    Args:
        counts: (windows, I) float32.
        ranking: (n,) items that sold in the longest window, best first by the middle window.
        repeats: (I,) log of lines per buyer over all time: how often the item is bought again.
    """

    counts: F32
    ranking: I32
    repeats: F32

    @classmethod
    def of(cls, shop: ShopArrays, *, most: int = 3000) -> Popularity:
        """As of ``shop.end``: purchase lines, a repeat by one customer within the window counting again."""
        lines = shop.lines
        recent = np.flatnonzero((lines.time >= shop.end - WINDOWS[-1]) & (lines.purchase | lines.goods))
        age, item = shop.end - lines.time[recent], lines.item[recent]
        counts = np.stack([np.bincount(item[age <= days], minlength=len(shop.items)) for days in WINDOWS])
        score = counts[1] + 1e-3 * counts[2]
        sold = np.flatnonzero(score > 0)
        if not len(sold):  # nothing lately: all that was ever sold
            ever = np.bincount(lines.item, minlength=len(shop.items))
            sold, score = np.flatnonzero(ever > 0), ever.astype(float)
        order = sold[np.argsort(-score[sold], kind="stable")]
        return cls(counts.astype(np.float32), order[:most].astype(np.int32), _repeats(shop))

    def features(self, items: NDArray[np.integer]) -> F32:
        """(n, windows + 1) log counts and repeats, 0 for items that are newer than this object."""
        safe = np.where(items < self.counts.shape[1], items, 0)
        found = np.column_stack([np.log1p(self.counts[:, safe]).T, self.repeats[safe]])
        return np.asarray(found * (items < self.counts.shape[1])[:, None], dtype=np.float32)

    def top(self, number: int, allowed: Flags | None = None) -> I32:
        """The most popular items, of the allowed ones where a mask is given."""
        if allowed is None:
            return self.ranking[:number]
        found = self.ranking[allowed[self.ranking]]
        if len(found) >= number:
            return found[:number]
        rest = np.flatnonzero(allowed[: self.counts.shape[1]])
        rest = rest[~np.isin(rest, found)]
        rest = rest[np.argsort(-self.counts[-1, rest], kind="stable")]
        return np.concatenate([found, rest[: number - len(found)]]).astype(np.int32)


def _repeats(shop: ShopArrays) -> F32:
    kept = (shop.lines.customer >= 0) & (shop.lines.purchase | shop.lines.goods)
    customer, item = shop.lines.customer[kept].astype(np.int64), shop.lines.item[kept]
    lines = np.bincount(item, minlength=len(shop.items))
    pairs = distinct(customer * len(shop.items) + item)
    buyers = np.bincount(pairs % max(1, len(shop.items)), minlength=len(shop.items))
    return np.log((lines + 1.0) / (buyers + 1.0)).astype(np.float32)


class PlanGrid:
    """Promotion shares by block for quick look-up at any day.

    Args:
        shop: Whose plan and block grid (blocks end at ``shop.end``) are used.
    """

    def __init__(self, shop: ShopArrays) -> None:
        self.kinds = len(shop.plan.kinds)
        self.length = float(shop.clock.block_days)
        self.origin = shop.end
        promoted = np.unique(shop.plan.item)
        self.place = np.zeros(len(shop.items), dtype=np.int64)
        self.place[promoted] = np.arange(1, len(promoted) + 1)
        self.first, blocks = 0, 0
        if len(shop.plan):
            low = (shop.plan.start.min() - shop.end) / self.length
            high = (shop.plan.end.max() - shop.end) / self.length
            self.first = int(np.floor(max(low, -520)))
            blocks = int(np.ceil(min(high, 104))) - self.first
        grid = shop.plan_shares(promoted, self.first, max(blocks, 0))
        empty = np.zeros((self.kinds, 1, grid.shape[2]), dtype=np.float32)
        self.shares = np.concatenate([empty, grid], axis=1).transpose(1, 2, 0)

    def at(self, items: NDArray[np.integer], day: F64) -> F32:
        """(n, K) shares of the stores that promote each item in the block of its day."""
        if not self.kinds or not self.shares.shape[1]:
            return np.zeros((len(items), self.kinds), dtype=np.float32)
        block = np.floor((day - self.origin) / self.length).astype(np.int64) - self.first
        inside = (block >= 0) & (block < self.shares.shape[1]) & (items < len(self.place))
        safe_block, safe_item = np.where(inside, block, 0), np.where(items < len(self.place), items, 0)
        return np.asarray(self.shares[self.place[safe_item], safe_block] * inside[:, None], dtype=np.float32)
