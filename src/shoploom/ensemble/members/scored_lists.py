"""What members that score all products at once share: who asks, what may be shown, and popular products for the rest.

Such a member turns a block of customers into a dense matrix of scores; reading histories, keeping to the rules and
filling up is done here.
"""

# Shapes: B cases, I items, b cases of a block

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from shoploom.data.arrays import F32, Flags, Histories, ShopArrays
from shoploom.ensemble.members.personal_frequency import latest
from shoploom.ensemble.members.storage import Arrays
from shoploom.features.baskets import Baskets, baskets_of
from shoploom.features.bestsellers import Bestsellers
from shoploom.features.pairs import Pairs, pairs_of
from shoploom.features.shortlist import Rules, best_dense, excludes, rules_of, stacked
from shoploom.tasks.base import Cases, Ranked, Task

BLOCK: Final = 250
FILL: Final = 1e-6
"""Weight of popularity beside a customer's best score: it breaks ties and fills up, and outweighs no opinion."""
Scorer = Callable[[slice], F32]
"""Scores (b, I) of the cases of a block; what is 0 or less is no opinion."""


@dataclass(frozen=True)
class Asked:
    """A batch of customers and what they bought.

    Args:
        num_items: Number of items I of the shop now.
        timezone: Of the shop.
        histories: All lines up to now, live ones too.
        kept: Which of the lines count.
        now: Day of asking.
        rules: What may be shown; None where nobody is shown anything.
    """

    num_items: int
    timezone: str
    histories: Histories
    kept: Flags
    now: float
    rules: Rules | None = None

    def __len__(self) -> int:
        return len(self.histories.offsets) - 1

    def pairs(self) -> Pairs:
        """Everybody's products, with ages counted from now."""
        moment = np.full(len(self), self.now)
        return pairs_of(self.histories, moment, num_items=self.num_items, timezone=self.timezone, kept=self.kept)

    def baskets(self) -> Baskets:
        """Everybody's orders."""
        return baskets_of(self.histories, timezone=self.timezone, kept=self.kept)


@dataclass(frozen=True)
class ScoredLists:
    """Reads batches and makes lists for one task.

    Args:
        sold: Popular products.
        new_only: Whether only goods count, and bought ones are left out unless a case says otherwise.
    """

    sold: Bestsellers
    new_only: bool

    @classmethod
    def of(cls, shop: ShopArrays, task: Task) -> ScoredLists:
        """As of ``shop.end``."""
        new_only = task.name == "new_for_you"
        return cls(Bestsellers.orders(shop, goods_only=new_only), new_only)

    def everybody(self, shop: ShopArrays) -> Asked:
        """All customers, to learn from."""
        histories = shop.histories(np.arange(len(shop.customers)))
        return Asked(len(shop.items), shop.timezone, histories, self._kept(histories), shop.end)

    def asked(self, shop: ShopArrays, cases: Cases) -> Asked:
        """The customers of some cases."""
        count, histories = len(shop.items), shop.histories(cases.units)
        exclude = excludes(cases, by_default=self.new_only)
        rules = rules_of(cases, histories, self.sold.merchandise(count), count, exclude=exclude)
        return Asked(count, shop.timezone, histories, self._kept(histories), latest(shop, histories), rules)

    def _kept(self, histories: Histories) -> Flags:
        lines = histories.lines
        return lines.purchase & lines.goods if self.new_only else lines.purchase

    def best(self, asked: Asked, k: int, scorer: Scorer) -> Ranked:
        """The k products with the highest score of each case, then popular ones."""
        assert asked.rules is not None, "learning asks for no lists"
        share = self.sold.shares(asked.num_items).astype(np.float32)
        parts = []
        for start in range(0, len(asked), BLOCK):
            block = slice(start, min(start + BLOCK, len(asked)))
            scores = np.ascontiguousarray(np.maximum(scorer(block), 0))  # rules are applied to the flat block
            top = scores.max(axis=1, initial=0)
            scores += (FILL * np.where(top > 0, top, 1.0)).astype(np.float32)[:, None] * share
            parts.append(best_dense(asked.rules, start, scores, k))
        return stacked(parts, k)

    def settings(self) -> dict[str, Any]:
        """For storage, beside ``arrays``."""
        return {"new_only": self.new_only}

    def arrays(self) -> Arrays:
        """For storage."""
        return {f"sold.{name}": one for name, one in self.sold.arrays().items()}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> ScoredLists:
        """The inverse of ``settings`` and ``arrays``; other entries do not matter."""
        prefix = "sold."
        sold = {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
        return cls(Bestsellers.from_arrays(sold), settings["new_only"])
