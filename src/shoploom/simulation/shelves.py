"""Shelves: what a query or a category page has to choose from. Every product stands on exactly one.

A shelf is a category, or a part of one: categories with few products join their parent, those with many are cut by
popularity, as listings are. The candidates of a page are fixed by its shelf, so that propensities are complete.
"""

# Shapes: S shelves, M candidates of the widest shelf, I items

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Path = tuple[str, ...]


@dataclass(frozen=True)
class Shelves:
    """Which product stands where.

    Args:
        members: (S, M) item rows, the most popular first; -1 beyond the shelf's size.
        sizes: (S,) number of products, at least 1.
        of_item: (I,) shelf of each item.
        topics: (S,) category path of each shelf; empty for products of no category.
        listings: (S,) 1 for the most popular part of a category, then 2, 3, ...
        queries: Texts that customers search with.
        query_offsets: (S + 1,) shelf s is found by ``queries[query_offsets[s]:query_offsets[s + 1]]``.
    """

    members: NDArray[np.int32]
    sizes: NDArray[np.int64]
    of_item: NDArray[np.int32]
    topics: tuple[Path, ...]
    listings: tuple[int, ...]
    queries: tuple[str, ...]
    query_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)


def make_shelves(
    paths: Sequence[Path], popularity: NDArray[np.integer], titles: Sequence[str], *, most: int = 40, least: int = 10
) -> Shelves:
    """Put every product on a shelf.

    Args:
        paths: (I,) category of each item, from coarse to fine.
        popularity: (I,) pieces sold.
        titles: (I,) for the words of queries; may be empty texts.
        most: Products of a shelf at most.
        least: Categories with fewer products join their parent.

    Example:
        >>> made = make_shelves([("tea", "green")] * 3 + [("tea", "black")], np.array([5, 9, 7, 1]), [""] * 4, least=2)
        >>> made.topics, made.members.tolist()
        (((), ('tea', 'green')), [[3, -1, -1], [1, 2, 0]])
    """
    keys = list(paths)
    for depth in range(max(map(len, keys), default=0), 0, -1):
        counts = Counter(keys)
        keys = [key[:-1] if len(key) == depth and counts[key] < least else key for key in keys]
    groups: dict[Path, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    members: list[NDArray[np.int64]] = []
    topics: list[Path] = []
    listings: list[int] = []
    for key in sorted(groups):
        rows = np.array(groups[key])
        rows = rows[np.argsort(-popularity[rows], kind="stable")]
        parts = np.array_split(rows, -(-len(rows) // most))
        members += parts
        topics += [key] * len(parts)
        listings += range(1, len(parts) + 1)
    sizes = np.array([len(one) for one in members], dtype=np.int64)
    table = np.full((len(members), int(sizes.max(initial=1))), -1, dtype=np.int32)
    of_item = np.zeros(len(paths), dtype=np.int32)
    for shelf, rows in enumerate(members):
        table[shelf, : len(rows)] = rows
        of_item[rows] = shelf
    texts = [_queries(topic, titles[int(rows[0])]) for topic, rows in zip(topics, members, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in texts])]).astype(np.int64)
    flat = tuple(text for one in texts for text in one)
    return Shelves(table, sizes, of_item, tuple(topics), tuple(listings), flat, offsets)


def _queries(topic: Path, title: str) -> list[str]:
    """Up to three texts: the category, the category with its parent, and words of the best seller's title."""
    names = [" ".join(one.lower().split()) for one in topic]
    texts = [names[-1] if names else "", " ".join(names[-2:]), " ".join(title.lower().split()[:3])]
    return list(dict.fromkeys(one for one in texts if one)) or ["products"]
