"""New for you: which products will a customer buy for the first time?"""

from __future__ import annotations

import numpy as np

from shoploom.data.arrays import Lines, ShopArrays
from shoploom.data.keys import find
from shoploom.metrics import ranking
from shoploom.metrics.statistics import means
from shoploom.tasks.base import Cases, Measured, Prediction, Shape, Space, Unit
from shoploom.tasks.baskets import first_orders, known_customers, pair_keys, ranked_truth, relevant_items

DEPTH = 20


class NewForYou:
    """Rank goods that a customer has never bought, by whether they are bought within the horizon.

    The customers are those of ``next_basket``; those who buy nothing new are left out of the averages.
    """

    name = "new_for_you"
    title = "Which products could this customer discover?"
    unit: Unit = "customer"
    shape: Shape = "ranking"
    space: Space = "customer"
    metric = "recall@20"
    lower_is_better = False
    rivals: tuple[str, ...] = ("recent_popularity", "neighbours", "lightgbm_ranker")
    hides: frozenset[str] = frozenset()

    def missing(self, shop: ShopArrays) -> str | None:
        """Customers with purchases and at least two goods are needed."""
        if not known_customers(shop).any():
            return "no purchase names a customer"
        return None if len(shop.goods_items()) > 1 else "fewer than two products were sold as goods"

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The future is hidden by the cut already."""
        return shop

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The customers of ``past`` who come back, with the goods of the horizon that they had never bought."""
        orders = first_orders(past, future)
        asked = np.zeros(len(past.customers), dtype=bool)
        asked[orders.customers] = True
        later = future.purchase & future.goods & (future.customer >= 0) & (future.customer < len(asked))
        later[later] = asked[future.customer[later]]
        keys = pair_keys(past, future, later)
        keys = keys[find(pair_keys(past, past.lines, past.lines.purchase & past.lines.goods), keys) < 0]
        truth = relevant_items(past, orders.customers, keys)
        return Cases(orders.customers, when=orders.when, k=DEPTH, repeats="exclude", truth=truth)

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """None: labels lie in the horizons of earlier cuts."""
        return None

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Every customer with a purchase."""
        return Cases(np.flatnonzero(known_customers(shop)).astype(np.int32), k=DEPTH, repeats="exclude")

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """Recall, NDCG and hit rate of the first 20."""
        lists, offsets, items = ranked_truth(cases, prediction)
        hits, relevant = ranking.hit_matrix(lists, offsets, items), ranking.count_relevant(offsets)
        columns = {
            "recall@20": ranking.recall(hits, relevant, DEPTH),
            "ndcg@20": ranking.ndcg(hits, relevant, DEPTH),
            "hit@20": ranking.hit_rate(hits, relevant, DEPTH),
        }
        return Measured(means(columns), len(cases))
