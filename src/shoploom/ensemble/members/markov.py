"""What follows what: products of the next order given those of the last ones, everybody's transitions and one's own."""

# Shapes: B cases, N orders, n products with transitions, b cases of a block

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, ShopArrays
from shoploom.data.keys import Rows
from shoploom.ensemble.members.scored_lists import ScoredLists
from shoploom.ensemble.members.sparse_storage import sparse_arrays, sparse_from
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.baskets import Baskets
from shoploom.features.item_subset import ItemSubset, strongest
from shoploom.tasks.base import Cases, Ranked, Task

HALF_LIFE_DAYS: Final = 90.0
"""Of transitions."""
STATE_DECAY: Final = 0.8
"""Weight of an order in the state relative to the one after it."""
STATE_ORDERS: Final = 10
SHRINKAGE: Final = 10.0
"""Transitions without a follower that every product is credited with."""
OWN: Final = 0.4
"""Share of the customer's own transitions in the mixture, as far as there are any."""
OWN_SHRINKAGE: Final = 2.0
"""The same for the transitions of one customer."""
KEPT: Final = 200
"""Followers kept per product."""
MOST_ITEMS: Final = 20_000
BUYERS: Final = 3
MOST_LINES: Final = 60
"""Orders with more products teach nothing: the effort grows with the square."""
MOST_STEPS: Final = 300_000
"""Pairs of orders that teach: the latest."""
STRIP: Final = 1000


class Markov:
    """P(j | state) = sum over products i of the state of its weight times P(j | i), of all customers and of one.

    The state is the last order, and earlier ones ever less. P(j | i) is the decayed number of times that j was in the
    order after one with i, over the number of times that there was i, plus ``SHRINKAGE``. Kept are the 200 likeliest
    followers of the 20,000 products with the most buyers; own transitions are counted when asked for.

    References:
        Rendle, Freudenthaler and Schmidt-Thieme 2010, "Factorizing personalized Markov chains for next-basket
        recommendation", WWW, Eq. (4) and (5): transitions between baskets as means over their items. Plain counts
        and a mixture stand here for their factorisation.
    """

    name: ClassVar[str] = "markov"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.items = ItemSubset(np.zeros(0, dtype=np.int32))
        self.follows = sp.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Count transitions."""
        del seed
        self.lists = ScoredLists.of(shop, task)
        known = self.lists.everybody(shop)
        self.items = ItemSubset.most_bought(known.pairs(), most=MOST_ITEMS, buyers=BUYERS)
        baskets = known.baskets()
        before, after, _ = steps(baskets, self.items, shop.end, most=MOST_STEPS)
        total = np.asarray(before.sum(axis=0)).ravel() + SHRINKAGE
        by_item, parts = before.T.tocsr(), []
        for start in range(0, len(self.items), STRIP):
            counts = (by_item[start : start + STRIP] @ after).tocsr()
            parts.append(strongest(sp.diags(1.0 / total[start : start + STRIP]) @ counts, KEPT))
        if parts:
            self.follows = sp.vstack(parts, format="csr").astype(np.float32)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """What follows the last orders."""
        assert self.lists is not None, "fit or load first"
        asked = self.lists.asked(shop, cases)
        baskets, everything = asked.baskets(), ItemSubset(np.arange(asked.num_items, dtype=np.int32))
        state, whole = _state(baskets, self.items), _state(baskets, everything)

        def scores(block: slice) -> F32:
            found = self.items.spread((state[block] @ self.follows).toarray(), asked.num_items)
            mine = _own(baskets.of_customers(block), whole[block], everything, asked.now)
            return (1 - OWN) * found + OWN * mine

        return self.lists.best(asked, cases.k, scores)

    def save(self, folder: Path) -> None:
        """Transitions as arrays."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"items": self.items.rows} | sparse_arrays("follows", self.follows)
        save_state(folder, self.lists.settings(), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists, member.items = ScoredLists.from_state(settings, arrays), ItemSubset(arrays["items"])
        member.follows = sparse_from("follows", arrays, len(member.items))
        return member


def steps(
    baskets: Baskets, items: ItemSubset, now: float, *, most: int | None = None
) -> tuple[sp.csr_matrix, sp.csr_matrix, Rows]:
    """Orders and those after them: decayed ones (N, n) of the earlier, ones (N, n) of the later, and whose they are."""
    short = np.diff(baskets.offsets) <= MOST_LINES
    first = np.flatnonzero((baskets.row[1:] == baskets.row[:-1]) & short[1:] & short[:-1])
    if most is not None and len(first) > most:
        first = np.sort(first[np.argsort(-baskets.time[first], kind="stable")[:most]])
    earlier, later = baskets.take(first), baskets.take(first + 1)
    weight = np.exp2((later.time - now) / HALF_LIFE_DAYS)
    before = earlier.matrix(items.place(earlier.item), len(items), weight)
    after = later.matrix(items.place(later.item), len(items), np.ones(len(later)))
    return before, after, earlier.row


def _state(baskets: Baskets, items: ItemSubset) -> sp.csr_matrix:
    """(B, n) what each customer bought last, adding up to 1 over all products."""
    lately = baskets.take(baskets.behind < STATE_ORDERS)
    weight = STATE_DECAY ** lately.behind.astype(np.float64)
    total = np.bincount(lately.row, weight * np.diff(lately.offsets), lately.customers)
    weight = weight / np.maximum(total, 1e-9)[lately.row]
    return (lately.owners() @ lately.matrix(items.place(lately.item), len(items), weight)).tocsr()


def _own(baskets: Baskets, state: sp.csr_matrix, items: ItemSubset, now: float) -> F32:
    """(b, n) what followed when the customer's own earlier orders held the products of the state."""
    before, after, row = steps(baskets, items, now)
    places = (np.ones(len(row), dtype=np.float32), (row, np.arange(len(row))))
    owners = sp.csr_matrix(places, shape=(baskets.customers, len(row)))
    often = (owners @ before).tocsr()
    often.data = 1.0 / (often.data + OWN_SHRINKAGE)
    voice = state.multiply(often).tocsr()
    alike = np.asarray(before.multiply(voice[row]).sum(axis=1)).ravel()
    return np.asarray((owners @ sp.diags(alike) @ after).toarray(), dtype=np.float32)
