"""Implicit ALS: customers and products as factors whose product says what is bought."""

# Shapes: C customers, B cases, n products with factors, R factors, b cases of a block

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, ShopArrays
from shoploom.ensemble.members.scored_lists import ScoredLists
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.customer_vectors import some_rows, tamed_counts
from shoploom.features.implicit_factors import FixedSide, factorise
from shoploom.features.item_subset import ItemSubset
from shoploom.features.pairs import Pairs
from shoploom.tasks.base import Cases, Ranked, Task

RANK: Final = 64
ROUNDS: Final = 6
PENALTY: Final = 0.0065
"""On squared factors, times the root of customers times products: what chance makes alike grows with both."""
LEAST_PENALTY: Final = 0.1
CONFIDENCE: Final = 5.0
"""Weight of the log of decayed orders, beside the 1 of every product that was not bought."""
MOST_ITEMS: Final = 30_000
BUYERS: Final = 2
MOST_CUSTOMERS: Final = 20_000
MOST_OWN: Final = 500
"""Of each customer, so many products count."""


class Als:
    """64 factors (fewer in tiny shops) on the 30,000 products with the most buyers, from at most 20,000 customers.

    Only the factors of products are kept. Each customer is folded in when asked for, one least-squares problem from
    the history as of now, so that somebody new and a purchase of a minute ago are nothing special.

    References:
        Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets", ICDM, Eq. (4) and (5).
        Confidence is 1 + 5 log(1 + decayed orders) here.
    """

    name: ClassVar[str] = "als"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.items = ItemSubset(np.zeros(0, dtype=np.int32))
        self.penalty = 1.0
        self.side = FixedSide.of(np.zeros((0, 1), dtype=np.float32), self.penalty)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Alternate between customers and products."""
        self.lists = ScoredLists.of(shop, task)
        pairs = self.lists.everybody(shop).pairs()
        self.items = ItemSubset.most_bought(pairs, most=MOST_ITEMS, buyers=BUYERS)
        weights = some_rows(self._weights(pairs), MOST_CUSTOMERS, seed)
        self.penalty = max(PENALTY * float(np.sqrt(weights.shape[0] * weights.shape[1])), LEAST_PENALTY)
        rank = max(1, min(RANK, min(weights.shape) // 4))
        factors = factorise(weights, rank=rank, penalty=self.penalty, rounds=ROUNDS, seed=seed)
        self.side = FixedSide.of(factors, self.penalty)

    def _weights(self, pairs: Pairs) -> sp.csr_matrix:
        """(C, n) confidence above 1."""
        values = CONFIDENCE * tamed_counts(pairs, most=MOST_OWN)
        found = self.items.vectors(pairs, values, len(pairs.orders.count))
        found.eliminate_zeros()
        return found

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Products whose factors agree with the customer's."""
        assert self.lists is not None, "fit or load first"
        asked = self.lists.asked(shop, cases)
        own = self.side.solve(self._weights(asked.pairs()))

        def scores(block: slice) -> F32:
            return self.items.spread(own[block] @ self.side.factors.T, asked.num_items)

        return self.lists.best(asked, cases.k, scores)

    def save(self, folder: Path) -> None:
        """Factors as an array."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"items": self.items.rows, "factors": self.side.factors}
        save_state(folder, self.lists.settings() | {"penalty": self.penalty}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists, member.items = ScoredLists.from_state(settings, arrays), ItemSubset(arrays["items"])
        member.penalty = settings["penalty"]
        member.side = FixedSide.of(arrays["factors"], member.penalty)
        return member
