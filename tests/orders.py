"""Shops made of hand-written orders, for lists whose answers can be worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shoploom.data import schema
from shoploom.data.arrays import Lines, ShopArrays
from shoploom.data.vocabulary import Vocabulary
from tests.shops import make_shop

Row = tuple[int, int, int, float]
"""Customer (-1: unknown), order (-1: none), item, days before the end."""


def shop_of(rows: Sequence[Row], *, items: int, customers: int, kind: str = schema.PURCHASE) -> ShopArrays:
    """A shop in UTC that ends on day 20,000 and knows nothing but some lines, all of one kind."""
    base = make_shop(customers=1, products=items, days=30, attributes=False, promotions=False)
    ordered = sorted(rows, key=lambda row: (row[0] < 0, row[0], -row[3]))
    table = np.array(ordered, dtype=float).reshape(-1, 4)
    count = len(ordered)
    customer = table[:, 0].astype(np.int32)
    goods = np.full(count, kind == schema.PURCHASE)
    lines = Lines(
        customer=customer,
        item=table[:, 2].astype(np.int32),
        order=table[:, 1].astype(np.int32),
        kind=np.full(count, schema.EVENT_TYPES.index(kind), dtype=np.int8),
        time=20_000.0 - table[:, 3],
        quantity=np.ones(count, dtype=np.float32),
        amount=np.ones(count, dtype=np.float32),
        price=np.ones(count, dtype=np.float32),
        purchase=goods & (customer >= 0),
        goods=goods,
        priced=goods,
    )
    sizes = np.bincount(customer[customer >= 0], minlength=customers)
    return replace(
        base,
        items=Vocabulary(f"p{one:03d}" for one in range(items)),
        customers=Vocabulary(f"c{one:03d}" for one in range(customers)),
        lines=lines,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        catalogue=base.catalogue[:items],
        start=19_000.0,
        end=20_000.0,
        timezone="UTC",
    )
