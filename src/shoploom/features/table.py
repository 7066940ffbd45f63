"""Rows of any table as arrays: numbers, categories and texts, read the same way in training and in serving.

Fitted once on the training rows, without their labels, and saved beside the weights. Knows nothing of shops: a column
is what its type and its values say.
"""

# Shapes: N rows, P numbers, C categories, V text buckets, E edges, S factors of texts

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64
from shoploom.data.vocabulary import Vocabulary
from shoploom.errors import DataError, SchemaError
from shoploom.features.text import Tfidf

Role = Literal["number", "category", "text"]
Arrays = dict[str, NDArray[Any]]

UNKNOWN, MISSING, FIRST = 0, 1, 2
"""Codes of categories: never seen or too rare, empty, and the first one with a name."""
FEWEST_ROWS = 5
"""A category that is seen less often shares its code with those never seen."""
FEW_VALUES = 64
"""Whole numbers with no more distinct values count as categories, too: they are often codes."""
BINS = 16
LONG_TEXT, FEW_TEXTS, TITLE, DISTINCT = 40, 0.05, 12, 0.2
"""Strings are text if they are this long on average and this share of them distinct; shorter ones must be more so."""
RARE_TOKEN, MOST_WORDS, MOST_PIECES = 2, 60_000, 15_000
"""Tokens of fewer rows are left out, and beyond the most frequent ones."""
FACTORS = 48
PIECES, FEW_TOKENS = 0.7, 50.0
"""Length of a text's vector of pieces of words, beside 1.0 of its words. Texts with more words and pairs of them on
average have no pieces: those cost ten times as much to read, and told ratings of reviews worse (macro F1 .425 to .436).
"""


@dataclass(frozen=True)
class TableView:
    """Rows of a table as models read them.

    Args:
        numbers: (N, P) standardised, NaN where missing.
        codes: (N, C) categories: ``UNKNOWN``, ``MISSING``, or from ``FIRST`` on.
        texts: (N, V) TF-IDF weights; V is 0 without text columns.
        factors: (N, S) what is common in the texts, for members that read dense columns.
    """

    numbers: F32
    codes: NDArray[np.int32]
    texts: sp.csr_matrix
    factors: F32

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: NDArray[np.integer[Any]]) -> TableView:
        """Some of the rows, by position."""
        return TableView(self.numbers[rows], self.codes[rows], self.texts[rows], self.factors[rows])


@dataclass(frozen=True)
class TableShape:
    """What a model must know of the columns before it sees a row.

    Args:
        numbers, categories: Names of the columns, in the order of the arrays.
        sizes: (C,) number of codes of each category.
        edges: (P, E) ascending borders of bins of about equally many rows, in standardised units.
        tokens: V.
        factors: S.
    """

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    sizes: tuple[int, ...]
    edges: F32
    tokens: int
    factors: int


