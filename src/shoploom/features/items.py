"""What the item encoder reads of a product: category codes, brand, hashed text, price and size.

Fitted once (which categories and brands exist), then the same object turns any catalogue into arrays, with
unknown categories and brands as 0. Category, brand and price can be hidden per task, so they stay apart.
"""

# Shapes: I items, G category levels, N tokens

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoploom.data import schema
from shoploom.data.arrays import F32, F64, I32, ShopArrays
from shoploom.features.text import Tfidf

MAX_LEVELS = 4
_UNITS = {"LB": 454.0, "KG": 1000.0, "G": 1.0, "OZ": 28.35, "ML": 1.0, "L": 1000.0, "LT": 1000.0, "LTR": 1000.0}
_UNITS |= {"GAL": 3785.0, "QT": 946.0, "PT": 473.0, "CL": 10.0, "FL": 28.35}
_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*-?\s*([A-Z]{1,3})")


@dataclass(frozen=True)
class ItemArrays:
    """The catalogue as arrays.

    Args:
        levels: (I, G) category code per level from coarse to fine, 0 unknown.
        brand: (I,) brand code, 0 unknown.
        token_offsets, tokens, token_weights: (I + 1,), (N,), (N,) hashed words and pairs of words of attributes, title
            and description, rare ones weighing more; the weights of a product have length 1.
        log_price: (I,) log of the shelf price, 0 unknown.
        log_size: (I,) log of the size that the text names (grams or millilitres, else a count), 0 unknown.
        known: (I, 2) float, 1 where the price, the size is known.
    """

    levels: I32
    brand: I32
    token_offsets: NDArray[np.int64]
    tokens: NDArray[np.int64]
    token_weights: F32
    log_price: F32
    log_size: F32
    known: F32

    def joined(self, other: ItemArrays) -> ItemArrays:
        """The products of both, these first."""
        parts = {
            one.name: np.concatenate([getattr(self, one.name), getattr(other, one.name)])
            for one in fields(self)
            if one.name != "token_offsets"
        }
        offsets = np.concatenate([self.token_offsets, self.token_offsets[-1] + other.token_offsets[1:]])
        return ItemArrays(token_offsets=offsets, **parts)

    def replaced(self, row: int, one: ItemArrays) -> ItemArrays:
        """The catalogue with another product at a row; ``one`` holds just that product."""
        start, end = (int(place) for place in self.token_offsets[row : row + 2])
        ragged = {"tokens", "token_weights"}
        parts = {}
        for name in (field.name for field in fields(self) if field.name != "token_offsets"):
            old, new = getattr(self, name), getattr(one, name)
            if name in ragged:
                parts[name] = np.concatenate([old[:start], new, old[end:]])
            else:
                parts[name] = old.copy()
                parts[name][row] = new[0]
        offsets = self.token_offsets.copy()
        offsets[row + 1 :] += len(one.tokens) - (end - start)
        return ItemArrays(token_offsets=offsets, **parts)


