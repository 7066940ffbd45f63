"""Members and a fusion as one: learns whom to trust on events that the members have not seen.

Whom to trust is learned for the best answer; a discount on popularity then gives a little of that for lists that show
more of the catalogue.
"""

# Shapes: B prefixes, I items, n pooled candidates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F32, F64
from shoploom.data.keys import Rows, find
from shoploom.data.sequences import Sequences
from shoploom.ensemble.fusions import FUSIONS
from shoploom.ensemble.fusions.base import Fusion
from shoploom.ensemble.fusions.pool import Pool, top
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.ensemble.next_item import NEXT_ITEM
from shoploom.ensemble.next_item.base import NextItem, WithVariants, best_items
from shoploom.ensemble.next_item.discount import PopularityDiscount
from shoploom.tasks.base import Ranked

DEPTH = 100
BLOCK = 1000
HELD_SHARE, MOST_HELD = 0.3, 5000
FEW_EVENTS = 0.05
"""Where sequences are few and long, more of them are asked, so long as no more of the events than these are hidden."""
CHOSEN_BY = 10
"""Places that count when a member's variants are compared."""
DISCOUNT = "discount"
CONTEXT = ("prefix_length", "in_prefix", "place_in_prefix")


class FusedNextItem:
    """Lists of several members, fused.

    Args:
        members: Unfitted.
        fusion: Unfitted.
        repeats: Whether items of the prefix may come again.
        discount: Of the fused scores; by default one that ``fit`` chooses the strength of.
    """

    name: ClassVar[str] = "fused"

    def __init__(
        self,
        members: Sequence[NextItem],
        fusion: Fusion,
        *,
        repeats: bool,
        discount: PopularityDiscount | None = None,
    ) -> None:
        self.members = {one.name: one for one in members}
        self.fusion = fusion
        self.repeats = repeats
        self.discount = PopularityDiscount() if discount is None else discount

    def fit(self, train: Sequences, *, seed: int = 0, others: Sequence[Fusion] = ()) -> None:
        """Fit the members without some answers, choose variants and the fusion on those, then fit them on everything.

        Held out are the latest sequences where times are known, else the last events of some sequences.

        Args:
            train: Whole sequences.
            seed: Of whatever is drawn.
            others: Further fusions to be fitted on the same lists, for comparison; they get no discount.
        """
        known, asked, answers = held_out(train, seed)
        self._fit_members(known, seed)
        self._choose_variants(known, asked, answers, seed)
        lists = self.lists(asked, DEPTH)
        pool = Pool.of(lists)
        pool = pool.with_context(CONTEXT, _context(pool, asked))
        relevant = answers[pool.row] == pool.item
        for fusion in (self.fusion, *others):
            fusion.fit(pool, relevant, seed=seed)
        self.discount.fit(pool, self.fusion.score(pool), relevant, lists.values(), _counts(known))
        self._fit_members(train, seed)
        self.discount.move(_counts(train))

    def with_fusion(self, fusion: Fusion) -> FusedNextItem:
        """The same members with another fitted fusion, and without a discount."""
        return FusedNextItem(list(self.members.values()), fusion, repeats=self.repeats)

    def lists(self, prefixes: Sequences, k: int) -> dict[str, Ranked]:
        """The best ``k`` of every member."""
        return {name: self._list(member, prefixes, k) for name, member in self.members.items()}

    def _list(self, member: NextItem, prefixes: Sequences, k: int) -> Ranked:
        blocks = [block for _, block in prefixes.blocks(BLOCK)]
        without = [None if self.repeats else block for block in blocks]
        parts = [best_items(member.score(one), k, without=left) for one, left in zip(blocks, without, strict=True)]
        return _joined(parts, k)

    def predict(self, prefixes: Sequences, k: int) -> Ranked:
        """The best ``k`` of all together."""
        return self.fused(prefixes, self.lists(prefixes, max(k, DEPTH)), k)

    def fused(self, prefixes: Sequences, lists: Mapping[str, Ranked], k: int) -> Ranked:
        """The fusion of lists that the members have given already."""
        parts = []
        for start, block in prefixes.blocks(BLOCK):
            rows = slice(start, start + len(block))
            pool = Pool.of({name: Ranked(one.items[rows], one.scores[rows]) for name, one in lists.items()})
            parts.append(top(pool, self._score(pool, block), k))
        return _joined(parts, k)

    def _score(self, pool: Pool, prefixes: Sequences) -> F64:
        return self.discount(pool, self.fusion.score(pool.with_context(CONTEXT, _context(pool, prefixes))))

    def _fit_members(self, train: Sequences, seed: int) -> None:
        for member in self.members.values():
            member.fit(train, seed=seed)

    def _choose_variants(self, known: Sequences, asked: Sequences, answers: Rows, seed: int) -> None:
        """Members that come in variants: the one with the highest NDCG on the held-out answers stays."""
        for name, member in self.members.items():
            if not isinstance(member, WithVariants):
                continue
            best = self._ndcg(member, asked, answers)
            for other in member.variants(known):
                other.fit(known, seed=seed)
                value = self._ndcg(other, asked, answers)
                if value > best:
                    self.members[name], best = other, value

    def _ndcg(self, member: NextItem, asked: Sequences, answers: Rows) -> float:
        right = self._list(member, asked, CHOSEN_BY).items == answers[:, None]
        return float((right / np.log2(np.arange(right.shape[1]) + 2.0)).sum())

    def save(self, folder: Path) -> None:
        """Each member in a folder of its own, the fusion and the discount beside them."""
        settings, arrays = self.fusion.state()
        about: dict[str, Any] = {"members": list(self.members), "fusion": self.fusion.name, "repeats": self.repeats}
        save_state(folder, about | {"state": settings}, arrays)
        save_state(folder / DISCOUNT, {"strength": self.discount.strength}, {"popularity": self.discount.popularity})
        for name, member in self.members.items():
            member.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved ensemble."""
        settings, arrays = load_state(folder)
        fusion: Fusion = FUSIONS.load(settings["fusion"]).from_state(settings["state"], arrays)
        members = [NEXT_ITEM.load(name).load(folder / name) for name in settings["members"]]
        chosen, counted = load_state(folder / DISCOUNT)
        discount = PopularityDiscount(counted["popularity"], chosen["strength"])
        return cls(members, fusion, repeats=settings["repeats"], discount=discount)


def _context(pool: Pool, prefixes: Sequences) -> F32:
    """(n, len(CONTEXT)) about the prefix and the item."""
    key = prefixes.owners * prefixes.num_items + prefixes.items
    order = np.lexsort((prefixes.ages, key))
    unique, first = np.unique(key[order], return_index=True)
    place = find(unique, pool.row * prefixes.num_items + pool.item)
    age = prefixes.ages[order][first]
    ago = np.where(place >= 0, age[place], 0) if len(age) else np.zeros(len(pool))
    columns = [np.log1p(prefixes.lengths)[pool.row], place >= 0, np.where(place >= 0, 1.0 / (1.0 + ago), 0.0)]
    return np.column_stack(columns).astype(np.float32)


def held_out(train: Sequences, seed: int) -> tuple[Sequences, Sequences, Rows]:
    """What the members may know, and questions with their answers (B,) that they have not seen."""
    rng = np.random.default_rng([seed, 3])
    if train.time is not None:
        newest = np.full(len(train), train.time.min() if len(train.time) else 0.0)
        np.maximum.at(newest, train.owners, train.time)
        late = np.argsort(newest, kind="stable")[-min(MOST_HELD, int(HELD_SHARE / 2 * len(train))) :]
        rest = np.setdiff1d(np.arange(len(train)), late)
        known = train.take(rest)
        asked, answers = train.take(np.sort(late)).every_question()
        fine = np.isin(answers, known.items) & (rng.random(len(answers)) < MOST_HELD / max(1, len(answers)))
        return known, asked.take(np.flatnonzero(fine)), answers[fine].astype(np.int64)
    long = np.flatnonzero(train.lengths > 2)
    number = min(MOST_HELD, len(long), int(max(HELD_SHARE * len(long), FEW_EVENTS * len(train.items))))
    rows = np.sort(rng.choice(long, number, replace=False))
    asked, answers = train.take(rows).asked_for_the_last()
    return train.without_last(rows), asked, answers.astype(np.int64)


def _counts(train: Sequences) -> F64:
    """(I,) events of each item."""
    return np.bincount(train.items, minlength=train.num_items).astype(np.float64)


def _joined(parts: list[Ranked], k: int) -> Ranked:
    if not parts:
        return Ranked(np.zeros((0, k), dtype=np.int32), np.zeros((0, k)))
    return Ranked(np.concatenate([one.items for one in parts]), np.concatenate([one.scores for one in parts]))
