"""UP-CF: what a customer's last orders held, and those of customers with similar products."""

# Shapes: B cases, N reference customers, n products of the references, I items, b cases of a block

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, ShopArrays
from shoploom.data.keys import Rows, find
from shoploom.ensemble.members.scored_lists import ScoredLists
from shoploom.ensemble.members.sparse_storage import sparse_arrays, sparse_from
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.baskets import Baskets
from shoploom.features.item_subset import ItemSubset
from shoploom.tasks.base import Cases, Ranked, Task

WINDOW: Final = 50
"""How many of the last orders count."""
LOCALITY: Final = 3.0
"""Power of the likeness: the higher, the fewer customers are heard."""
ASYMMETRY: Final = 0.5
"""Share of the own size in the likeness; the rest goes by the size of the other's history."""
MOST_CUSTOMERS: Final = 5000
MOST_ITEMS: Final = 50_000


class UpCf:
    """Sum over customers of likeness ** locality times the share of their last orders that held a product.

    The customer's own share counts with likeness 1. Unlike ``tifu_knn`` it counts orders, not days, and everybody who
    shares a product is heard. At most 5,000 customers, drawn by the seed, are compared with, on the 50,000 products
    with the most buyers.

    References:
        Faggioli, Polato and Aiolli 2020, "Recency aware collaborative filtering for next basket recommendation",
        UMAP: UP-CF@r with user-wise popularity UWP@r, asymmetric cosine and locality.
    """

    name: ClassVar[str] = "up_cf"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.items = ItemSubset(np.zeros(0, dtype=np.int32))
        self.customers: Rows = np.zeros(0, dtype=np.int64)
        self.shares = sp.csr_matrix((0, 0), dtype=np.float32)
        self.bought = self.shares
        self._by_item = self.shares
        self._sizes: F32 = np.zeros(0, dtype=np.float32)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Remember what customers bought, ever and lately."""
        self.lists = ScoredLists.of(shop, task)
        known = self.lists.everybody(shop)
        self.items = ItemSubset.most_bought(known.pairs(), most=MOST_ITEMS)
        baskets = known.baskets()
        rows = np.unique(baskets.row)
        if len(rows) > MOST_CUSTOMERS:
            rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_CUSTOMERS, replace=False))
        self.customers = rows
        self.bought = _bought(baskets, self.items)[rows]
        self.shares = _shares(baskets, self.items.place(baskets.item), len(self.items), WINDOW)[rows]
        self._prepare()

    def _prepare(self) -> None:
        self._by_item = self.bought.T.tocsr()
        self._sizes = np.diff(self.bought.indptr).astype(np.float32)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Own shares plus those of others."""
        assert self.lists is not None, "fit or load first"
        asked = self.lists.asked(shop, cases)
        baskets = asked.baskets()
        bought, place = _bought(baskets, self.items), find(self.customers, shop.persons(cases.units))
        own = _shares(baskets, baskets.item, asked.num_items, WINDOW)

        def scores(block: slice) -> F32:
            likeness = self._likeness(bought[block], place[block])
            others = np.asarray((self.shares.T @ likeness.T).T, dtype=np.float32)
            found = self.items.spread(others, asked.num_items) + own[block].toarray()
            return np.asarray(found, dtype=np.float32)

        return self.lists.best(asked, cases.k, scores)

    def _likeness(self, bought: sp.csr_matrix, place: Rows) -> F32:
        """(b, N) asymmetric cosine to the power of the locality; 0 for oneself."""
        shared = np.asarray((bought @ self._by_item).toarray(), dtype=np.float32)
        alpha, mine = ASYMMETRY, np.diff(bought.indptr)
        scale = np.maximum(mine, 1)[:, None] ** alpha * np.maximum(self._sizes, 1)[None] ** (1 - alpha)
        found = (shared / scale.astype(np.float32)) ** LOCALITY
        known = np.flatnonzero(place >= 0)
        found[known, place[known]] = 0.0
        return np.asarray(found, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Sparse matrices as arrays."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"items": self.items.rows, "customers": self.customers}
        arrays |= sparse_arrays("shares", self.shares) | sparse_arrays("bought", self.bought)
        save_state(folder, self.lists.settings(), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists = ScoredLists.from_state(settings, arrays)
        member.items, member.customers = ItemSubset(arrays["items"]), arrays["customers"]
        width = len(member.items)
        member.shares, member.bought = sparse_from("shares", arrays, width), sparse_from("bought", arrays, width)
        member._prepare()
        return member


def _bought(baskets: Baskets, items: ItemSubset) -> sp.csr_matrix:
    """(B, n) 1 for every product that was ever bought."""
    columns = items.place(baskets.item)
    found = (baskets.owners() @ baskets.matrix(columns, len(items), np.ones(len(baskets)))).tocsr()
    found.data[:] = 1.0
    return found


def _shares(baskets: Baskets, columns: Rows, width: int, window: int) -> sp.csr_matrix:
    """(B, width) share of the last ``window`` orders, or of all if there are fewer, that held each product."""
    count = np.bincount(baskets.row, minlength=baskets.customers)
    weight = (baskets.behind < window) / np.minimum(count[baskets.row], window)
    found = (baskets.owners() @ baskets.matrix(columns, width, weight)).tocsr()
    found.eliminate_zeros()
    return found
