"""Quality beyond accuracy of ranked lists: from a shop, cases and each member's answers to numbers with intervals.

Works on the lists that the court judges; decides nothing. Cases go through in blocks, so that memory does not grow
with a catalogue times customers.
"""

# Shapes: B cases, k list length, I items, C categories, D vector width, n relevant items

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, Flags, ShopArrays
from shoploom.data.keys import distinct, find
from shoploom.evaluation.definitions import DEFINITIONS, DEPTH
from shoploom.evaluation.market import Market
from shoploom.metrics import beyond, ranking
from shoploom.metrics.significance import Estimate, Samples
from shoploom.metrics.statistics import Statistic
from shoploom.tasks.base import Cases, Measured, Prediction, Ranked, Task
from shoploom.tasks.baskets import ranked_truth
from shoploom.tasks.slices import slices as customer_slices

WIDE: Final = 20
"""Depth of the wider coverage and of the recall by kind of product."""
BASELINES: Final = ("popularity", "recent_popularity")
"""Members whose lists say what is obvious; the first that was judged does."""
AVERAGE, LIFT = f"average_popularity@{DEPTH}", f"popularity_lift@{DEPTH}"
MOST_ROWS, MOST_CELLS = 4096, 4_000_000
"""Cases of a block, and its cases times categories."""

Columns = dict[str, F64]
"""By metric one value per case, NaN where it is not defined."""
Ratio = tuple[F64, F64]
"""What is summed over cases above and below the line."""


@dataclass(frozen=True)
class Segment:
    """A metric of each member over the cases that a segment concerns."""

    cases: int
    members: dict[str, Estimate]


@dataclass(frozen=True)
class Beyond:
    """What the lists of each member are like.

    Args:
        cases: Number of lists.
        catalogue: Number of sellable products, of which coverage and the Gini coefficient speak.
        members: By member and metric; ``definitions.DEFINITIONS`` says what each is. Catalogue metrics belong to all
            lists together and have no interval.
        bought: The metrics that make sense of it, of what the customers then bought.
        metric: Main metric of the task, which ``customers`` shows.
        customers: Main metric by kind of customer.
        products: recall@20 of the relevant products by kind: ``head``, ``tail``, and ``new``, first sold within the
            last horizon or not yet.
    """

    cases: int
    catalogue: int
    members: dict[str, dict[str, Estimate]]
    bought: dict[str, Estimate]
    metric: str
    customers: dict[str, Segment]
    products: dict[str, Segment]

    def to_dict(self) -> dict[str, Any]:
        """The task's ``beyond`` in the evaluation report, ready for JSON."""
        return {
            "cases": self.cases,
            "catalogue": self.catalogue,
            "members": {name: _plain(found) for name, found in self.members.items()},
            "bought": _plain(self.bought),
            "segments": {
                "customers": {"metric": self.metric, "parts": _parts(self.customers)},
                "products": {"metric": f"recall@{WIDE}", "parts": _parts(self.products)},
            },
        }


def beyond_accuracy(
    task: Task,
    shop: ShopArrays,
    cases: Cases,
    answers: Mapping[str, Prediction],
    *,
    vectors: F32 | None = None,
    slices: Mapping[str, Flags] | None = None,
) -> Beyond:
    """Measure what the main metric does not say about ranked lists.

    Args:
        task: A ranking task.
        shop: As of the cases' moment.
        cases: With their truth.
        answers: Ranked lists by member.
        vectors: (I, D) item vectors; diversity by vectors is left out without.
        slices: Masks (B,) over kinds of customers; default: those of ``tasks.slices``.

    Raises:
        TypeError: If an answer holds no ranked lists.
        ValueError: If there is no answer, the cases have no truth, or an answer has another number of lists.
    """
    if not answers:
        raise ValueError(f"task {task.name}: no member has predicted anything; fit at least one")
    lists = {name: ranked_truth(cases, one)[0][:, :WIDE] for name, one in answers.items()}
    obvious = next((lists[name] for name in BASELINES if name in lists), None)
    market = Market.of(shop, cases, vectors)
    bought: list[Columns] = []
    qualities: dict[str, list[Columns]] = {name: [] for name in lists}
    recalls: dict[str, list[Columns]] = {name: [] for name in lists}
    for rows in _blocks(len(cases), market.num_categories):
        block = _Block.of(shop, market, cases.take(rows), None if obvious is None else obvious[rows, :DEPTH])
        bought.append(_any_lists(market, block, padded(block.offsets, block.items)))
        for name, one in lists.items():
            hits = ranking.hit_matrix(one[rows], block.offsets, block.items)
            qualities[name].append(_of_members(market, block, one[rows, :DEPTH], hits[:, :DEPTH]))
            recalls[name].append(_recalls(market, block, one[rows], hits))
    masks = customer_slices(shop, cases) if slices is None else slices
    found, truth = _qualities({name: _joined(parts) for name, parts in qualities.items()}, _joined(bought))
    return Beyond(
        cases=len(cases),
        catalogue=int(market.sellable.sum()),
        members={name: _ordered(_of_catalogue(market, lists[name]) | one) for name, one in found.items()},
        bought=_ordered(truth),
        metric=task.metric,
        customers=_customers(task, cases, answers, masks),
        products=_products({name: _joined(parts) for name, parts in recalls.items()}),
    )


