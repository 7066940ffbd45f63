"""The price of the ten known products whose text is most alike."""

# Shapes: n products, N known ones, V text buckets

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays
from shoploom.ensemble.members.pricing import BUCKETS, DEFAULT_SPREAD, PriceSheet, mape_factor, priced, spread_of
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.products import describe
from shoploom.features.text import Tfidf
from shoploom.tasks.base import Cases, Numbers, Task

NEIGHBOURS: Final = 10
MOST_KNOWN: Final = 20_000
"""The best-documented products are compared with; more would make single answers slow."""
CHUNK: Final = 256
TRIED: Final = 1000
"""Known products whose own price is guessed from the others, to learn factor and spread."""
PRIOR: Final = 0.01


class NearestTitles:
    """Geometric mean price of the neighbours, weighed by the cosine of their TF-IDF vectors."""

    name: ClassVar[str] = "nearest_titles"

    def __init__(self) -> None:
        self.tfidf: Tfidf | None = None
        self.known: Any = None
        self.log_price: F64 = np.zeros(0)
        self.factor = 1.0
        self.spread = DEFAULT_SPREAD

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Keep the vectors, and try them on products left out one at a time."""
        del task
        sheet = PriceSheet.of(shop, seed)
        if not len(sheet):
            return
        kept = np.sort(np.argsort(-sheet.sales, kind="stable")[:MOST_KNOWN])
        texts = sheet.about.texts()
        self.tfidf = Tfidf(BUCKETS).fit(texts)
        self.known = self.tfidf.transform([texts[row] for row in kept]).astype(np.float32)
        self.log_price = sheet.log_price[kept]
        tried = np.sort(np.random.default_rng(seed).permutation(len(kept))[:TRIED])
        guess = np.exp(self._guess(self.known[tried], without=tried))
        price = np.exp(self.log_price[tried])
        self.factor, self.spread = mape_factor(guess, price), spread_of(guess, price)

    def predict(self, shop: ShopArrays, cases: Cases) -> Numbers:
        """Mean, p10 and p90 of the shelf price."""
        texts = describe(shop, cases.units).texts()
        if self.tfidf is None:
            return priced(np.ones(len(texts)), self.factor, self.spread)
        distinct, place = np.unique(np.array(texts, dtype=object), return_inverse=True)
        guess = self._guess(self.tfidf.transform(distinct.tolist()).astype(np.float32))
        return priced(np.exp(guess)[place], self.factor, self.spread)

    def _guess(self, asked: Any, without: NDArray[np.integer] | None = None) -> F64:
        """(n,) log prices; ``without`` names the known product that each must not see."""
        usual = float(self.log_price.mean())
        found = np.full(asked.shape[0], usual)
        count = min(NEIGHBOURS, len(self.log_price))
        for at in range(0, asked.shape[0], CHUNK):
            likeness = (asked[at : at + CHUNK] @ self.known.T).toarray()
            if without is not None:
                likeness[np.arange(len(likeness)), without[at : at + CHUNK]] = 0
            near = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
            weight = np.take_along_axis(likeness, near, 1).astype(np.float64)
            total = (weight * self.log_price[near]).sum(axis=1) + PRIOR * usual
            found[at : at + CHUNK] = total / (weight.sum(axis=1) + PRIOR)
        return found

    def save(self, folder: Path) -> None:
        """The vectors as the arrays of a sparse matrix."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.tfidf is not None:
            arrays = {"idf": self.tfidf.idf, "log_price": self.log_price, "data": self.known.data}
            arrays |= {"indices": self.known.indices, "indptr": self.known.indptr}
        save_state(folder, {"factor": self.factor, "spread": list(self.spread)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved member."""
        from scipy.sparse import csr_matrix

        settings, arrays = load_state(folder)
        member = cls()
        member.factor, member.spread = settings["factor"], (settings["spread"][0], settings["spread"][1])
        if arrays:
            member.tfidf = Tfidf(len(arrays["idf"]), idf=arrays["idf"])
            member.log_price = arrays["log_price"]
            shape = (len(member.log_price), len(arrays["idf"]))
            member.known = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        return member
