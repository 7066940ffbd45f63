"""What is known of each item at a moment: how popular, how new, in which category, whether it can be sold.

What recommended and bought items alike are looked at by, in ``evaluation.beyond``.
"""

# Shapes: B cases, I items, G category levels, C categories, D vector width

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F32, F64, I32, Flags, ShopArrays
from shoploom.data.keys import distinct
from shoploom.metrics import beyond
from shoploom.tasks.base import Cases

HEAD_SHARE: Final = 0.8
LEAST_CATEGORIES: Final = 5
"""The mix of categories is taken at the coarsest level with so many of them."""


@dataclass(frozen=True)
class Market:
    """What is known of each item at a moment.

    Args:
        popularity: (I,) share of the customers who bought it.
        information: (I,) -log2 of it.
        sellable: (I,) sold so far and allowed; goods only, where lists leave out what was bought.
        long_tail: (I,) not among the best sellers that make 80 % of sales.
        kinds: (I,) masks ``head``, ``tail`` and ``new``; each item is in exactly one.
        paths: (I, G) number of the category path down to each level, -1 below its end.
        categories: (I,) category by which lists and histories are compared, -1 unknown.
        num_categories: C, at least 1.
        vectors: (I, D) or None.
    """

    popularity: F64
    information: F64
    sellable: Flags
    long_tail: Flags
    kinds: dict[str, Flags]
    paths: I32
    categories: I32
    num_categories: int
    vectors: F32 | None

    @classmethod
    def of(cls, shop: ShopArrays, cases: Cases, vectors: F32 | None = None) -> Market:
        """Count as of ``shop.end``."""
        lines, count = shop.lines, len(shop.items)
        sold = lines.purchase | lines.goods
        sales = np.bincount(lines.item[sold], minlength=count)
        early = lines.item[sold & (lines.time < shop.end - shop.clock.horizon_days)]
        new = np.bincount(early, minlength=count) == 0
        buyers, customers = _buyers(shop)
        best = beyond.head(sales, HEAD_SHARE)
        paths = category_paths(shop.catalogue)
        categories = _coarse(paths, sales > 0)
        return cls(
            popularity=buyers / max(1, customers),
            information=beyond.self_information(buyers, customers),
            sellable=_sellable(shop, cases, sales > 0),
            long_tail=~best,
            kinds={"head": best & ~new, "tail": ~best & ~new, "new": new},
            paths=paths,
            categories=categories,
            num_categories=max(1, int(categories.max(initial=-1)) + 1),
            vectors=vectors,
        )


def category_paths(catalogue: pl.DataFrame) -> I32:
    """(I, G) A number per path down to each level, from coarse to fine, -1 below a product's last level.

    Equal numbers at a level mean equal paths down to it: "Dairy > Fresh" is not "Meat > Fresh".
    """
    one = pl.element()
    named = pl.col(schema.CATEGORY).list.eval(one.filter(one.is_not_null() & (one != "")))
    paths = catalogue.select(named)[schema.CATEGORY]
    depth = int(paths.list.len().max() or 0)  # type: ignore[arg-type] # a count
    found = np.full((len(paths), depth), -1, dtype=np.int32)
    for level in range(depth):
        rows = np.flatnonzero((paths.list.len() > level).fill_null(value=False).to_numpy())
        names = paths.gather(rows).list.get(level).rank("dense").to_numpy().astype(np.int64)
        parents = found[rows, level - 1] if level else np.zeros(len(rows), dtype=np.int64)
        _, found[rows, level] = np.unique(parents * (len(rows) + 1) + names, return_inverse=True)
    return found


def _sellable(shop: ShopArrays, cases: Cases, sold: Flags) -> Flags:
    """(I,) what lists may hold: what was sold so far, only goods where lists leave out what was bought."""
    found = sold.copy()
    if cases.repeats == "exclude":
        found[:] = False
        found[shop.goods_items()] = True
    if cases.allowed is not None:
        found[: len(cases.allowed)] &= cases.allowed
        found[len(cases.allowed) :] = False
    return found


def _buyers(shop: ShopArrays) -> tuple[NDArray[np.int64], int]:
    """(I,) number of known customers who bought each item, and how many customers bought anything."""
    kept = shop.lines.purchase & (shop.lines.customer >= 0)
    count = max(1, len(shop.items))
    pairs = distinct(shop.lines.customer[kept].astype(np.int64) * count + shop.lines.item[kept])
    customers = distinct(shop.lines.customer[kept])
    return np.bincount(pairs % count, minlength=len(shop.items)), len(customers)


def _coarse(paths: I32, sold: Flags) -> I32:
    """(I,) Numbers from 0 of the categories at the coarsest level with ``LEAST_CATEGORIES``, else with the most."""
    if not paths.shape[1]:
        return np.full(len(paths), -1, dtype=np.int32)
    several = [len(np.unique(one[sold & (one >= 0)])) for one in paths.T]
    enough = [level for level, number in enumerate(several) if number >= LEAST_CATEGORIES]
    level = paths[:, enough[0] if enough else int(np.argmax(several))]
    _, codes = np.unique(level, return_inverse=True)
    return np.asarray(codes - bool((level < 0).any()), dtype=np.int32)
