"""Kinds of customers that reports look at one by one: new, occasional, loyal."""

from __future__ import annotations

import numpy as np

from shoploom.data.arrays import Flags, ShopArrays
from shoploom.data.orders import order_numbers
from shoploom.tasks.base import Cases

LOYAL_DAYS = 14
"""Loyal customers come at least once in so many of the last ``clock.active_days``."""


def slices(shop: ShopArrays, cases: Cases) -> dict[str, Flags]:
    """Masks over cases about customers, each case in exactly one.

    Args:
        shop: As of the cases' moment.
        cases: Units are customer rows; -1 counts as new.

    Returns:
        ``new``: first purchase within the last horizon, or none. ``loyal``: of the others, those with an order per
        two weeks lately. ``occasional``: the rest.
    """
    history = shop.histories(cases.units)
    bought, rows = history.lines.purchase, history.rows
    lines, rows = history.lines.take(bought), rows[bought]
    first = np.full(len(cases), np.inf)
    np.minimum.at(first, rows, lines.time)
    recent = lines.time >= shop.end - shop.clock.active_days
    orders = order_numbers(lines, shop.timezone)
    pairs = np.unique(np.column_stack([rows[recent], orders[recent]]), axis=0)
    visits = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(cases))
    new = first >= shop.end - shop.clock.horizon_days
    loyal = ~new & (visits * LOYAL_DAYS >= shop.clock.active_days)
    return {"new": new, "occasional": ~new & ~loyal, "loyal": loyal}
