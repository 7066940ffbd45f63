"""Next basket: which products will a customer's next order hold?"""

from __future__ import annotations

import numpy as np

from shoploom.data.arrays import Lines, ShopArrays
from shoploom.data.keys import find
from shoploom.metrics import ranking
from shoploom.metrics.statistics import means
from shoploom.tasks.base import Cases, Measured, Prediction, Shape, Space, Unit
from shoploom.tasks.baskets import first_orders, known_customers, pair_keys, ranked_truth, relevant_items

DEPTH = 20


class NextBasket:
    """Rank the products of each known customer's first order after the cut, those bought before included.

    The label is every purchased product of that order. ``when`` is the moment of the visit, known when serving.
    """

    name = "next_basket"
    title = "What will this customer put into the next basket?"
    unit: Unit = "customer"
    shape: Shape = "ranking"
    space: Space = "customer"
    metric = "ndcg@10"
    lower_is_better = False
    rivals: tuple[str, ...] = (
        "popularity",
        "personal_frequency",
        "decayed_frequency",
        "tifu_knn",
        "lightgbm_ranker",
    )
    hides: frozenset[str] = frozenset()

    def missing(self, shop: ShopArrays) -> str | None:
        """Customers with purchases are needed."""
        return None if known_customers(shop).any() else "no purchase names a customer"

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The future is hidden by the cut already."""
        return shop

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The customers of ``past`` who come back, with the products of their first order."""
        orders = first_orders(past, future)
        keys = pair_keys(past, orders.lines, orders.lines.purchase)
        novel = find(pair_keys(past, past.lines, past.lines.purchase), keys) < 0
        truth = relevant_items(past, orders.customers, keys, novel)
        return Cases(orders.customers, when=orders.when, k=DEPTH, repeats="allow", truth=truth)

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """None: labels lie in the horizons of earlier cuts."""
        return None

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Every customer with a purchase."""
        return Cases(np.flatnonzero(known_customers(shop)).astype(np.int32), k=DEPTH, repeats="allow")

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """NDCG, recall and hit rate; ``novel_recall@20`` is over customers whose order holds something new."""
        lists, offsets, items = ranked_truth(cases, prediction)
        hits, relevant = ranking.hit_matrix(lists, offsets, items), ranking.count_relevant(offsets)
        columns = {
            "ndcg@10": ranking.ndcg(hits, relevant, 10),
            "recall@20": ranking.recall(hits, relevant, 20),
            "recall@10": ranking.recall(hits, relevant, 10),
            "phr@10": ranking.hit_rate(hits, relevant, 10),
        }
        novel = cases.truth.novel if cases.truth else None
        if novel is not None:
            new = ranking.count_relevant(offsets, novel)
            new_offsets = np.concatenate([[0], np.cumsum(new)])
            columns["novel_recall@20"] = ranking.recall(ranking.hit_matrix(lists, new_offsets, items[novel]), new, 20)
        return Measured(means(columns), len(cases))
