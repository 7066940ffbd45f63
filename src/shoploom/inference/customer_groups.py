"""Groups of customers and what they buy: those nearest to a customer by their purchases, or with an attribute."""

# Shapes: C customers, R reference customers, I items, M members of a group, n own items

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, F64, Attribute, Lines, ShopArrays
from shoploom.data.keys import Rows, distinct
from shoploom.errors import NotFoundError, unknown_name
from shoploom.features.neighbours import unit_rows

RECENT_DAYS = 91.0
HALF_LIFE_DAYS = 90.0
MOST_REFERENCES = 20_000
NEAREST = 200
PRIOR = 10.0
LIFT_POWER = 0.5


@dataclass(frozen=True)
class Bought:
    """What the members of a group bought lately.

    Args:
        items: (n,) rows, ascending.
        buyers: (n,) members who bought each.
        others: (n,) customers of the whole shop who did.
        members, customers: How many there are.
        scores: (n,) share of the members, times the root of how much that is above the share of all.
    """

    items: Rows
    buyers: F64
    others: F64
    scores: F64
    members: int
    customers: int


class CustomerGroups:
    """Who bought what lately, and how near customers are to each other.

    Args:
        bought: (C, I) csr of ones: known customers and what each bought in the last ``RECENT_DAYS``.
        references: (R,) customers to be compared with, the most recent buyers.
        taste: (R, I) csr, unit rows: their decayed purchases, popular products damped.
        damping: (I,) weight of a product in ``taste``.
    """

    def __init__(self, bought: sp.csr_matrix, references: Rows, taste: sp.csr_matrix, damping: F32) -> None:
        self._bought = bought
        self._buyers = np.asarray(bought.sum(axis=0), dtype=np.float64).ravel()
        self._active = int((np.diff(bought.indptr) > 0).sum())
        self._references = references
        self._by_item = taste.T.tocsr()
        self._damping = damping

    @classmethod
    def of(cls, shop: ShopArrays) -> CustomerGroups:
        """From the purchases before ``shop.end``."""
        lines = shop.lines.take(shop.lines.purchase & shop.lines.goods & (shop.lines.customer >= 0))
        shape = (len(shop.offsets) - 1, len(shop.items))
        late = lines.time >= shop.end - RECENT_DAYS
        bought = sp.csr_matrix((np.ones(late.sum(), np.float32), (lines.customer[late], lines.item[late])), shape=shape)
        bought.sum_duplicates()
        bought.data[:] = 1.0
        last = np.full(shape[0], -np.inf)
        np.maximum.at(last, lines.customer, lines.time)
        references = np.argsort(-last, kind="stable")[:MOST_REFERENCES]
        references = references[np.isfinite(last[references])]
        weight = np.exp2(-(shop.end - lines.time) / HALF_LIFE_DAYS).astype(np.float32)
        taste = sp.csr_matrix((weight, (lines.customer, lines.item)), shape=shape)[references]
        damping = (np.bincount(lines.item, minlength=shape[1]).astype(np.float32) + 1) ** -0.5
        taste.data = np.log1p(taste.data) * damping[taste.indices]
        return cls(bought, references.astype(np.int64), unit_rows(taste), damping)

    def nearest(self, own: Lines, when: float, *, apart_from: int = -1) -> Rows:
        """(M,) the customers whose purchases are most like some purchases, nearest first; none without purchases.

        Args:
            own: History of a customer.
            when: Day from which the ages of purchases are counted.
            apart_from: The customer's own row.
        """
        lines = own.take(own.purchase & (own.item < len(self._damping)))
        weight = np.exp2(-np.maximum(0.0, when - lines.time) / HALF_LIFE_DAYS)
        items, place = np.unique(lines.item, return_inverse=True)
        vector = np.log1p(np.bincount(place, weight, minlength=len(items))) * self._damping[items]
        likeness = np.asarray(self._by_item[items].T @ vector, dtype=np.float64)
        likeness[self._references == apart_from] = 0.0
        order = np.argsort(-likeness, kind="stable")[:NEAREST]
        return self._references[order[likeness[order] > 0]]

    def bought_by(self, members: Rows) -> Bought:
        """What some customers bought lately: popular in the group, and more than elsewhere."""
        rows = self._bought[members[members < self._bought.shape[0]]]
        active = int((np.diff(rows.indptr) > 0).sum())
        counts = np.bincount(rows.indices, minlength=self._bought.shape[1]).astype(np.float64)
        items = np.flatnonzero(counts)
        buyers, others = counts[items], self._buyers[items]
        overall = others / max(1, self._active)
        share = (buyers + PRIOR * overall) / (active + PRIOR)
        scores = share * (share / np.maximum(overall, 1e-9)) ** LIFT_POWER
        return Bought(items, buyers, others, scores, active, self._active)


def with_value(attributes: Mapping[str, Attribute], name: str, value: str) -> Rows:
    """(M,) customers with a value of an attribute.

    Raises:
        NotFoundError: If the shop knows no such attribute or value; the message names the nearest.
    """
    attribute = known_attribute(attributes, name)
    if value not in attribute.values:
        raise NotFoundError(unknown_name(f"value of attribute {name!r}", value, attribute.values))
    return distinct(np.flatnonzero(attribute.codes == attribute.values.index(value)))


def known_attribute(attributes: Mapping[str, Attribute], name: str) -> Attribute:
    """An attribute of customers by its name.

    Raises:
        NotFoundError: If there is none.
    """
    if name not in attributes:
        raise NotFoundError(unknown_name("customer attribute", name, attributes))
    return attributes[name]