class ItemFeatures:
    """Turns catalogues into ``ItemArrays``.

    Args:
        levels: Category names by level, most frequent first.
        brands: Brand names.
        idf: Rarity of each bucket of the text hash.
    """

    def __init__(self, levels: list[list[str]], brands: list[str], *, idf: F32) -> None:
        self.levels = levels
        self.brands = brands
        self.text = Tfidf(len(idf), idf=idf)
        self._codes = [{name: code + 1 for code, name in enumerate(one)} for one in levels]
        self._brands = {name: code + 1 for code, name in enumerate(brands)}

    @classmethod
    def fit(cls, shop: ShopArrays, *, buckets: int = 2**15) -> ItemFeatures:
        """Number the categories and brands of the catalogue."""
        paths = _paths(shop.catalogue)
        depth = min(MAX_LEVELS, max((len(path) for path in paths), default=0))
        counts = [Counter(path[level] for path in paths if len(path) > level) for level in range(depth)]
        brands = Counter(brand for brand in shop.catalogue[schema.BRAND] if brand)
        text = Tfidf(buckets).fit(item_texts(shop.catalogue, paths))
        text.idf = text.idf.round(4)  # as it is stored, so that a loaded model sees the same
        return cls([_ordered(one) for one in counts], _ordered(brands), idf=text.idf)

    @property
    def buckets(self) -> int:
        """Size of the text hash."""
        return self.text.buckets

    def transform(self, shop: ShopArrays) -> ItemArrays:
        """Arrays of every item of the shop; prices are medians of what is known as of ``shop.end``."""
        return self.rows(shop.catalogue, _prices(shop))

    def rows(self, catalogue: pl.DataFrame, price: F64 | None = None) -> ItemArrays:
        """Arrays of some catalogue rows, with list prices where no others are given."""
        paths = _paths(catalogue)
        price = _listed(catalogue) if price is None else price
        texts = item_texts(catalogue, paths)
        words = self.text.transform(texts)
        size = np.array([_size(text) for text in texts], dtype=np.float32)
        brands = catalogue[schema.BRAND]
        return ItemArrays(
            levels=self._levels_of(paths),
            brand=np.array([self._brands.get(one, 0) if one else 0 for one in brands], dtype=np.int32),
            token_offsets=words.indptr.astype(np.int64),
            tokens=words.indices.astype(np.int64),
            token_weights=words.data.astype(np.float32),
            log_price=np.log(np.where(price > 0, price, 1.0)).astype(np.float32),
            log_size=np.log(np.where(size > 0, size, 1.0)).astype(np.float32),
            known=np.column_stack([price > 0, size > 0]).astype(np.float32),
        )

    def category_codes(self, catalogue: pl.DataFrame) -> I32:
        """(n, G) category code per level of some catalogue rows, 0 unknown: ``ItemArrays.levels`` alone."""
        return self._levels_of(_paths(catalogue))

    def _levels_of(self, paths: list[list[str]]) -> I32:
        levels = np.zeros((len(paths), len(self.levels)), dtype=np.int32)
        for level, codes in enumerate(self._codes):
            levels[:, level] = [codes.get(path[level], 0) if len(path) > level else 0 for path in paths]
        return levels

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {"levels": self.levels, "brands": self.brands, "idf": [round(float(one), 4) for one in self.text.idf]}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> ItemFeatures:
        """The inverse of ``to_dict``."""
        return cls(state["levels"], state["brands"], idf=np.array(state["idf"], dtype=np.float32))


def item_texts(catalogue: pl.DataFrame, paths: list[list[str]]) -> list[str]:
    """Attributes as ``key=value`` words, then title and description; words that repeat the category are left out."""
    rows = zip(catalogue[schema.ATTRIBUTES], catalogue[schema.TITLE], catalogue[schema.DESCRIPTION], paths, strict=True)
    said, named = cache(_attribute_words), cache(_title_words)
    return [
        f"{said(attributes)} {named(title or '', tuple(path))} {(description or '')[:200]}"
        for attributes, title, description, path in rows
    ]


def _attribute_words(attributes: str | None) -> str:
    pairs = json.loads(attributes).items() if attributes else ()
    return " ".join(f"{key}={str(value).replace(' ', '')} {value}" for key, value in pairs if value not in (None, ""))


def _title_words(title: str, path: tuple[str, ...]) -> str:
    for name in path:
        if name:
            title = title.replace(name, " ").replace(name.title(), " ").replace(name.lower(), " ")
    return title


def _paths(catalogue: pl.DataFrame) -> list[list[str]]:
    return [[name or "" for name in path] if path is not None else [] for path in catalogue[schema.CATEGORY].to_list()]


def _ordered(counts: Counter[str]) -> list[str]:
    return [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if name]


def _listed(catalogue: pl.DataFrame) -> F64:
    return catalogue[schema.PRICE].fill_null(0.0).to_numpy().astype(float).copy()


def _prices(shop: ShopArrays) -> F64:
    listed = _listed(shop.catalogue)
    rows, price, _ = shop.shelf_prices()
    listed[rows] = price
    return listed


def _size(text: str) -> float:
    found = _SIZE.search(text.upper())
    return float(found[1].replace(",", ".")) * _UNITS.get(found[2], 1.0) if found else 0.0
