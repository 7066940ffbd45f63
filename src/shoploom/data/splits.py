"""Splits in time that cannot peek: what is known at a cut, and the lines of the horizon after it.

A cut is the moment of prediction. ``past`` is all before it, ``future`` is what happens from it on, up to the horizon;
both are made of the same arrays, so ids mean the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shoploom.data.arrays import Lines, ShopArrays
from shoploom.errors import DataError


@dataclass(frozen=True)
class Split:
    """One cut.

    Args:
        cut: Day of prediction.
        past: The shop as known then.
        future: The lines in [cut, cut + horizon).
    """

    cut: float
    past: ShopArrays
    future: Lines


def split_at(shop: ShopArrays, cut: float) -> Split:
    """The split at a day, with the horizon of the shop's clock.

    Raises:
        DataError: If the horizon after the cut is not over at the shop's end, or nothing lies before the cut.
    """
    horizon = shop.clock.horizon_days
    if cut + horizon > shop.end + 1e-9:
        raise DataError(
            f"the horizon of {horizon} days after day {cut:g} ends {cut + horizon - shop.end:g} days after the data; "
            "take an earlier cut or a shorter clock.horizon_days"
        )
    past = shop.before(cut)
    if not len(past.lines):
        raise DataError(f"no event lies before day {cut:g}; take a later cut or import more history")
    time = shop.lines.time
    return Split(cut, past, shop.lines.take(np.flatnonzero((time >= cut) & (time < cut + horizon))))


def last_cut(shop: ShopArrays) -> float:
    """The latest day whose horizon is complete."""
    return shop.end - shop.clock.horizon_days


def rolling_cuts(
    shop: ShopArrays, folds: int, *, step_days: int | None = None, history_days: int | None = None
) -> list[float]:
    """Days of prediction for cross-validation in time, oldest first; the last one is ``last_cut``.

    Args:
        shop: As known at its end.
        folds: How many are wanted; fewer come back where the history is short.
        step_days: Distance of cuts; the horizon where None, so that no future is used twice.
        history_days: How much history each cut must have before it; the horizon where None.
    """
    step = step_days or shop.clock.horizon_days
    history = shop.clock.horizon_days if history_days is None else history_days
    cuts = [last_cut(shop) - number * step for number in range(folds)]
    return [cut for cut in reversed(cuts) if cut - shop.start >= history]


def rolling_splits(shop: ShopArrays, folds: int, *, step_days: int | None = None) -> Iterator[Split]:
    """Splits at the rolling cuts, oldest first."""
    for cut in rolling_cuts(shop, folds, step_days=step_days):
        yield split_at(shop, cut)
