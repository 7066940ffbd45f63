"""What the category members share: labelled products, what may be read of them, and a regression on their words."""

# Shapes: n products, V classes, F features

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, ShopArrays
from shoploom.ensemble.members.storage import Arrays
from shoploom.features.company import company
from shoploom.features.products import describe
from shoploom.features.text import Tfidf
from shoploom.tasks.base import Classes
from shoploom.tasks.category import Category, category_labels

BUCKETS: Final = 2**14
PENALTY: Final = 2e-5
STEPS: Final = 40
PAIRS: Final = 4
"""Of steps that L-BFGS remembers: each is as large as the weights, twice."""
MOST_TAUGHT: Final = 15_000


@dataclass(frozen=True)
class Labelled:
    """Products to learn from.

    Args:
        values: The V classes.
        items: (n,) rows, without those that ``shop.held`` keeps for evaluation.
        codes: (n,) class of each.
        ids: Their ids.
    """

    values: tuple[str, ...]
    items: I32
    codes: NDArray[np.int64]
    ids: list[str]

    @classmethod
    def of(cls, shop: ShopArrays) -> Labelled:
        """All labelled products that may be learned from."""
        labels = category_labels(shop)
        free = labels.codes >= 0
        held = shop.held.get(Category.name)
        if held is not None:
            free &= ~held[: len(free)]
        items = np.flatnonzero(free).astype(np.int32)
        return cls(labels.values, items, labels.codes[items].astype(np.int64), [shop.items.ids[row] for row in items])

    def sample(self, most: int, seed: int) -> NDArray[np.int64]:
        """Positions of at most so many products: frequent classes give way, rare ones stay whole."""
        counts = np.bincount(self.codes, minlength=len(self.values))
        limit = int(counts.max(initial=0))
        while np.minimum(counts, limit).sum() > most and limit > 1:
            limit = int(limit * 0.95)
        order = np.random.default_rng(seed).permutation(len(self.codes))
        sorted_codes = order[np.argsort(self.codes[order], kind="stable")]
        rank = np.arange(len(order)) - np.repeat(np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        return np.sort(sorted_codes[rank < limit])

    def weights(self, chosen: NDArray[np.int64]) -> F64:
        """Weights of the chosen products, 1 on average.

        A class counts with the root of its frequency among all products: macro F1 wants rare classes to be found.
        """
        counts = np.bincount(self.codes, minlength=len(self.values))
        taken = np.maximum(np.bincount(self.codes[chosen], minlength=len(self.values)), 1)
        found = (np.sqrt(counts) / taken)[self.codes[chosen]]
        return np.asarray(found / max(float(found.mean()), 1e-12)) if len(found) else found

    def shares(self) -> F64:
        """(V,) how frequent each class is."""
        counts = np.bincount(self.codes, minlength=len(self.values)).astype(float)
        return np.asarray(counts / max(1.0, counts.sum()))


def readable(shop: ShopArrays, items: NDArray[np.integer]) -> list[str]:
    """Title without the words of the category, brand and attributes."""
    return describe(shop, items, hide_category=True).texts()


def facts(shop: ShopArrays, items: NDArray[np.integer], known: dict[str, int], num_classes: int) -> F64:
    """(n, V + 5) company by class, log price and sales (NaN unsold), sizes. Duplicated items are looked up once."""
    distinct, place = np.unique(items, return_inverse=True)
    lines = shop.lines
    mask = np.zeros(len(shop.items), dtype=bool)
    mask[distinct] = True
    own = lines.take(np.flatnonzero(mask[lines.item] & lines.priced))
    sold = np.bincount(own.item, minlength=len(shop.items))[distinct].astype(float)
    logs = np.bincount(own.item, np.log(np.maximum(own.price, 1e-3)), len(shop.items))[distinct]
    empty = sold == 0
    price = np.where(empty, np.nan, logs / np.maximum(sold, 1))
    sales = np.where(empty, np.nan, np.log1p(sold))
    sizes = describe(shop, distinct, hide_category=True).sizes()
    return np.column_stack([company(shop, distinct, known, num_classes), price, sales, sizes])[place]


class WordClasses:
    """Multinomial logistic regression on hashed words and a few dense columns.

    Args:
        tfidf: Weights of the words.
        weights: (buckets + dense columns + 1, V)
        centre, spread: Of the dense columns.
    """

    def __init__(self, tfidf: Tfidf, weights: F32, centre: F64, spread: F64) -> None:
        self.tfidf, self.weights, self.centre, self.spread = tfidf, weights, centre, spread

    @classmethod
    def fit(cls, texts: list[str], dense: F64, codes: NDArray[np.int64], num_classes: int, weight: F64) -> WordClasses:
        """Minimise the weighted log loss by L-BFGS."""
        tfidf = Tfidf(BUCKETS).fit(texts)
        known = ~np.isnan(dense)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, dense, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, dense - centre, 0) ** 2).sum(axis=0) / count) + 1e-6
        member = cls(tfidf, np.zeros((0, num_classes), dtype=np.float32), centre, spread)
        member.weights = _logistic(member._inputs(texts, dense), codes, num_classes, weight)
        return member

    def __call__(self, texts: list[str], dense: F64) -> F64:
        """(n, V) probabilities."""
        logits = np.asarray(self._inputs(texts, dense) @ self.weights.astype(np.float64))
        return softmax(logits)

    def _inputs(self, texts: list[str], dense: F64) -> Any:
        from scipy.sparse import csr_matrix, hstack

        scaled = np.clip(np.nan_to_num((dense - self.centre) / self.spread), -4, 4) / 4
        ones = np.ones((len(texts), 1))
        return hstack([self.tfidf.transform(texts), csr_matrix(np.hstack([scaled, ones]))], format="csr")

    def arrays(self) -> Arrays:
        """For storage."""
        return {"idf": self.tfidf.idf, "weights": self.weights, "centre": self.centre, "spread": self.spread}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> WordClasses:
        """The inverse of ``arrays``."""
        tfidf = Tfidf(len(arrays["idf"]), idf=arrays["idf"])
        return cls(tfidf, arrays["weights"], arrays["centre"], arrays["spread"])


def softmax(logits: F64) -> F64:
    """(n, V) probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def answered(values: tuple[str, ...], probabilities: F64) -> Classes:
    """The prediction of the category task."""
    return Classes({Category.name: values}, {Category.name: probabilities})


def _logistic(inputs: Any, codes: NDArray[np.int64], num_classes: int, weight: F64) -> F32:
    from scipy.optimize import minimize

    weight = weight / max(1, len(codes))
    transposed = inputs.T.tocsr()
    rows = np.arange(len(codes))

    def loss(flat: F64) -> tuple[float, F64]:
        table = flat.reshape(-1, num_classes)
        probabilities = softmax(np.asarray(inputs @ table))
        value = -float(weight @ np.log(np.maximum(probabilities[rows, codes], 1e-12)))
        probabilities[rows, codes] -= 1
        gradient = np.asarray(transposed @ (probabilities * weight[:, None])) + 2 * PENALTY * table
        return value + PENALTY * float(flat @ flat), gradient.ravel()

    start = np.zeros(inputs.shape[1] * num_classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": PAIRS})
    return np.asarray(found.x.reshape(-1, num_classes), dtype=np.float32)
