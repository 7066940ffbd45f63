"""Which products are bought together: in the same orders, beside how often chance alone would pair them.

Where orders hold single products (furniture, fashion) the same customer stands for the same order.
"""

# Shapes: L lines, U orders or customers ("units"), I items, n neighbours of one item

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F64, ShopArrays
from shoploom.data.keys import Rows, distinct, rank_in_group
from shoploom.data.orders import order_numbers
from shoploom.inference.pair_table import Block, PairTable, Summed, ranges, summed

Basis = Literal["orders", "customers"]
MIN_SUPPORT = 3
PRIOR = 10.0
"""So many pairs as chance expects are added to those counted and to those expected: few cases stay near lift 1."""
UNIT_SIZE = 60
"""Most products of an order, or latest ones of a customer, that are paired: a wholesaler's order says little."""
MOST_LINES, PAIRS_LOOKED_AT = 5_000_000, 200_000_000
"""The newest ones, so that counting takes bounded time and memory."""
BLOCK_PAIRS = 10_000_000
PRODUCTS_PER_ORDER = 1.2
"""Below it, orders hold too few pairs, and customers are looked at."""
BASKET_PRIOR, POPULARITY_POWER = 20.0, 0.35
LIVE_UNITS = 20_000


@dataclass(frozen=True)
class Beside:
    """What was bought beside a product, best first.

    Args:
        items: (n,) rows.
        support: (n,) orders (or customers) with both.
        lift: (n,) how many times as often as by chance, drawn to 1 where there are few cases.
    """

    items: Rows
    support: F64
    lift: F64


class Together:
    """Co-purchases of one shop, live purchases included.

    Args:
        table: Pairs counted in units, one row per item.
        basis: What a unit is.
        shop: For the earlier purchases of customers.
    """

    def __init__(self, table: PairTable, basis: Basis, shop: ShopArrays) -> None:
        self.table = table
        self.basis = basis
        self._shop = shop
        self._units: OrderedDict[object, list[int]] = OrderedDict()

    @classmethod
    def of(cls, shop: ShopArrays) -> Together:
        """Count all pairs of the bulk data; the newest orders if there are very many."""
        size = len(shop.items)  # once: live events add products meanwhile
        units, items, time = _units_of(shop, "orders", size)
        basis: Basis = "orders"
        if len(units) < PRODUCTS_PER_ORDER * len(distinct(units)):
            units, items, time = _units_of(shop, "customers", size)
            basis = "customers"
        kept = rank_in_group(units) < UNIT_SIZE
        matrix = _matrix(units[kept], items[kept], time[kept], size)
        counts = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
        return cls(PairTable.of(_blocks(matrix, counts), counts, matrix.shape[0]), basis, shop)

    def beside(self, item: int) -> Beside:
        """What was bought beside an item more often than by chance, by ``lift``.

        References:
            DuMouchel 1999, "Bayesian Data Mining in Large Frequency Tables", The American Statistician 53(3),
            section 3: the posterior mean of a Poisson rate over its expectation, with one Gamma prior of mean 1
            where the paper fits a mixture of two.
        """
        others, support = self.table.beside(item)
        own, counts = self.table.counts(np.array([item])), self.table.counts(others)
        lift = lift_of(support, own * counts / max(1.0, self.table.units))
        order = np.lexsort((others, -support, -lift))
        order = order[(support[order] >= MIN_SUPPORT) & (lift[order] > 1)]
        return Beside(others[order], support[order], lift[order])

    def missing(self, basket: Sequence[int]) -> Summed:
        """What belongs to the products of a basket.

        Each gives the shrunken share of its orders that hold another product, popular ones damped. On held-out
        baskets of two shops recall@10 was .122 and .267, with the logarithm of the lift .101 and .246 at most.
        """
        return summed(self._given(item) for item in dict.fromkeys(basket))

    def pair(self, one: int, other: int) -> tuple[int, float]:
        """Support and lift of one pair."""
        others, support = self.table.beside(one)
        both = float(support[others == other].sum())
        counts = self.table.counts(np.array([one, other]))
        return round(both), float(lift_of(np.array(both), counts[0] * counts[1] / max(1.0, self.table.units)))

    def bought(self, item: int) -> int:
        """Number of orders (or customers) with an item."""
        return round(float(self.table.counts(np.array([item]))[0]))

    def observe(self, item: int, *, customer: int, order: str | None, day: int) -> None:
        """Count a live purchase; one that names neither order nor customer belongs to nothing."""
        if customer < 0 and (order is None or self.basis == "customers"):
            return
        name: object = customer if self.basis == "customers" else order or (customer, day)
        unit = self._units.get(name)
        if unit is None:
            unit = self._earlier(customer) if self.basis == "customers" else []
            self._units[name] = unit
            self.table.units += not unit
            if len(self._units) > LIVE_UNITS:
                self._units.popitem(last=False)
        if item in unit:
            return
        for other in unit[-UNIT_SIZE:]:
            self.table.add(item, other, 1.0)
            self.table.add(other, item, 1.0)
        unit.append(item)
        self.table.see(item)

    def _given(self, item: int) -> tuple[int, Rows, F64]:
        others, support = self.table.beside(item)
        seen = support >= MIN_SUPPORT
        others, support = others[seen], support[seen]
        own = self.table.counts(np.array([item]))
        share = support / (own + BASKET_PRIOR)
        return item, others, share / np.maximum(self.table.counts(others), 1.0) ** POPULARITY_POWER

    def _earlier(self, customer: int) -> list[int]:
        offsets, lines = self._shop.offsets, self._shop.lines
        if customer + 1 >= len(offsets):
            return []
        rows = np.arange(offsets[customer], offsets[customer + 1])
        return list(dict.fromkeys(lines.item[rows[lines.goods[rows]]].tolist()))[-UNIT_SIZE:]


