"""Text as hashed tokens: words and pieces of words, numbered without a vocabulary, the same in every process.

Titles of shops are short and repeat their words, so every distinct text and word is read once.
Knows nothing of products; works on lists of strings.
"""

# Shapes: N texts, V buckets

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, I32

_MARKS = "\u0300-\u036f\u0900-\u0dff\u0e00-\u0e7f"  # combining signs that \w leaves out
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"  # kana, ideographs, hangul
_RUN = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[\w{_MARKS}])+")
_FIRST_UNSPACED = "\u3040"


def words(text: str) -> list[str]:
    """The words of a text: NFKC, lower case; runs of kana, ideographs and hangul stay whole.

    Example:
        >>> words("Ｒed Mug, 12 OZ 红色杯子")
        ['red', 'mug', '12', 'oz', '红色杯子']
    """
    return _RUN.findall(unicodedata.normalize("NFKC", text).lower())


def tokens(word: str) -> list[str]:
    """A word and its pieces: 3- to 5-grams of ``<word>``; a run of kana, ideographs or hangul gives 1- and 2-grams.

    Example:
        >>> tokens("mug")
        ['mug', '#<mu', '#mug', '#ug>', '#<mug', '#mug>', '#<mug>']
        >>> tokens("红色杯")
        ['红', '色', '杯', '红色', '色杯']
    """
    if word[0] >= _FIRST_UNSPACED and _RUN.match(word) and re.match(f"[{_UNSPACED}]", word):
        return [word[at : at + size] for size in (1, 2) for at in range(len(word) - size + 1)]
    padded = f"<{word}>"
    pieces = [f"#{padded[at : at + size]}" for size in (3, 4, 5) for at in range(len(padded) - size + 1)]
    return [word, *pieces]


def hashed_tokens(texts: Sequence[str], buckets: int) -> tuple[NDArray[np.int64], I32]:
    """Words and their pieces of many texts as bucket numbers, ready for an embedding bag.

    Args:
        texts: N texts; an empty one has no tokens.
        buckets: Number V of buckets.

    Returns:
        (N + 1,) offsets and the ids in [0, V): text n has ``ids[offsets[n]:offsets[n + 1]]``.
    """
    return _hashed(texts, buckets, most=1, pieces=True)


class Tfidf:
    """Hashed words, pairs of words and pieces of words, weighted by how rare they are; rows have length 1.

    Stateless but for one number per bucket, so that it is stored as an array. Weights are
    (1 + ln count) (1 + ln((1 + N) / (1 + N_v))).

    Args:
        buckets: Number V of buckets; two tokens may share one.
        most: Longest run of words that counts as a token.
        pieces: Whether pieces of words count, which helps with misspelt and compound words.
        idf: (V,) weights of an earlier ``fit``.

    Example:
        >>> tfidf = Tfidf(buckets=64).fit(["red mug", "blue mug"])
        >>> tfidf.transform(["red mug", ""]).toarray().any(axis=1).tolist()
        [True, False]
    """

    def __init__(self, buckets: int = 2**17, *, most: int = 2, pieces: bool = False, idf: F32 | None = None) -> None:
        self.buckets = buckets
        self.most = most
        self.pieces = pieces
        self.idf: F32 = np.ones(buckets, dtype=np.float32) if idf is None else idf

    def fit(self, texts: Sequence[str]) -> Tfidf:
        """Learn how rare each bucket is."""
        present = self._counts(texts)
        seen = np.bincount(present.indices, minlength=self.buckets)
        self.idf = (1 + np.log((1 + len(texts)) / (1 + seen))).astype(np.float32)
        return self

    def transform(self, texts: Sequence[str]) -> Any:
        """A SciPy CSR matrix (N, V) of float64."""
        matrix = self._counts(texts)
        matrix.data = (1 + np.log(matrix.data)) * self.idf[matrix.indices]
        squares = np.bincount(rows_of(matrix), matrix.data**2, minlength=matrix.shape[0])
        matrix.data /= np.sqrt(np.maximum(squares, 1e-12))[rows_of(matrix)]
        return matrix

    def _counts(self, texts: Sequence[str]) -> Any:
        from scipy.sparse import csr_matrix

        offsets, ids = _hashed(texts, self.buckets, most=self.most, pieces=self.pieces)
        matrix = csr_matrix((np.ones(len(ids)), ids, offsets), shape=(len(texts), self.buckets))
        matrix.sum_duplicates()
        return matrix


def rows_of(matrix: Any) -> NDArray[np.int64]:
    """The row of each stored value of a CSR matrix."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _hashed(texts: Sequence[str], buckets: int, *, most: int, pieces: bool) -> tuple[NDArray[np.int64], I32]:
    own: dict[str, list[int]] = {}
    place: dict[str, int] = {}
    distinct: list[I32] = []
    which = np.empty(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        if text not in place:
            place[text] = len(distinct)
            distinct.append(_numbers(words(text), own, buckets, most, pieces))
        which[row] = place[text]
    sizes = np.array([len(one) for one in distinct], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    offsets = np.concatenate([[0], np.cumsum(sizes[which])]).astype(np.int64)
    flat = np.concatenate(distinct) if distinct else np.empty(0, dtype=np.int32)
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts[which], sizes[which])
    return offsets, flat[at]


def _numbers(found: list[str], own: dict[str, list[int]], buckets: int, most: int, pieces: bool) -> I32:
    for word in found:
        if word not in own:
            own[word] = [_bucket(one, buckets) for one in (tokens(word) if pieces else _plain(word))]
    # Whole words first, so that a reader with room for a few tokens keeps the telling ones.
    ids = [own[word][0] for word in found]
    for size in range(2, most + 1):
        ids += [_bucket(" ".join(found[at : at + size]), buckets) for at in range(len(found) - size + 1)]
    for word in found:
        ids += own[word][1:]
    return np.array(ids, dtype=np.int32)


def _plain(word: str) -> list[str]:
    """Words as they are; runs without spaces need their pieces to have words at all."""
    return tokens(word) if re.match(f"[{_UNSPACED}]", word) else [word]


def _bucket(token: str, buckets: int) -> int:
    # CRC32 is linear: multiplying spreads its low bits (Knuth's 2^32 / golden ratio).
    return ((crc32(token.encode("utf-8", "surrogatepass")) * 2654435761) & 0xFFFFFFFF) % buckets