class TablePipeline:
    """Columns to arrays, with one state for training and serving.

    Numbers are standardised and binned by quantiles; moments become days, the hour and the weekday; strings are
    categories or texts by their length; categories that turn up later are ``UNKNOWN`` until ``grow`` gives them codes;
    texts become hashed words, pairs of words and pieces of words. Columns that never change are left out.

    Args:
        buckets: Number of hash buckets of each kind of token.

    Example:
        >>> frame = pl.DataFrame({"price": [1.0, 2.0, None], "colour": ["red", "red", "blue"]})
        >>> pipeline = TablePipeline().fit(frame, fewest=1)
        >>> pipeline.transform(frame).codes[:, 0].tolist()  # blue is the first, red the second
        [3, 3, 2]
    """

    def __init__(self, buckets: int = 2**17) -> None:
        self.buckets = buckets
        self.roles: dict[str, Role] = {}
        self.scales: dict[str, tuple[float, float]] = {}
        self.edges: dict[str, F32] = {}
        self.vocabularies: dict[str, Vocabulary] = {}
        self.constant: tuple[str, ...] = ()
        self.words = Tfidf(buckets)
        self.pieces = Tfidf(buckets, most=1, pieces=True)
        self.kept: tuple[NDArray[np.int64], NDArray[np.int64]] = (_nothing(), _nothing())
        self.basis: F32 = np.zeros((0, 0), dtype=np.float32)
        self.columns: tuple[str, ...] = ()

    def fit(self, frame: pl.DataFrame, *, fewest: int = FEWEST_ROWS, seed: int = 0) -> Self:
        """Learn scales, bins, categories and how rare tokens are.

        Args:
            frame: Training rows, without labels and ids.
            fewest: Rows that a category must have to get a code of its own.
            seed: Of the factors of texts.

        Raises:
            DataError: If there are no rows or no column that changes.
            SchemaError: If a column's type cannot be read, for example bytes.
        """
        if not frame.height:
            raise DataError("the table has no rows; give at least a few labelled ones")
        self.columns = tuple(frame.columns)
        parts = _parts(frame)
        changing = {name: one for name, one in parts.items() if one.n_unique() > 1}
        self.constant = tuple(name for name in parts if name not in changing)
        if not changing:
            raise DataError(f"no input column changes: {', '.join(parts) or 'there are none'}; give columns that do")
        for name, series in changing.items():
            self.roles[name] = _role(series)
        for name in self._named("number"):
            self._fit_number(name, _floats(changing[name]))
        for name in self._named("category") + [one for one in self._named("number") if _few(changing[one])]:
            counts = _strings(changing[name]).drop_nulls().value_counts().sort("count", changing[name].name)
            frequent = counts.filter(pl.col("count") >= fewest)[:, 0]
            self.vocabularies[name] = Vocabulary(frequent.sort().to_list())
        texts = self._named("text")
        if texts:
            self._fit_texts(_joined(changing, texts), seed)
        if not self.roles.keys() - set(texts) and not self.shape.tokens:
            raise DataError(
                f"no word of {', '.join(texts)} is in two rows; nothing can be learned: give more rows or columns"
            )
        return self

    def _named(self, role: Role) -> list[str]:
        return [name for name, one in self.roles.items() if one == role]

    def _fit_number(self, name: str, values: F64) -> None:
        known = values[np.isfinite(values)]
        mean, spread = float(known.mean()), float(known.std())
        self.scales[name] = (mean, spread if spread > 0 else 1.0)
        scaled = (known - mean) / self.scales[name][1]
        # Where one value is most of the rows, quantiles of all rows would leave the others in one bin.
        edges = np.unique(np.quantile(np.unique(scaled) if _heaped(scaled) else scaled, np.linspace(0, 1, BINS + 1)))
        self.edges[name] = np.unique(edges.astype(np.float32))

    def _fit_texts(self, texts: list[str], seed: int) -> None:
        counted = self.words.fit(texts).transform(texts)
        found = [_frequent(counted, MOST_WORDS), _nothing()]
        if counted.nnz <= FEW_TOKENS * len(texts):
            found[1] = _frequent(self.pieces.fit(texts).transform(texts), MOST_PIECES)
        self.kept = (found[0], found[1])
        self.basis = _basis(self._texts(texts), seed)

    @property
    def shape(self) -> TableShape:
        """What a model must know of the columns."""
        numbers = tuple(self._named("number"))
        edges = np.full((len(numbers), BINS + 1), np.nan, dtype=np.float32)
        for row, name in enumerate(numbers):
            own = self.edges[name]
            edges[row, : len(own)], edges[row, len(own) :] = own, own[-1]
        return TableShape(
            numbers=numbers,
            categories=tuple(self.vocabularies),
            sizes=tuple(FIRST + len(one) for one in self.vocabularies.values()),
            edges=edges,
            tokens=len(self.kept[0]) + len(self.kept[1]),
            factors=self.basis.shape[1],
        )

    def transform(self, frame: pl.DataFrame) -> TableView:
        """Read rows; columns that the pipeline does not know are ignored.

        Raises:
            SchemaError: If a column is missing, or holds text where numbers were learned.
        """
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            raise SchemaError(
                f"the table lacks {', '.join(map(repr, absent))}; it has {', '.join(map(repr, frame.columns))}. "
                "Give the columns that the model was trained on, empty where unknown"
            )
        parts = _parts(frame.select(self.columns))
        numbers = np.empty((frame.height, len(self._named("number"))), dtype=np.float32)
        for place, name in enumerate(self._named("number")):
            mean, spread = self.scales[name]
            numbers[:, place] = (_floats(parts[name]) - mean) / spread
        codes = np.empty((frame.height, len(self.vocabularies)), dtype=np.int32)
        for place, (name, known) in enumerate(self.vocabularies.items()):
            strings = _strings(parts[name])
            rows = known.rows(strings)
            codes[:, place] = np.where(rows >= 0, rows + FIRST, np.where(strings.is_null(), MISSING, UNKNOWN))
        names = self._named("text")
        if names:
            texts = self._texts(_joined(parts, names))
            return TableView(numbers, codes, texts, (texts @ self.basis).astype(np.float32))
        nothing = np.zeros((frame.height, 0), dtype=np.float32)
        return TableView(numbers, codes, sp.csr_matrix((frame.height, 0)), nothing)

    def grow(self, frame: pl.DataFrame, *, fewest: int = FEWEST_ROWS) -> dict[str, int]:
        """Give codes to categories that have become frequent; old codes never move.

        Returns:
            New categories by column.
        """
        parts = _parts(frame.select(self.columns))
        new = {}
        for name, known in self.vocabularies.items():
            counts = _strings(parts[name]).drop_nulls().value_counts()
            fresh = [one for one in counts.filter(pl.col("count") >= fewest)[:, 0].sort() if one not in known]
            for one in fresh:
                known.add(one)
            if fresh:
                new[name] = len(fresh)
        return new

    def _texts(self, texts: list[str]) -> sp.csr_matrix:
        whole = self.words.transform(texts)[:, self.kept[0]].astype(np.float32)
        if not len(self.kept[1]):
            return whole
        pieces = self.pieces.transform(texts)[:, self.kept[1]] * PIECES
        return sp.hstack([whole, pieces], format="csr", dtype=np.float32)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings for JSON and arrays for a file."""
        settings = {
            "buckets": self.buckets,
            "columns": list(self.columns),
            # Pairs instead of objects: the order of the columns is the order of the arrays.
            "roles": list(self.roles.items()),
            "scales": list(self.scales.items()),
            "vocabularies": [(name, list(one.ids)) for name, one in self.vocabularies.items()],
            "constant": list(self.constant),
        }
        arrays: Arrays = {f"edges.{name}": one for name, one in self.edges.items()}
        if self._named("text"):
            arrays |= {"words": self.words.idf, "pieces": self.pieces.idf, "basis": self.basis}
            arrays |= {"kept_words": self.kept[0], "kept_pieces": self.kept[1]}
        return json.loads(json.dumps(settings)), arrays

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Arrays) -> Self:
        """The inverse of ``state``."""
        one = cls(settings["buckets"])
        one.columns, one.constant = tuple(settings["columns"]), tuple(settings["constant"])
        one.roles = dict(settings["roles"])
        one.scales = {name: (pair[0], pair[1]) for name, pair in settings["scales"]}
        one.vocabularies = {name: Vocabulary(ids) for name, ids in settings["vocabularies"]}
        one.edges = {name: arrays[f"edges.{name}"] for name in one.scales}
        if "words" in arrays:
            one.words = Tfidf(one.buckets, idf=arrays["words"])
            one.pieces = Tfidf(one.buckets, most=1, pieces=True, idf=arrays["pieces"])
            one.kept, one.basis = (arrays["kept_words"], arrays["kept_pieces"]), arrays["basis"]
        return one


def piecewise_linear(numbers: F32, edges: F32) -> F32:
    """(N, P, E - 1) how far each number has come through each bin: 0 before it, 1 past it, linear within.

    Bins of no width and missing numbers are 0.

    References:
        Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", arXiv:2203.05556,
        Eq. (1).

    Example:
        >>> piecewise_linear(np.array([[0.5]], dtype=np.float32), np.array([[0, 1, 2]], dtype=np.float32)).tolist()
        [[[0.5, 0.0]]]
    """
    low, width = edges[:, :-1], np.diff(edges, axis=1)
    share = (numbers[:, :, None] - low) / np.where(width > 0, width, 1.0)
    return np.nan_to_num(np.clip(share, 0.0, 1.0) * (width > 0)).astype(np.float32)


def _parts(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """The columns, moments taken apart."""
    parts: dict[str, pl.Series] = {}
    for name, kind in frame.schema.items():
        series = frame[name]
        if kind.is_temporal() and kind in (pl.Date, pl.Datetime):
            moments = series.cast(pl.Datetime("us"))
            parts[f"{name} day"] = moments.dt.epoch("s") / 86_400.0
            parts[f"{name} hour"] = moments.dt.hour()
            parts[f"{name} weekday"] = moments.dt.weekday()
        elif kind == pl.Duration:
            parts[name] = series.dt.total_seconds()
        elif kind == pl.List(pl.Utf8):
            parts[name] = series.list.join(" ")
        elif kind.is_numeric() or kind in (pl.Utf8, pl.Boolean, pl.Categorical, pl.Enum, pl.Null):
            parts[name] = series
        else:
            raise SchemaError(
                f"column {name!r} holds {kind}, which is no number, category, moment or text; "
                "leave it out or turn it into one of them"
            )
    return parts


def _role(series: pl.Series) -> Role:
    if series.dtype.is_numeric():
        return "number"
    if series.dtype in (pl.Boolean, pl.Categorical, pl.Enum):
        return "category"
    known = series.drop_nulls()
    length = float(known.str.len_chars().mean() or 0.0)  # type: ignore[arg-type]
    wide = float(known.str.len_bytes().mean() or 0.0) > 1.5 * length  # type: ignore[arg-type]
    length *= 3 if wide else 1  # an ideograph says more than a letter
    distinct = known.n_unique() / len(known)
    text = (length >= LONG_TEXT and distinct > FEW_TEXTS) or (length >= TITLE and distinct > DISTINCT)
    return "text" if text else "category"


def _few(series: pl.Series) -> bool:
    return series.dtype.is_integer() and series.n_unique() <= FEW_VALUES


def _heaped(values: F64) -> bool:
    """Whether one value is more than half of all."""
    return float(np.median(values)) in (float(np.quantile(values, 0.25)), float(np.quantile(values, 0.75)))


def _floats(series: pl.Series) -> F64:
    if series.dtype == pl.Utf8:
        raise SchemaError(f"column {series.name!r} holds text, but numbers were learned; give numbers or train again")
    values = series.cast(pl.Float64).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _strings(series: pl.Series) -> pl.Series:
    """Categories by name; whole floats and whole numbers have the same one."""
    if series.dtype.is_float():
        whole = (series == series.floor()).all()
        series = series.cast(pl.Int64) if whole else series
    strings = series.cast(pl.Utf8)
    return strings.set(strings == "", None)


def _joined(parts: Mapping[str, pl.Series], names: Sequence[str]) -> list[str]:
    columns = [parts[name].cast(pl.Utf8).fill_null("").alias(str(place)) for place, name in enumerate(names)]
    joined: list[str] = pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=" "))[:, 0].to_list()
    return joined


def _basis(texts: sp.csr_matrix, seed: int) -> F32:
    """(V, S) right singular vectors of the texts."""
    from sklearn.utils.extmath import randomized_svd

    if not texts.shape[1]:
        return np.zeros((0, 0), dtype=np.float32)
    size = min(FACTORS, max(1, min(texts.shape) - 1))
    _, _, found = randomized_svd(texts, size, n_iter=2, random_state=seed)
    return np.ascontiguousarray(found.T.astype(np.float32))


def _frequent(counted: sp.csr_matrix, most: int) -> NDArray[np.int64]:
    """Columns that enough rows have, in order."""
    rows = np.bincount(counted.indices, minlength=counted.shape[1])
    found = np.argsort(-rows, kind="stable")[: min(most, int((rows >= RARE_TOKEN).sum()))]
    return np.sort(found).astype(np.int64)


def _nothing() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)
