"""The company a product keeps: of which classes the other products are that are bought together with it."""

# Shapes: n products, V classes

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.data.orders import order_numbers

PRIOR = 5.0
"""Lines of the usual company that every product starts with."""


def company(shop: ShopArrays, items: NDArray[np.integer], known: Mapping[str, int], num_classes: int) -> F64:
    """How much more often than usual a product is bought together with products of each class.

    Args:
        shop: Orders as of its end; lines without an order count by customer and day.
        items: (n,) different rows.
        known: Class of products by id. A product's own class does not count for itself.
        num_classes: Number V of classes.

    Returns:
        (n, V) logs of the shares of the classes in its orders over the usual shares; 0 without company.
    """
    from scipy.sparse import csr_matrix

    place = np.full(len(shop.items), -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    order, item = _pairs(shop, place)
    codes = np.full(len(shop.items), -1, dtype=np.int64)
    partners = np.unique(item)
    codes[partners] = [known.get(shop.items.ids[row], -1) for row in partners]
    number = int(order.max(initial=-1)) + 1
    labelled, asked = codes[item] >= 0, place[item] >= 0
    classes = _ones(order[labelled], codes[item[labelled]], (number, num_classes), csr_matrix)
    orders = _ones(place[item[asked]], order[asked], (len(items), number), csr_matrix)
    found: F64 = (orders @ classes).toarray().astype(np.float64)
    own = asked & labelled
    np.subtract.at(found, (place[item[own]], codes[item[own]]), 1.0)
    counts = np.bincount(codes[codes >= 0], minlength=num_classes) + 1.0
    usual = counts / counts.sum()
    shares = (found + PRIOR * usual) / (found.sum(axis=1, keepdims=True) + PRIOR)
    return np.asarray(np.log(shares / usual), dtype=np.float64)


def _pairs(shop: ShopArrays, place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Different (order, item) pairs of the orders that contain an asked product, orders numbered from 0."""
    lines = shop.lines
    kept = np.flatnonzero(lines.goods & ((lines.order >= 0) | (lines.customer >= 0)))
    order = order_numbers(lines.take(kept), shop.timezone)
    item = lines.item[kept].astype(np.int64)
    wanted = np.unique(order[place[item] >= 0])
    at = np.searchsorted(wanted, order)
    inside = (at < len(wanted)) & (wanted[np.minimum(at, max(len(wanted) - 1, 0))] == order) if len(wanted) else at < 0
    pairs = np.unique(at[inside] * len(place) + item[inside]) if len(place) else np.zeros(0, dtype=np.int64)
    return pairs // max(1, len(place)), pairs % max(1, len(place))


def _ones(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int], matrix: Any) -> Any:
    return matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