@dataclass(frozen=True)
class _Block:
    """What some cases bring with them.

    Args:
        bought: Sorted keys ``case * I + item`` of what their customers bought so far.
        mix: (B, C) shares of categories in it.
        offsets, items: The relevant items.
        obvious: (B, k) what best sellers would have shown; None where nobody says.
    """

    bought: NDArray[np.int64]
    mix: F64
    offsets: NDArray[np.int64]
    items: I32
    obvious: I32 | None

    @classmethod
    def of(cls, shop: ShopArrays, market: Market, cases: Cases, obvious: I32 | None) -> _Block:
        truth, history = cases.truth, shop.histories(cases.units)
        assert truth is not None
        assert truth.offsets is not None
        assert truth.items is not None
        kept = history.lines.purchase
        rows, items = history.rows[kept], history.lines.item[kept]
        bought = distinct(rows * len(shop.items) + items)
        mix = beyond.distributions(rows, market.categories[items], len(cases), market.num_categories)
        return cls(bought, mix, truth.offsets, truth.items, obvious)

    def never_bought(self, lists: I32, num_items: int) -> Flags:
        """(B, k) whether the item of each place was never bought by the list's customer."""
        keys = np.arange(len(lists))[:, None] * num_items + lists
        return (find(self.bought, keys.ravel()) < 0).reshape(lists.shape)


def padded(offsets: NDArray[np.int64], items: I32) -> I32:
    """Relevant items as lists of equal length, -1 past the end.

    Example:
        >>> padded(np.array([0, 2, 3]), np.array([4, 5, 6], dtype=np.int32)).tolist()
        [[4, 5], [6, -1]]
    """
    sizes = np.diff(offsets)
    found = np.full((len(sizes), int(sizes.max(initial=0))), -1, dtype=np.int32)
    found[np.arange(found.shape[1]) < sizes[:, None]] = items
    return found


def _any_lists(market: Market, block: _Block, lists: I32) -> Columns:
    """What can be said of recommended and of bought items alike, one value per case."""
    return {
        f"novelty@{DEPTH}": beyond.mean_shown(lists, market.information),
        f"never_bought@{DEPTH}": beyond.share_shown(lists, block.never_bought(lists, len(market.popularity))),
        AVERAGE: beyond.mean_shown(lists, market.popularity),
        f"long_tail@{DEPTH}": beyond.mean_shown(lists, market.long_tail),
    }


def _of_members(market: Market, block: _Block, lists: I32, hits: Flags) -> Columns:
    """The qualities of a member's lists, one value per case."""
    found = _any_lists(market, block, lists)
    shown = np.where(lists >= 0, market.categories[np.maximum(lists, 0)], -1)
    owner = np.repeat(np.arange(len(lists)), lists.shape[1])
    mix = beyond.distributions(owner, shown.ravel(), len(lists), market.num_categories)
    found[f"category_divergence@{DEPTH}"] = beyond.divergence(block.mix, mix)
    found[f"category_diversity@{DEPTH}"] = beyond.category_distance(lists, market.paths)
    if market.vectors is not None:
        found[f"vector_diversity@{DEPTH}"] = beyond.vector_distance(lists, market.vectors)
    if block.obvious is not None:
        share = beyond.share_shown(lists, beyond.surprises(hits, lists, block.obvious))
        found[f"serendipity@{DEPTH}"] = np.where(np.diff(block.offsets) > 0, share, np.nan)
    return found


def _recalls(market: Market, block: _Block, lists: I32, hits: Flags) -> Columns:
    """Recall of the relevant items of each kind, one value per case, NaN where nothing of it is relevant."""
    found = {}
    for kind, mask in market.kinds.items():
        relevant = ranking.count_relevant(block.offsets, mask[block.items])
        found[kind] = ranking.recall(hits & mask[np.maximum(lists, 0)], relevant, WIDE)
    return found


