"""Labelled rows for what a customer does next: features at earlier cuts, with what happened in the horizon after.

Up to four cuts, two weeks apart, whose horizons end by ``shop.end``. Also the small numeric parts that members share.
"""

# Shapes: R rows, F features, B cases

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.features.engineered import customer_table

CUTS, STEP_DAYS = 4, 14.0


@dataclass(frozen=True)
class Outlook:
    """Rows of all cuts, the latest cut first.

    Args:
        features: (R, F) logs of ``features.engineered``.
        usual: (R,) what ``usual_amount`` says.
        spend: (R,) amount in the horizon.
        away: (R,) 1 without any purchase in it.
        cut: (R,) number of the cut, 0 being the latest.
    """

    features: F64
    usual: F64
    spend: F64
    away: F64
    cut: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.spend)


def outlook(shop: ShopArrays) -> Outlook:
    """Active customers at earlier cuts; no rows where the history is shorter than a horizon and a week.

    The rows of the shop that was asked last are kept: five members of two tasks ask for the same ones in a row.
    """
    key = (shop.end, shop.clock, len(shop.customers))
    last = _kept[-1:]  # one look: another thread may put other rows there
    if last and last[0][0]() is shop.lines and last[0][1] == key:
        found: Outlook = last[0][2]
        return found
    rows = _outlook(shop)
    _kept[:] = [(ref(shop.lines), key, rows)]
    return rows


_kept: list[tuple[Any, Any, Outlook]] = []


def _outlook(shop: ShopArrays) -> Outlook:
    horizon = float(shop.clock.horizon_days)
    bought = shop.lines.purchase & (shop.lines.customer >= 0)
    first = float(shop.lines.time[bought].min()) if bought.any() else shop.end
    parts = []
    for number in range(CUTS):
        cut = shop.end - horizon - STEP_DAYS * number
        if cut - first < (horizon if number else 7.0):
            break
        parts.append(_at(shop, cut, horizon, number))
    if not parts:
        empty = np.zeros(0)
        width = customer_table(shop, np.zeros(0, dtype=np.int64)).values.shape[1]
        return Outlook(np.zeros((0, width)), empty, empty, empty, np.zeros(0, dtype=np.int64))
    columns: list[Any] = [np.concatenate(one) for one in zip(*parts, strict=True)]
    return Outlook(*columns)


_Part = tuple[F64, F64, F64, F64, NDArray[np.int64]]


def _at(shop: ShopArrays, cut: float, horizon: float, number: int) -> _Part:
    past, later = shop.before(cut), shop.between(cut, cut + horizon)
    units = past.active_customers()
    table = customer_table(past, units)
    kept = later.purchase & (later.customer >= 0)
    spend = np.bincount(later.customer[kept], later.amount[kept].astype(float), len(shop.customers))[units]
    orders = np.bincount(later.customer[kept], minlength=len(shop.customers))[units]
    usual = usual_amount(table.column("spend_horizon"), table.column("rate"), horizon)
    away = np.asarray(orders == 0, dtype=np.float64)
    return table.logs(), usual, np.asarray(spend, dtype=np.float64), away, np.full(len(units), number, dtype=np.int64)


def usual_amount(last: F64, rate: F64, horizon: float) -> F64:
    """Mean of the last horizon's spend and of the lifetime rate (per day) over a horizon."""
    return np.asarray((last + rate * horizon) / 2)


@dataclass(frozen=True)
class Scaler:
    """Standardisation: subtract ``mean``, divide by ``scale``."""

    mean: F64
    scale: F64

    @classmethod
    def fit(cls, values: F64) -> Scaler:
        """Mean and standard deviation of each column; constant columns stay as they are."""
        scale = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(scale > 1e-9, scale, 1.0))

    def __call__(self, values: F64) -> F64:
        """Values in standard deviations, at most 8 either way: a live customer may be unlike all seen."""
        return np.asarray(np.clip((values - self.mean) / self.scale, -8.0, 8.0))


def two_classes(labels: F64) -> bool:
    """Whether there is anything to learn from binary labels."""
    return bool(len(labels) >= 20 and 0 < labels.sum() < len(labels))
