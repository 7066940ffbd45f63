"""What stood in the fortnights of other customers that were most like one's own last orders."""

# Shapes: B cases, S reference sessions, n products in them, b cases of a block

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, F64, ShopArrays
from shoploom.data.keys import Rows
from shoploom.ensemble.members.scored_lists import ScoredLists
from shoploom.ensemble.members.sparse_storage import sparse_arrays, sparse_from
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.baskets import Baskets
from shoploom.features.item_subset import ItemSubset, strongest
from shoploom.tasks.base import Cases, Ranked, Task

SESSION_DAYS: Final = 28.0
"""Orders of one customer within so many days are one session: single orders hold too little to be alike."""
NEAREST: Final = 500
"""Sessions that are heard."""
LENGTH: Final = 1.0
"""Power of a session's size by which its likeness is divided: long sessions hold something of everything."""
STATE_ORDERS: Final = 20
"""Of the customer's own, so many last orders are compared."""
STATE_DECAY: Final = 0.9
"""Weight of an order relative to the one after it."""
HALF_LIFE_DAYS: Final = 60.0
"""Of reference sessions."""
MOST_SESSIONS: Final = 100_000
LATEST: Final = 2000
"""A product leads to its latest sessions only, which bounds the effort of an answer."""
MOST_ITEMS: Final = 20_000
BUYERS: Final = 2


class SessionKnn:
    """Sum over the 500 likest sessions of others of their likeness times what they held.

    Likeness is the sum over shared products of their weight in the customer's last orders times their rarity, over
    the session's size, halved every 60 days. Kept are the latest 100,000 sessions on 20,000 products.

    References:
        Ludewig and Jannach 2018, "Evaluation of session-based recommendation algorithms", UMUAI 28, section 3.2
        (V-SkNN); Kersbergen et al. 2022, "Serenade", SIGMOD (VMIS-kNN: the latest sessions of each product). Sessions
        are periods of several orders here, and the state fades by orders instead of by clicks.
    """

    name: ClassVar[str] = "session_knn"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.items = ItemSubset(np.zeros(0, dtype=np.int32))
        self.sessions = sp.csr_matrix((0, 0), dtype=np.float32)
        self.index = self.sessions
        self.customers: Rows = np.zeros(0, dtype=np.int64)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Keep the latest sessions, and for each product those that hold it."""
        del seed
        self.lists = ScoredLists.of(shop, task)
        known = self.lists.everybody(shop)
        self.items = ItemSubset.most_bought(known.pairs(), most=MOST_ITEMS, buyers=BUYERS)
        merged = known.baskets().merged(SESSION_DAYS, shop.end)
        every = merged.matrix(self.items.place(merged.item), len(self.items), np.ones(len(merged)))
        latest = np.argsort(merged.time, kind="stable")
        latest = latest[np.diff(every.indptr)[latest] > 1][-MOST_SESSIONS:]
        self.sessions, self.customers = every[latest], merged.row[latest]
        self.index = _index(self.sessions, np.exp2((merged.time[latest] - shop.end) / HALF_LIFE_DAYS))

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """What like sessions held."""
        assert self.lists is not None, "fit or load first"
        asked = self.lists.asked(shop, cases)
        state, persons = self._state(asked.baskets()), shop.persons(cases.units)

        def scores(block: slice) -> F32:
            likeness = (state[block] @ self.index).tocsr()
            row = np.repeat(np.arange(likeness.shape[0]), np.diff(likeness.indptr))
            likeness.data *= self.customers[likeness.indices] != persons[block][row]
            return self.items.spread((strongest(likeness, NEAREST) @ self.sessions).toarray(), asked.num_items)

        return self.lists.best(asked, cases.k, scores)

    def _state(self, baskets: Baskets) -> sp.csr_matrix:
        """(B, n) what each customer bought in the last orders."""
        lately = baskets.take(baskets.behind < STATE_ORDERS)
        weight = STATE_DECAY ** lately.behind.astype(np.float64)
        return (lately.owners() @ lately.matrix(self.items.place(lately.item), len(self.items), weight)).tocsr()

    def save(self, folder: Path) -> None:
        """Sessions and index as arrays."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"items": self.items.rows, "customers": self.customers}
        arrays |= sparse_arrays("sessions", self.sessions) | sparse_arrays("index", self.index)
        save_state(folder, self.lists.settings(), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists, member.items = ScoredLists.from_state(settings, arrays), ItemSubset(arrays["items"])
        member.customers = arrays["customers"]
        member.sessions = sparse_from("sessions", arrays, len(member.items))
        member.index = sparse_from("index", arrays, len(member.customers))
        return member


def _index(sessions: sp.csr_matrix, fresh: F64) -> sp.csr_matrix:
    """(n, S) what each product says for its latest sessions: rarity times freshness over the session's size."""
    size = np.maximum(np.diff(sessions.indptr), 1)
    by_item = sessions.T.tocsr()
    by_item.sort_indices()
    count = np.diff(by_item.indptr)
    rare = np.log1p(len(size) / np.maximum(count, 1))
    behind = np.repeat(by_item.indptr[1:], count) - np.arange(by_item.nnz)
    weight = np.repeat(rare, count) * (fresh / size**LENGTH)[by_item.indices]
    by_item.data = np.where(behind <= LATEST, weight, 0).astype(np.float32)
    by_item.eliminate_zeros()
    return by_item