def _blocks(cases: int, categories: int) -> Iterator[NDArray[np.int64]]:
    """Consecutive rows, fewer at a time where there are many categories; at least one block."""
    size = max(1, min(MOST_ROWS, MOST_CELLS // categories))
    for start in range(0, max(1, cases), size):
        yield np.arange(start, min(start + size, cases))


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def _ordered(found: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name: found[name] for name in DEFINITIONS if name in found}


def _of_catalogue(market: Market, lists: I32) -> dict[str, Estimate]:
    """What all lists together do with the sellable catalogue."""
    near, wide = (beyond.exposure(lists[:, :k], len(market.sellable))[market.sellable] for k in (DEPTH, WIDE))
    found = {
        f"coverage@{DEPTH}": beyond.reach(near),
        f"coverage@{WIDE}": beyond.reach(wide),
        f"gini@{DEPTH}": beyond.gini(near),
        f"top_10_share@{DEPTH}": beyond.top_share(near, 10),
    }
    return {name: Estimate(value, float("nan"), float("nan")) for name, value in found.items()}


def _qualities(
    members: Mapping[str, Columns], bought: Columns
) -> tuple[dict[str, dict[str, Estimate]], dict[str, Estimate]]:
    """Means over cases with their intervals, of every member and of what was bought, on the same resamples.

    References:
        Abdollahpouri et al. 2020, "The connection between popularity bias, calibration, and fairness in
        recommendation", RecSys: popularity lift, there over what was bought before; and 2019, "Managing popularity
        bias in recommender systems with personalized re-ranking", FLAIRS: average recommendation popularity.
    """
    parts = [{name: _mean(column) for name, column in one.items()} for one in (*members.values(), bought)]
    for one, columns in zip(parts, members.values(), strict=False):
        both = ~np.isnan(columns[AVERAGE] + bought[AVERAGE])
        one[LIFT] = np.where(both, columns[AVERAGE], 0.0), np.where(both, bought[AVERAGE], 0.0)
    estimated = _estimates(parts)
    for found in estimated[:-1]:
        one_lift = found[LIFT]
        found[LIFT] = Estimate(one_lift.value - 1, one_lift.low - 1, one_lift.high - 1)
    return dict(zip(members, estimated, strict=False)), estimated[-1]


def _estimates(parts: Sequence[Mapping[str, Ratio]]) -> list[dict[str, Estimate]]:
    """Each ratio of sums over cases with its interval."""
    flat = [pair for one in parts for pair in one.values()]
    tops, bottoms = (np.column_stack(side) for side in zip(*flat, strict=True))

    def statistic(weights: F64) -> dict[str, float]:
        below = weights @ bottoms
        values = np.divide(weights @ tops, below, out=np.full(len(below), np.nan), where=below > 0)
        return dict(zip(names, values.tolist(), strict=True))

    names = [str(number) for number in range(len(flat))]
    found = iter(Samples.of(Measured(statistic, len(tops))).estimates().values())
    return [{name: next(found) for name in one} for one in parts]


def _mean(column: F64) -> Ratio:
    """A mean as a ratio of sums: NaN marks a case for which the metric is not defined."""
    return np.nan_to_num(column), (~np.isnan(column)).astype(np.float64)


def _customers(
    task: Task, cases: Cases, answers: Mapping[str, Prediction], masks: Mapping[str, Flags]
) -> dict[str, Segment]:
    """The task's main metric over each kind of customer."""
    found = {}
    for kind, mask in masks.items():
        rows = np.flatnonzero(mask)
        if len(rows):
            part = cases.take(rows)
            measured = {
                name: task.measure(part, Ranked(one.items[rows], one.scores[rows])).statistic
                for name, one in answers.items()
                if isinstance(one, Ranked)
            }
            found[kind] = Segment(
                len(rows), Samples.of(Measured(_of_each(measured, task.metric), len(rows))).estimates()
            )
    return found


def _of_each(statistics: Mapping[str, Statistic], metric: str) -> Statistic:
    """One metric of each member, so that all share their resamples."""
    return lambda weights: {name: one(weights)[metric] for name, one in statistics.items()}


def _products(recalls: Mapping[str, Columns]) -> dict[str, Segment]:
    """Recall of each kind of product, over the cases to which any such is relevant."""
    found: dict[str, Segment] = {}
    estimated = _estimates([{kind: _mean(column) for kind, column in one.items()} for one in recalls.values()])
    for (name, columns), estimates in zip(recalls.items(), estimated, strict=True):
        for kind, column in columns.items():
            cases = int((~np.isnan(column)).sum())
            if cases:
                found.setdefault(kind, Segment(cases, {})).members[name] = estimates[kind]
    return found


def _plain(found: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    return {name: one.to_dict() for name, one in found.items()}


def _parts(segments: Mapping[str, Segment]) -> dict[str, Any]:
    return {name: {"cases": one.cases, "members": _plain(one.members)} for name, one in segments.items()}
