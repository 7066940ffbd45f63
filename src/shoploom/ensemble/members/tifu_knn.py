"""A customer's own decayed counts blended with those of the most similar customers, in the manner of TIFU-kNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import ShopArrays
from shoploom.ensemble.members.personal_frequency import SMALL, latest
from shoploom.ensemble.members.storage import Arrays, load_state, save_state
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.neighbours import Neighbours, vectors_of
from shoploom.features.pairs import pairs_of
from shoploom.features.shortlist import best_dense, excludes, rules_of, stacked
from shoploom.tasks.base import Cases, Ranked, Task

OWN = 0.7


class TifuKnn:
    """0.7 of the own vector and 0.3 of the mean of the 300 nearest customers.

    References:
        Hu et al. 2020, arXiv:2006.00556, Eq. (6); see ``features.neighbours`` for where we differ.
    """

    name: ClassVar[str] = "tifu_knn"

    def __init__(self) -> None:
        self.blend: NeighbourBlend | None = None

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Remember the customers' vectors."""
        self.blend = NeighbourBlend.fit(shop, own=OWN, new_only=task.name == "new_for_you", seed=seed)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Blended scores of all products."""
        assert self.blend is not None, "fit or load first"
        return self.blend.lists(shop, cases)

    def save(self, folder: Path) -> None:
        """Vectors as arrays."""
        assert self.blend is not None, "fit first"
        save_state(folder, *self.blend.state())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        member = cls()
        member.blend = NeighbourBlend.from_state(*load_state(folder))
        return member


class NeighbourBlend:
    """``own`` times the customer's vector plus the rest times the neighbours' mean.

    Args:
        sold: Breaks ties, and answers for customers without history.
        near: The reference customers.
        own: Weight of the own vector, 0 to 1.
        new_only: Whether lists leave out bought goods unless a case says otherwise.
    """

    def __init__(self, sold: Bestsellers, near: Neighbours, *, own: float, new_only: bool) -> None:
        self.sold = sold
        self.near = near
        self.own = own
        self.new_only = new_only

    @classmethod
    def fit(cls, shop: ShopArrays, *, own: float, new_only: bool, seed: int) -> NeighbourBlend:
        """From all customers of a shop; with ``new_only`` only goods count."""
        customers = np.arange(len(shop.customers))
        histories = shop.histories(customers)
        lines = histories.lines
        kept = lines.purchase & lines.goods if new_only else lines.purchase
        moment = np.full(len(customers), shop.end)
        pairs = pairs_of(histories, moment, num_items=len(shop.items), timezone=shop.timezone, kept=kept)
        near = Neighbours.fit(pairs, customers, seed=seed)
        return cls(Bestsellers.orders(shop, goods_only=new_only), near, own=own, new_only=new_only)

    def lists(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """The best products of each case."""
        count, histories = len(shop.items), shop.histories(cases.units)
        exclude = excludes(cases, by_default=self.new_only)
        kept = histories.lines.purchase & histories.lines.goods if self.new_only else None
        moment = np.full(len(cases), latest(shop, histories))
        pairs = pairs_of(histories, moment, num_items=count, timezone=shop.timezone, kept=kept)
        rules = rules_of(cases, histories, self.sold.merchandise(count), count, exclude=exclude)
        small = ((1e-3 if self.own else 1e-3 * SMALL) * self.sold.shares(count)).astype(np.float32)
        vectors, parts = vectors_of(pairs, len(cases)), []
        for block in self.near.blocks(pairs, shop.persons(cases.units)):
            scores = np.tile(small, (len(block.scores), 1))
            scores[:, : block.scores.shape[1]] += (1 - self.own) * block.scores[:, :count]
            if self.own:
                scores += self.own * vectors[block.start : block.start + len(scores)].toarray()
            parts.append(best_dense(rules, block.start, scores, cases.k))
        return stacked(parts, cases.k)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings and arrays for storage."""
        vectors = self.near.vectors
        arrays = self.sold.arrays() | {
            "data": vectors.data,
            "indices": vectors.indices.astype(np.int32),
            "indptr": vectors.indptr.astype(np.int64),
            "customers": self.near.customers,
        }
        width = int(vectors.shape[1])
        return {"own": self.own, "new_only": self.new_only, "width": width, "count": self.near.count}, arrays

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> NeighbourBlend:
        """The inverse of ``state``."""
        shape = (len(arrays["customers"]), settings["width"])
        vectors = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        near = Neighbours(vectors, arrays["customers"], count=settings["count"])
        sold = Bestsellers.from_arrays(arrays)
        return cls(sold, near, own=settings["own"], new_only=settings["new_only"])
