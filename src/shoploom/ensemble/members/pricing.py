"""What the price members share: known prices, the keys that tell them, a text regression, and MAPE's own median."""

# Shapes: n products, K keys, V text buckets

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32, ShopArrays
from shoploom.ensemble.members.storage import Arrays
from shoploom.features.encodings import DRAW, Encoding, crossed, folds, out_of_fold
from shoploom.features.products import Descriptions, describe
from shoploom.features.text import Tfidf
from shoploom.tasks.base import Numbers

BUCKETS: Final = 2**16
ALPHA: Final = 1.0
TOLERANCE: Final = 1e-3
MOST_STEPS: Final = 60
DEFAULT_SPREAD: Final = (0.5, 2.0)
CROSSED_LEVELS: Final = 2
"""So many of the finest category levels are paired with brand and attributes."""


@dataclass(frozen=True)
class PriceSheet:
    """Products with a known price.

    Args:
        items: (n,) rows.
        price: (n,) median shelf price.
        sales: (n,) number of lines behind it.
        fold: (n,) for out-of-fold features.
        about: Their catalogue entries.
    """

    items: I32
    price: F64
    sales: NDArray[np.integer]
    fold: NDArray[np.int64]
    about: Descriptions

    @classmethod
    def of(cls, shop: ShopArrays, seed: int) -> PriceSheet:
        """Everything that was sold at a plausible price so far."""
        items, price, sales = shop.shelf_prices()
        return cls(items, price, sales, folds(len(items), seed), describe(shop, items))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def log_price(self) -> F64:
        """(n,) natural logarithms."""
        return np.log(self.price)


def price_keys(about: Descriptions) -> dict[str, list[str]]:
    """Columns whose values share a price level: categories, brand, attributes and their pairs with categories."""
    found = about.columns()
    levels = [name for name in found if name.startswith("level")][-CROSSED_LEVELS:]
    others = [name for name in found if name == "brand" or name.startswith("attribute")]
    pairs = {f"{level} x {other}": crossed(found[level], found[other]) for level in levels for other in others}
    return found | pairs


def key_of(keys: dict[str, list[str]], name: str, number: int) -> list[str]:
    """A column by name; all empty where this catalogue lacks it."""
    return keys.get(name) or [""] * number


class TextRidge:
    """Ridge regression of a target on hashed words and pairs of words.

    Args:
        tfidf: Weights of the words.
        coefficients: (V,)
        constant: Target of an empty text.
    """

    def __init__(self, tfidf: Tfidf, coefficients: F32, constant: float) -> None:
        self.tfidf, self.coefficients, self.constant = tfidf, coefficients, constant

    @classmethod
    def fit(cls, texts: list[str], target: F64) -> TextRidge:
        """Solve by conjugate gradients."""
        tfidf = Tfidf(BUCKETS).fit(texts)
        return cls(tfidf, *_ridge(tfidf.transform(texts), target))

    def __call__(self, texts: list[str]) -> F64:
        """(n,) predictions."""
        return np.asarray(self.tfidf.transform(texts) @ self.coefficients.astype(np.float64) + self.constant)

    def arrays(self) -> Arrays:
        """For storage."""
        return {"idf": self.tfidf.idf, "coefficients": self.coefficients, "constant": np.array([self.constant])}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> TextRidge:
        """The inverse of ``arrays``."""
        tfidf = Tfidf(len(arrays["idf"]), idf=arrays["idf"])
        return cls(tfidf, arrays["coefficients"], float(arrays["constant"][0]))


def text_out_of_fold(texts: list[str], target: F64, fold: NDArray[np.int64]) -> F64:
    """(n,) what ``TextRidge`` says of each text when fitted on the other folds (word weights are of all texts)."""
    words = Tfidf(BUCKETS).fit(texts).transform(texts)
    found = np.full(len(target), float(target.mean()) if len(target) else 0.0)
    for part in np.unique(fold):
        rest, own = fold != part, fold == part
        if rest.any():
            coefficients, constant = _ridge(words[rest], target[rest])
            found[own] = words[own] @ coefficients.astype(np.float64) + constant
    return found


def keys_out_of_fold(
    keys: dict[str, list[str]], target: F64, fold: NDArray[np.int64], *, draw: float = DRAW
) -> dict[str, tuple[F64, F64]]:
    """Means and counts per key, each row's from the other folds."""
    return {name: out_of_fold(column, target, fold, draw=draw) for name, column in keys.items()}


def fit_keys(keys: dict[str, list[str]], target: F64, *, draw: float = DRAW) -> dict[str, Encoding]:
    """Encodings per key from all rows."""
    return {name: Encoding.fit(column, target, draw=draw) for name, column in keys.items()}


def keys_to_state(encodings: dict[str, Encoding]) -> tuple[dict[str, Any], Arrays]:
    """Encodings as JSON and arrays."""
    settings = {name: {"values": list(one.values), "overall": one.overall} for name, one in encodings.items()}
    arrays = {f"{kind} {name}": getattr(one, kind) for name, one in encodings.items() for kind in ("means", "counts")}
    return settings, arrays


def keys_from_state(settings: dict[str, Any], arrays: Arrays) -> dict[str, Encoding]:
    """The inverse of ``keys_to_state``."""
    return {
        name: Encoding(tuple(one["values"]), arrays[f"means {name}"], arrays[f"counts {name}"], one["overall"])
        for name, one in settings.items()
    }


def mape_factor(guess: F64, price: F64) -> float:
    """The factor on all guesses that minimises MAPE: the median of price / guess weighed by guess / price.

    The sum of |f g - p| / p over f is a weighted absolute error of f around p / g with weights g / p.

    Example:
        >>> mape_factor(np.array([1.0, 1.0, 1.0]), np.array([0.5, 1.0, 4.0]))
        0.5
    """
    if not len(price):
        return 1.0
    ratio = price / guess
    order = np.argsort(ratio, kind="stable")
    reached = np.cumsum((1 / ratio)[order])
    return float(ratio[order][np.searchsorted(reached, reached[-1] / 2)])


def spread_of(guess: F64, price: F64) -> tuple[float, float]:
    """10 % and 90 % quantiles of price / guess."""
    if len(price) < 20:
        return DEFAULT_SPREAD
    low, high = np.quantile(price / guess, [0.1, 0.9])
    return float(low), float(high)


def priced(guess: F64, factor: float, spread: tuple[float, float]) -> Numbers:
    """The best guess in MAPE and the interval around the plain one."""
    mean, low, high = guess * factor, guess * spread[0], guess * spread[1]
    return Numbers({"mean": mean, "p10": np.minimum(low, mean), "p90": np.maximum(high, mean)})


def _ridge(words: Any, target: F64) -> tuple[F32, float]:
    """Minimise |y - m - Xb|^2 + alpha |b|^2 by conjugate gradients, m being the mean target.

    Our own loop: it needs some 30 products of sparse matrices, a tenth of the time of a general solver.
    """
    constant = float(target.mean())
    transposed = words.T.tocsr()
    residual = transposed @ (target - constant)
    solution, direction = np.zeros_like(residual), residual.copy()
    length = float(residual @ residual)
    enough = (TOLERANCE**2) * length
    for _ in range(MOST_STEPS):
        if length <= enough or length == 0:
            break
        image = transposed @ (words @ direction) + ALPHA * direction
        step = length / float(direction @ image)
        solution += step * direction
        residual -= step * image
        shorter = float(residual @ residual)
        direction = residual + (shorter / length) * direction
        length = shorter
    return solution.astype(np.float32), constant
