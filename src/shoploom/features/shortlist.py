"""From scored (customer, item) pairs to ranked lists: what may be shown, filling up, and the best k.

The one place that knows ``Cases.k``, ``repeats`` and ``allowed``; members only score.
"""

# Shapes: B cases, I items, n scored pairs, k list length

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoploom.data.arrays import F32, F64, I32, Flags, Histories
from shoploom.data.keys import Rows, distinct, find, rank_in_group
from shoploom.tasks.base import Cases, Ranked

STRIP = 64


@dataclass(frozen=True)
class Rules:
    """What may stand on each list.

    Args:
        allowed: (I,) items that may be shown to anybody.
        owned: Sorted keys ``case * I + item`` that may not be shown to the case.
    """

    allowed: Flags
    owned: Rows

    def permits(self, row: Rows, item: Rows) -> Flags:
        """(n,) whether each item may be shown to its case."""
        fine = self.allowed[item]
        return fine & (find(self.owned, row * len(self.allowed) + item) < 0) if len(self.owned) else fine


def rules_of(cases: Cases, histories: Histories, goods: Flags, num_items: int, *, exclude: bool) -> Rules:
    """The rules of some cases.

    Args:
        cases: Their ``allowed`` mask may be shorter than the shop; items beyond it are not shown.
        histories: Of the cases' customers.
        goods: (I or fewer) items that are merchandise: only they are new discoveries.
        num_items: Number of items I of the shop now.
        exclude: Leave out goods that the customer bought, and everything that is no merchandise.
    """
    allowed = np.ones(num_items, dtype=bool) if cases.allowed is None else resized(cases.allowed, num_items)
    if not exclude:
        return Rules(allowed, np.zeros(0, dtype=np.int64))
    lines = histories.lines
    bought = lines.purchase & lines.goods
    keys = distinct(histories.rows[bought] * num_items + lines.item[bought])
    return Rules(allowed & resized(goods, num_items), keys)


def excludes(cases: Cases, *, by_default: bool) -> bool:
    """Whether bought goods are left out; ``auto`` is the task's own default."""
    return cases.repeats == "exclude" or (cases.repeats == "auto" and by_default)


def resized(values: Flags, length: int) -> Flags:
    """The mask cut or padded with False to a length."""
    if len(values) >= length:
        return values[:length]
    return np.concatenate([values, np.zeros(length - len(values), dtype=bool)])


def popular_rows(rules: Rules, popular: I32, cases: int, number: int) -> tuple[Rows, Rows]:
    """The ``number`` best permitted items of a global order for each case: rows and items, by case."""
    owned = rules.owned // len(rules.allowed)
    most = int(np.bincount(owned, minlength=1).max(initial=0)) if len(owned) else 0
    reach = number + min(most, 200)
    while True:
        items = _permitted(rules.allowed, popular, reach)
        row, item = np.repeat(np.arange(cases), len(items)), np.tile(items, cases)
        fine = rules.permits(row, item)
        row, item = row[fine], item[fine]
        enough = not len(rules.owned) or bool((np.bincount(row, minlength=cases) >= number).all())
        if enough or len(items) < reach:
            first = rank_in_group(row) < number
            return row[first], item[first]
        reach *= 4


def _permitted(allowed: Flags, order: I32, number: int) -> Rows:
    """The first ``number`` allowed items of an order; the rest of a large catalogue is not looked at."""
    seen = 2 * number
    while True:
        items = order[:seen]
        items = items[allowed[items]]
        if len(items) >= number or seen >= len(order):
            return items[:number].astype(np.int64)
        seen *= 4


def best(cases: int, row: Rows, item: Rows, score: F64, k: int) -> Ranked:
    """The k items with the highest score of each case; equal scores by item row. Each pair must occur once."""
    order = np.lexsort((item, -score, row))
    rank = rank_in_group(row[order])
    order, rank = order[rank < k], rank[rank < k]
    items = np.full((cases, k), -1, dtype=np.int32)
    scores = np.full((cases, k), -np.inf)
    items[row[order], rank] = item[order]
    scores[row[order], rank] = score[order]
    return Ranked(items, scores)


def filled(cases: int, rules: Rules, own: tuple[Rows, Rows, F64], popular: I32, small: F64, k: int) -> Ranked:
    """Personal scores first, then popular items.

    Args:
        cases: Number of cases B.
        rules: What may be shown.
        own: Rows, items and scores of personal pairs; those not permitted are dropped.
        popular: Items in the order in which they fill up.
        small: (I,) popularity added to every score, below any real difference of personal scores.
        k: Length of the lists.
    """
    num_items = len(rules.allowed)
    row, item, score = own
    fine = rules.permits(row, item)
    row, item, score = row[fine], item[fine], score[fine]
    more_row, more_item = popular_rows(rules, popular, cases, k)
    known = find(np.sort(row * num_items + item), more_row * num_items + more_item) >= 0
    row = np.concatenate([row, more_row[~known]])
    item = np.concatenate([item, more_item[~known]])
    score = np.concatenate([score, np.zeros(int((~known).sum()))])
    return best(cases, row, item, score + small[item], k)


def best_dense(rules: Rules, start: int, scores: F32, k: int) -> Ranked:
    """The best of a dense (rows, I) block whose first row is case ``start``; ``scores`` is overwritten.

    Items with a score of 0 or less are left out.
    """
    rows, width = scores.shape
    scores[:, ~rules.allowed] = -np.inf
    low, high = np.searchsorted(rules.owned, (start * width, (start + rows) * width))
    owned = rules.owned[low:high] - start * width
    scores.reshape(-1)[owned] = -np.inf
    row, item = _largest(scores, k)
    return best(rows, row, item, scores[row, item].astype(np.float64), k)


def _largest(scores: F32, k: int) -> tuple[Rows, Rows]:
    """Places of at least the ``k`` largest positive values of each row (0: nobody ever bought it).

    Where k strips of a row have a maximum of at least x, at least k values are: a tenth of the time of a partition.
    """
    rows, width = scores.shape
    strips = width // STRIP
    if strips <= k:
        row, item = np.nonzero(scores > 0)
        return row, item
    peaks = scores[:, : strips * STRIP].reshape(rows, strips, STRIP).max(axis=2)
    bound = np.partition(peaks, strips - k, axis=1)[:, strips - k]
    row, item = np.nonzero(scores >= np.maximum(bound, np.finfo(np.float32).tiny)[:, None])
    return row, item


def stacked(parts: list[Ranked], k: int) -> Ranked:
    """Lists of consecutive blocks as one."""
    if not parts:
        return Ranked(np.zeros((0, k), dtype=np.int32), np.zeros((0, k)))
    return Ranked(np.concatenate([one.items for one in parts]), np.concatenate([one.scores for one in parts]))
