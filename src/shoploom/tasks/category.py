"""Category: where in the catalogue does a product belong?"""

# Shapes: I items, B cases, V classes

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F64, Attribute, Flags, Lines, ShopArrays
from shoploom.metrics.classification import class_log_loss, macro_f1
from shoploom.metrics.statistics import means, together
from shoploom.tasks.base import Cases, Classes, Measured, Prediction, Shape, Space, Truth, Unit

HELD_PERCENT = 20
MOST_CLASSES, LEAST_PRODUCTS = 150, 10


class Category:
    """A probability for each category of the finest level that has at most 150 common ones.

    Products, not time, are held out: a fixed fifth of the labelled ones, chosen by a hash of their id. A model must
    see neither their category nor words that repeat it: some shops (The Complete Journey for one) have no titles of
    their own, and the title *is* the finest category. Read titles through ``titles_without_category``; what remains
    there, brand, maker, package size, price and who buys it together with what, is honest and hard.
    """

    name = "category"
    title = "Which category does a product belong to?"
    unit: Unit = "product"
    shape: Shape = "classes"
    space: Space = "product"
    metric = "macro_f1"
    lower_is_better = False
    rivals: tuple[str, ...] = ("majority_category", "linear_category", "lightgbm_category")
    hides: frozenset[str] = frozenset({"category"})

    def missing(self, shop: ShopArrays) -> str | None:
        """Two classes of at least ten products, and something to tell them by, are needed."""
        if len(category_labels(shop).values) < 2:
            return f"the catalogue has fewer than two categories with {LEAST_PRODUCTS} products"
        telling = (schema.TITLE, schema.DESCRIPTION, schema.BRAND, schema.ATTRIBUTES)
        if all(shop.catalogue[name].null_count() == len(shop.catalogue) for name in telling):
            return "the catalogue has no title, description, brand or attributes to tell a category from"
        return None

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The same shop with the held products marked; their labels must not be learned from."""
        return replace(shop, held=shop.held | {self.name: held_products(shop.items.ids)})

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The held products with a label."""
        del future  # a category has no date
        labels = category_labels(past)
        held = past.held.get(self.name)
        chosen = (held_products(past.items.ids) if held is None else held) & (labels.codes >= 0)
        units = np.flatnonzero(chosen).astype(np.int32)
        return Cases(units, truth=Truth(codes={self.name: labels.codes[units]}))

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """Products with a label, but those that are held out."""
        labels = category_labels(shop)
        held = shop.held.get(self.name, np.zeros(len(labels.codes), dtype=bool))
        units = np.flatnonzero((labels.codes >= 0) & ~held).astype(np.int32)
        return Cases(units, truth=Truth(codes={self.name: labels.codes[units]}))

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Products without a category; all products where each has one."""
        bare = shop.catalogue[schema.CATEGORY].list.drop_nulls().list.len().fill_null(0).to_numpy() == 0
        return Cases(np.flatnonzero(bare if bare.any() else np.ones(len(bare), dtype=bool)).astype(np.int32))

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """Macro F1, accuracy and log loss. A product is a unit."""
        if not isinstance(prediction, Classes):
            raise TypeError(f"category is measured on Classes, not on {type(prediction).__name__}")
        if cases.truth is None or self.name not in cases.truth.codes:
            raise ValueError("the cases have no truth; measure needs cases of labelled products")
        codes, probabilities = cases.truth.codes[self.name], prediction.probabilities[self.name]
        guess = probabilities.argmax(axis=1)
        f1 = macro_f1(codes, guess, probabilities.shape[1])

        def score(weights: F64) -> dict[str, float]:
            return {"macro_f1": f1(weights)}

        columns = {"accuracy": (codes == guess).astype(float), "log_loss": class_log_loss(codes, probabilities)}
        return Measured(together(score, means(columns)), len(cases))


def category_labels(shop: ShopArrays) -> Attribute:
    """The classes and each product's, -1 without one or in a rare one.

    Levels are counted by their whole path, so that two shelves called "Other" stay apart. Of the levels with 2 to
    150 classes of at least ten products the finest wins; where every level has more, the 150 largest classes of
    the coarsest.
    """
    paths = shop.catalogue[schema.CATEGORY]
    depth = int(paths.list.len().max() or 0)  # type: ignore[arg-type]
    best: Attribute | None = None
    for level in range(depth):
        found = _classes(paths, level)
        if len(found.values) >= 2 and (best is None or len(found.values) <= MOST_CLASSES):
            best = found
    if best is None:
        return Attribute((), np.full(len(paths), -1, dtype=np.int32))
    return _largest(best)


def titles_without_category(catalogue: pl.DataFrame, items: NDArray[np.integer]) -> list[str]:
    """Titles of some items without the names of their own categories, which would give the answer away.

    Example:
        >>> titles_without_category(pl.DataFrame({"title": ["Red Tea Mug"], "category": [["Kitchen", "MUG"]]}),
        ...                         np.array([0]))
        ['Red Tea']
    """
    rows = catalogue[items.astype(np.uint32)] if len(items) else catalogue.head(0)
    own = zip(rows[schema.TITLE].to_list(), rows[schema.CATEGORY].to_list(), strict=True)
    known: dict[tuple[str, tuple[str, ...]], str] = {}
    found = []
    for title, path in own:
        key = (title or "", tuple(name for name in path or () if name))
        if key not in known:
            known[key] = _without(*key)
        found.append(known[key])
    return found


def held_products(ids: Sequence[str], *, percent: int = HELD_PERCENT) -> Flags:
    """(I,) Products whose id falls into the held part of a 64-bit BLAKE2 hash."""
    digests = [blake2b(one.encode(), digest_size=8, key=b"category").digest() for one in ids]
    return np.array([int.from_bytes(one, "big") % 100 < percent for one in digests], dtype=bool)


def _without(title: str, path: tuple[str, ...]) -> str:
    for name in sorted(path, key=len, reverse=True):
        title = re.sub(re.escape(name), " ", title, flags=re.IGNORECASE)
    return " ".join(title.split())


def _classes(paths: pl.Series, level: int) -> Attribute:
    names = paths.list.head(level + 1)
    whole = pl.when(names.list.drop_nulls().list.len() == level + 1).then(names.list.join(" > "))
    labels = pl.select(name=whole)["name"]
    counts = labels.drop_nulls().value_counts(sort=False).rename({"name": "label"})
    kept = counts.filter(pl.col("count") >= LEAST_PRODUCTS)["label"].sort().to_list()
    return _numbered(labels, kept)


def _numbered(labels: pl.Series, kept: list[str]) -> Attribute:
    place = {name: code for code, name in enumerate(kept)}
    codes = np.array([place.get(name, -1) for name in labels.to_list()], dtype=np.int32)
    return Attribute(tuple(kept), codes)


def _largest(labels: Attribute) -> Attribute:
    if len(labels.values) <= MOST_CLASSES:
        return labels
    sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.values))
    kept = np.sort(np.argsort(-sizes, kind="stable")[:MOST_CLASSES])
    place = np.full(len(labels.values) + 1, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept))
    return Attribute(tuple(labels.values[at] for at in kept), place[labels.codes])
