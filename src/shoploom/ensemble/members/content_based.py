"""Products whose words are like those of what the customer buys, new ones included."""

# Shapes: B cases, I items, D distinct texts, V text buckets, b cases of a block

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import scipy.sparse as sp

from shoploom.data.arrays import F32, I32, ShopArrays
from shoploom.ensemble.members.scored_lists import ScoredLists
from shoploom.ensemble.members.sparse_storage import sparse_arrays, sparse_from
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.customer_vectors import tamed_counts
from shoploom.features.item_subset import strongest
from shoploom.features.neighbours import unit_rows
from shoploom.features.products import describe
from shoploom.features.text import Tfidf
from shoploom.tasks.base import Cases, Ranked, Task

BUCKETS: Final = 2**16
LONGEST_RUN: Final = 2
"""Words and pairs of words are tokens."""
PROFILE_WORDS: Final = 200
POPULARITY: Final = 0.5
"""Power of popularity beside the cosine: of a hundred products with the same words it names those that sell."""
MOST_ITEMS: Final = 200_000
MOST_NEW: Final = 2000
"""Products that came after fitting and are read when somebody asks: the latest."""


@dataclass(frozen=True)
class Texts:
    """What products say, each distinct text once.

    Args:
        of_item: (I,) text of each item, -1 unread.
        vectors: (D, V) unit rows.
    """

    of_item: I32
    vectors: sp.csr_matrix

    @cached_property
    def by_word(self) -> sp.csr_matrix:
        """(V, D) the vectors by word."""
        return self.vectors.T.tocsr()


class ContentBased:
    """Cosine between words of title, category, brand and attributes and those of one's own products, faded by age.

    Times a power of popularity, in which a product that nobody has bought yet counts like the median one: this member
    names newcomers.

    References:
        Pazzani and Billsus 2007, "Content-Based Recommendation Systems", in The Adaptive Web, LNCS 4321, section 10.3
        (Rocchio's profile over TF-IDF vectors).
    """

    name: ClassVar[str] = "content_based"

    def __init__(self) -> None:
        self.lists: ScoredLists | None = None
        self.tfidf = Tfidf(BUCKETS, most=LONGEST_RUN)
        self.texts = Texts(np.zeros(0, dtype=np.int32), sp.csr_matrix((0, BUCKETS), dtype=np.float32))

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Read the catalogue."""
        del seed
        self.lists = ScoredLists.of(shop, task)
        share = self.lists.sold.shares(len(shop.items))
        rows = np.sort(np.argsort(-share, kind="stable")[:MOST_ITEMS])
        texts = describe(shop, rows).texts()
        self.tfidf = Tfidf(BUCKETS, most=LONGEST_RUN).fit(texts)
        of_item = np.full(len(shop.items), -1, dtype=np.int32)
        of_item[rows], vectors = _distinct(texts, self.tfidf)
        self.texts = Texts(of_item, vectors)

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        """Products like one's own."""
        assert self.lists is not None, "fit or load first"
        asked, texts = self.lists.asked(shop, cases), self._grown(shop)
        pairs = asked.pairs()
        text, values = texts.of_item[pairs.item], tamed_counts(pairs).astype(np.float32)
        offsets = np.searchsorted(pairs.row[text >= 0], np.arange(len(asked) + 1))
        shape = (len(asked), texts.vectors.shape[0])
        own = sp.csr_matrix((values[text >= 0], text[text >= 0], offsets), shape=shape)
        profile = unit_rows(strongest((own @ texts.vectors).tocsr(), PROFILE_WORDS))
        by_word, weight = texts.by_word, self._popularity(texts, asked.num_items)

        def scores(block: slice) -> F32:
            return np.asarray((profile[block] @ by_word).toarray()[:, texts.of_item] * weight)

        return self.lists.best(asked, cases.k, scores)

    def _popularity(self, texts: Texts, num_items: int) -> F32:
        """(I,) a power of popularity; the median of what sells is added, which is all that newcomers have."""
        assert self.lists is not None, "fit or load first"
        share = self.lists.sold.shares(num_items)
        usual = float(np.median(share[share > 0])) if share.any() else 1.0
        weight = (share + usual) ** POPULARITY
        return np.where(texts.of_item >= 0, weight, 0.0).astype(np.float32)

    def _grown(self, shop: ShopArrays) -> Texts:
        """The texts, with those of products that came after fitting."""
        known, count = len(self.texts.of_item), len(shop.items)
        if count == known:
            return self.texts
        new = np.arange(max(known, count - MOST_NEW), count)
        of_item = np.full(count, -1, dtype=np.int32)
        of_item[:known] = self.texts.of_item
        place, vectors = _distinct(describe(shop, new).texts(), self.tfidf)
        of_item[new] = place + self.texts.vectors.shape[0]
        return Texts(of_item, sp.vstack([self.texts.vectors, vectors], format="csr"))

    def save(self, folder: Path) -> None:
        """Words as arrays."""
        assert self.lists is not None, "fit first"
        arrays = self.lists.arrays() | {"idf": self.tfidf.idf, "of_item": self.texts.of_item}
        save_state(folder, self.lists.settings(), arrays | sparse_arrays("words", self.texts.vectors))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        settings, arrays = load_state(folder)
        member = cls()
        member.lists = ScoredLists.from_state(settings, arrays)
        member.tfidf = Tfidf(BUCKETS, most=LONGEST_RUN, idf=arrays["idf"])
        member.texts = Texts(arrays["of_item"], sparse_from("words", arrays, BUCKETS))
        return member


def _distinct(texts: list[str], tfidf: Tfidf) -> tuple[I32, sp.csr_matrix]:
    """(n,) the text of each product, and (D, V) the vectors of the distinct ones."""
    numbers: dict[str, int] = {}
    place = np.array([numbers.setdefault(one, len(numbers)) for one in texts], dtype=np.int32)
    return place, tfidf.transform(list(numbers)).astype(np.float32)
