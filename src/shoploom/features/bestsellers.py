"""What everybody buys: the order in which lists are filled up and ties are broken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Flags, ShopArrays
from shoploom.data.keys import distinct
from shoploom.data.orders import order_numbers


@dataclass(frozen=True)
class Bestsellers:
    """Items by popularity, as known when it was made.

    Args:
        popular: Sold items, best first; equal ones by row.
        share: (I,) popularity, 1 for the best.
        goods: (I,) items sold as goods, or never sold: anything but known services.
    """

    popular: I32
    share: F64
    goods: Flags

    @classmethod
    def orders(cls, shop: ShopArrays, *, goods_only: bool) -> Bestsellers:
        """By the number of orders of known customers, a product counting once per order."""
        kept = _kept(shop, goods_only)
        customer, item = shop.lines.customer[kept].astype(np.int64), shop.lines.item[kept].astype(np.int64)
        order = order_numbers(shop.lines.take(kept), shop.timezone)
        rank = np.lexsort((item, order, customer))
        customer, item, order = customer[rank], item[rank], order[rank]
        same = (customer[1:] == customer[:-1]) & (item[1:] == item[:-1]) & (order[1:] == order[:-1])
        fresh = np.concatenate([[True], ~same]) if len(item) else np.zeros(0, dtype=bool)
        return cls._of(shop, np.bincount(item[fresh], minlength=len(shop.items)))

    @classmethod
    def buyers(cls, shop: ShopArrays, *, days: float, goods_only: bool) -> Bestsellers:
        """By the number of different customers in the last days; items without any come after, by all orders."""
        kept = _kept(shop, goods_only) & (shop.lines.time >= shop.end - days)
        pairs = distinct(shop.lines.customer[kept].astype(np.int64) * len(shop.items) + shop.lines.item[kept])
        count = np.bincount(pairs % max(1, len(shop.items)), minlength=len(shop.items)).astype(float)
        return cls._of(shop, count + 1e-3 * cls.orders(shop, goods_only=goods_only).share)

    @classmethod
    def _of(cls, shop: ShopArrays, count: NDArray[np.floating] | NDArray[np.integer]) -> Bestsellers:
        sold = np.flatnonzero(count > 0)
        order = sold[np.argsort(-count[sold], kind="stable")]
        goods = np.bincount(shop.lines.item, minlength=len(shop.items)) == 0
        goods[shop.goods_items()] = True
        share = np.asarray(count / max(float(count.max(initial=0)), 1e-9), dtype=np.float64)
        return cls(order.astype(np.int32), share, goods)

    def shares(self, num_items: int) -> F64:
        """``share`` for a catalogue that may have grown; new items have none. Not to be written to."""
        if num_items == len(self.share):
            return self.share
        found = np.zeros(num_items)
        found[: len(self.share)] = self.share[:num_items]
        return found

    def merchandise(self, num_items: int) -> Flags:
        """``goods`` for a catalogue that may have grown; new items are merchandise. Not to be written to."""
        if num_items == len(self.goods):
            return self.goods
        found = np.ones(num_items, dtype=bool)
        found[: len(self.goods)] = self.goods[:num_items]
        return found

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For storage."""
        return {"popular": self.popular, "share": self.share, "goods": self.goods}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Bestsellers:
        """The inverse of ``arrays``."""
        return cls(
            arrays["popular"].astype(np.int32), arrays["share"].astype(np.float64), arrays["goods"].astype(np.bool_)
        )


def _kept(shop: ShopArrays, goods_only: bool) -> Flags:
    kept = shop.lines.purchase & (shop.lines.customer >= 0)
    return kept & shop.lines.goods if goods_only else kept
