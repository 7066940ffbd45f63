"""Products that the same customers buy: each own product speaks for its nearest ones."""

# Shapes: C customers, n products that can be near, b cases of a block

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, ShopArrays
from shoploom.ensemble.members.scored_lists import ScoredLists
from shoploom.ensemble.members.sparse_storage import sparse_arrays, sparse_from
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.customer_vectors import of_unit_length, some_rows, tamed_counts
from shoploom.features.item_subset import ItemSubset, strongest
from shoploom.tasks.base import Cases, Ranked, Task

NEAREST: Final = 200
"""Neighbours kept per product."""
SHRINKAGE: Final = 0.3
"""Added to the product of two lengths: products with few buyers are near nothing."""
MOST_ITEMS: Final = 20_000
BUYERS: Final = 3
STRIP: Final = 1000
MOST_OWN: Final = 200
"""Of each customer, so many products teach which are near; the effort grows with the square."""
MOST_CUSTOMERS: Final = 50_000


class ItemKnn:
    """Sum over own products of decayed count times likeness, a shrunk cosine of their customers' decayed counts.

    A product is as near to itself as a cosine can be, so what is bought again and again comes first where repeats
    are allowed.

    References:
        Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms", WWW, section 3;
        Deshpande and Karypis 2004, "Item-based top-N recommendation algorithms", TOIS 22(1), section 4 (the k nearest
        of each item are kept, and customers with few products count more).
    """

    name: ClassVar[str] = "item_knn"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.items = ItemSubset(np.zeros(0, dtype=np.int32))
        self.near = sp.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Compare all products that enough customers bought."""
        self.lists = ScoredLists.of(shop, task)
        pairs = self.lists.everybody(shop).pairs()
        self.items = ItemSubset.most_bought(pairs, most=MOST_ITEMS, buyers=BUYERS)
        values = of_unit_length(pairs, tamed_counts(pairs, most=MOST_OWN))
        vectors = self.items.vectors(pairs, values, len(shop.customers))
        self.near = nearest(some_rows(vectors, MOST_CUSTOMERS, seed))

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Own products' neighbours."""
        assert self.lists is not None, "fit or load first"
        asked = self.lists.asked(shop, cases)
        pairs = asked.pairs()
        own = self.items.vectors(pairs, of_unit_length(pairs, tamed_counts(pairs)), len(cases))

        def scores(block: slice) -> F32:
            return self.items.spread((own[block] @ self.near).toarray(), asked.num_items)

        return self.lists.best(asked, cases.k, scores)

    def save(self, folder: Path) -> None:
        """Likenesses as arrays."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"items": self.items.rows} | sparse_arrays("near", self.near)
        save_state(folder, self.lists.settings(), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists, member.items = ScoredLists.from_state(settings, arrays), ItemSubset(arrays["items"])
        member.near = sparse_from("near", arrays, len(member.items))
        return member


def nearest(vectors: sp.csr_matrix) -> sp.csr_matrix:
    """(n, n) the ``NEAREST`` shrunk cosines of each column of (C, n) customer vectors, made strip by strip."""
    columns = vectors.T.tocsr()
    length = np.sqrt(np.asarray(columns.multiply(columns).sum(axis=1)).ravel())
    parts = []
    for start in range(0, columns.shape[0], STRIP):
        strip = (columns[start : start + STRIP] @ vectors).tocsr()
        row = np.repeat(np.arange(strip.shape[0]), np.diff(strip.indptr)) + start
        strip.data = (strip.data / (length[row] * length[strip.indices] + SHRINKAGE)).astype(np.float32)
        parts.append(strongest(strip, NEAREST))
    return sp.vstack(parts, format="csr") if parts else sp.csr_matrix(vectors.shape[1:] * 2, dtype=np.float32)