def lift_of(support: F64, expected: F64) -> F64:
    """Times as often as expected, drawn to 1 by ``PRIOR`` imagined cases.

    Example:
        >>> lift_of(np.array([30.0, 3.0]), np.array([2.0, 0.0])).round(2).tolist()
        [3.33, 1.3]
    """
    return np.asarray((support + PRIOR) / (expected + PRIOR), dtype=np.float64)


def _units_of(shop: ShopArrays, basis: Basis, size: int) -> tuple[Rows, Rows, F64]:
    """Unit, item and latest day of each pair of the two, by unit, the latest first."""
    lines = shop.lines
    named = lines.customer >= 0
    kept = np.flatnonzero(lines.goods & (named if basis == "customers" else named | (lines.order >= 0)))
    chosen = lines.take(kept[np.argsort(-lines.time[kept], kind="stable")[:MOST_LINES]])
    unit = chosen.customer.astype(np.int64) if basis == "customers" else order_numbers(chosen, shop.timezone)
    _, unit = np.unique(unit, return_inverse=True)
    key, first = np.unique(unit * max(1, size) + chosen.item, return_index=True)
    unit, item, time = key // max(1, size), key % max(1, size), chosen.time[first]
    order = np.lexsort((-time, unit))
    return unit[order], item[order], time[order]


def _matrix(units: Rows, items: Rows, time: F64, size: int) -> sp.csr_matrix:
    """(U, I) csr of ones: the newest units, as many as the number of pairs to look at allows."""
    numbers, place = np.unique(units, return_inverse=True)
    latest = np.full(len(numbers), -np.inf)
    np.maximum.at(latest, place, time)
    newest = np.argsort(-latest, kind="stable")
    pairs = np.cumsum(np.bincount(place, minlength=len(numbers))[newest].astype(np.float64) ** 2)
    chosen = np.zeros(len(numbers), dtype=bool)
    chosen[newest[pairs <= PAIRS_LOOKED_AT]] = True
    rows = (np.cumsum(chosen) - 1)[place]
    kept = chosen[place]
    ones = np.ones(int(kept.sum()), dtype=np.float32)
    return sp.csr_matrix((ones, (rows[kept], items[kept])), shape=(int(chosen.sum()), size))


def _blocks(matrix: sp.csr_matrix, counts: F64) -> Iterator[Block]:
    """All pairs with support and a lift above 1, some items at a time."""
    by_item = matrix.T.tocsr()
    sizes = np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()
    for start, end in ranges(np.asarray(by_item @ sizes, dtype=np.float64), BLOCK_PAIRS):
        found = (by_item[start:end] @ matrix).tocoo()
        one, other, support = found.row.astype(np.int64) + start, found.col.astype(np.int64), found.data
        kept = (support >= MIN_SUPPORT) & (one != other)
        one, other, support = one[kept], other[kept], support[kept].astype(np.float64)
        lift = lift_of(support, counts[one] * counts[other] / max(1, matrix.shape[0]))
        kept = lift > 1
        yield Block(one[kept], other[kept], support[kept], lift[kept])
