"""EASE: each product predicted linearly from all others, in closed form."""

# Shapes: C customers, n products with weights, s products of a strip, b cases of a block

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

PENALTY: Final = {"next_basket": 3.0, "new_for_you": 10.0}
"""Relative to customers of length 1. The more, the more weights lean on popular products."""
MOST_ITEMS: Final = 5000
"""The effort grows with the cube: 5,000 products take four seconds on one core, and 300 MB for the moment."""
MOST_CUSTOMERS: Final = 50_000
MOST_OWN: Final = 300
"""Of each customer, so many products teach."""
KEPT: Final = 200
"""Weights kept per product: the strongest."""
STRIP: Final = 1000


class Ease:
    """The customer's products times the weights of a linear autoencoder with a zero diagonal.

    Unlike ``item_knn`` it discounts a product that others explain already. It knows the 5,000 products with the most
    buyers, and keeps 200 weights of each, which costs nothing that can be measured.

    References:
        Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", arXiv:1905.03375, Eq. (8). Customers are
        logs of decayed counts of length 1 here instead of zeros and ones.
    """

    name: ClassVar[str] = "ease"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.items = ItemSubset(np.zeros(0, dtype=np.int32))
        self.weights = sp.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Solve for the weights."""
        self.lists = ScoredLists.of(shop, task)
        pairs = self.lists.everybody(shop).pairs()
        self.items = ItemSubset.most_bought(pairs, most=MOST_ITEMS)
        values = of_unit_length(pairs, tamed_counts(pairs, most=MOST_OWN))
        vectors = self.items.vectors(pairs, values, len(shop.customers))
        self.weights = autoencoder(some_rows(vectors, MOST_CUSTOMERS, seed), PENALTY[task.name])

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """What the customer's products speak for."""
        assert self.lists is not None, "fit or load first"
        asked = self.lists.asked(shop, cases)
        pairs = asked.pairs()
        own = self.items.vectors(pairs, of_unit_length(pairs, tamed_counts(pairs)), len(cases))

        def scores(block: slice) -> F32:
            return self.items.spread((own[block] @ self.weights).toarray(), asked.num_items)

        return self.lists.best(asked, cases.k, scores)

    def save(self, folder: Path) -> None:
        """Weights as arrays."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"items": self.items.rows} | sparse_arrays("weights", self.weights)
        save_state(folder, self.lists.settings(), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists, member.items = ScoredLists.from_state(settings, arrays), ItemSubset(arrays["items"])
        member.weights = sparse_from("weights", arrays, len(member.items))
        return member


def autoencoder(vectors: sp.csr_matrix, penalty: float) -> sp.csr_matrix:
    """(n, n) the strongest weights that predict each column of (C, n) customers from the others; 0 on the diagonal."""
    inverse = _inverse(_gram(vectors), penalty)
    scale, parts = -1.0 / inverse.diagonal(), []
    for start in range(0, len(inverse), STRIP):
        rows = np.arange(start, min(start + STRIP, len(inverse)))
        strip_sn = inverse[rows] * scale
        strip_sn[rows - start, rows] = 0.0
        parts.append(strongest(sp.csr_matrix(strip_sn), KEPT))
    return sp.vstack(parts, format="csr") if parts else sp.csr_matrix((0, 0), dtype=np.float32)


def _gram(vectors: sp.csr_matrix) -> F32:
    count, columns = vectors.shape[1], vectors.T.tocsr()
    found = np.empty((count, count), dtype=np.float32, order="F")
    for start in range(0, count, STRIP):
        found[start : start + STRIP] = (columns[start : start + STRIP] @ vectors).toarray()
    return found


def _inverse(gram: F32, penalty: float) -> F32:
    """Of the matrix plus the penalty on the diagonal, which keeps it well-conditioned; ``gram`` is overwritten."""
    from scipy.linalg import lapack

    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += penalty
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    assert not failed, "a Gram matrix with a positive diagonal added is positive definite"
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    for start in range(0, len(inverse), STRIP):  # LAPACK fills the lower half only
        stop = min(start + STRIP, len(inverse))
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
        square = np.tril(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = square + np.tril(square, -1).T
    return np.asarray(inverse)
