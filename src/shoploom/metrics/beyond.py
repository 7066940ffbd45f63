"""What accuracy does not say of ranked lists: reach, novelty, variety, popularity, the mix of categories, surprise.

Lists are matrices of item rows, best first, -1 past the end. Functions that give one value per list say NaN where it
is not defined, so that callers may average or resample. Knows nothing of shops.
"""

# Shapes: B lists, k list length, I items, C categories, G category levels, D vector width

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoploom.metrics.ranking import Flags, Rows, Values

MIXED_IN = 0.01
"""Share of the wanted distribution mixed into the given one, so that the divergence of any two is finite."""


def exposure(lists: Rows, num_items: int) -> NDArray[np.int64]:
    """(I,) How often each item is shown.

    Example:
        >>> exposure(np.array([[2, 0], [2, -1]]), 3).tolist()
        [1, 0, 2]
    """
    return np.bincount(lists[lists >= 0], minlength=num_items)


def reach(shown: Rows) -> float:
    """Share of a catalogue that is shown at all, from how often each of its items is; NaN of an empty catalogue."""
    return float((shown > 0).mean()) if len(shown) else float("nan")


def gini(shown: Rows) -> float:
    """Inequality of exposure: 0 where all items are shown equally often, 1 where one item takes every place.

    NaN for fewer than two items, or where nothing is shown.

    References:
        Shani and Gunawardana 2011, "Evaluating recommendation systems", item space coverage: the sum over items in
        ascending order of (2 j - I - 1) p(j), over I - 1.

    Example:
        >>> gini(np.array([0, 0, 4])), gini(np.array([2, 2]))
        (1.0, 0.0)
    """
    count, total = len(shown), shown.sum()
    if count < 2 or not total:
        return float("nan")
    place = 2.0 * np.arange(1, count + 1) - count - 1
    return float(place @ np.sort(shown) / total / (count - 1))


def top_share(shown: Rows, number: int) -> float:
    """Share of all places that the ``number`` most shown items take; NaN where nothing is shown."""
    total = shown.sum()
    return float(np.sort(shown)[::-1][:number].sum() / total) if total else float("nan")


def self_information(buyers: Rows, customers: int) -> Values:
    """(I,) -log2 of the share of customers who bought an item, in bits: 0 if all did, 1 if half did.

    An item that nobody bought counts as if one customer had.

    References:
        Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 107(10),
        "Surprisal"; Vargas and Castells 2011, "Rank and relevance in novelty and diversity metrics for recommender
        systems", popularity-based item novelty.

    Example:
        >>> self_information(np.array([8, 2, 0]), 8).tolist()
        [0.0, 2.0, 3.0]
    """
    return np.asarray(np.log2(max(1, customers) / np.maximum(buyers, 1)), dtype=np.float64)


def head(sales: Rows, share: float) -> Flags:
    """(I,) The fewest best sellers that together make a share of all sales; equal ones by row.

    Example:
        >>> head(np.array([1, 7, 2, 0]), 0.8).tolist()
        [False, True, True, False]
    """
    order = np.argsort(-sales, kind="stable")
    before = np.cumsum(sales[order]) - sales[order]
    found = np.zeros(len(sales), dtype=bool)
    found[order] = (before < share * sales.sum()) & (sales[order] > 0)
    return found


def mean_shown(lists: Rows, values: Values | Flags) -> Values:
    """(B,) Mean of an item's value, (I,), over what a list shows; NaN of an empty list."""
    shown = lists >= 0
    total = np.where(shown, values[np.where(shown, lists, 0)], 0.0).sum(axis=1) if len(values) else np.zeros(len(lists))
    return _share(total, shown.sum(axis=1))


def share_shown(lists: Rows, flags: Flags) -> Values:
    """(B,) Share of the places of a list that are flagged, (B, k); NaN of an empty list."""
    shown = lists >= 0
    return _share((flags & shown).sum(axis=1), shown.sum(axis=1))


def category_distance(lists: Rows, paths: Rows) -> Values:
    """(B,) Mean over pairs of a list of 1 - levels in common / levels of the longer path.

    0 for one and the same category, 1 for different ones from the coarsest level on. Pairs with an item without a
    category are left out; NaN without a pair.

    Args:
        lists: (B, k)
        paths: (I, G) number of the path down to each level, from coarse to fine; -1 below the last one. Equal
            numbers at a level mean equal paths down to it.

    References:
        Ziegler et al. 2005, "Improving recommendation lists through topic diversification", WWW: intra-list
        similarity, a sum over pairs; here one minus the mean over pairs, so that lists of any length compare.

    Example:
        >>> category_distance(np.array([[0, 1]]), np.array([[0, 0], [0, 1]])).tolist()
        [0.5]
    """
    if not paths.size:
        return np.full(len(lists), np.nan)
    own = np.where((lists >= 0)[:, :, None], paths[np.maximum(lists, 0)], -1)
    depth = (own >= 0).sum(axis=2)
    left, right = np.triu_indices(lists.shape[1], 1)
    common = np.zeros((len(lists), len(left)))
    for level in range(paths.shape[1]):
        common += (own[:, left, level] == own[:, right, level]) & (own[:, left, level] >= 0)
    usable = (depth[:, left] > 0) & (depth[:, right] > 0)
    alike = common / np.maximum(np.maximum(depth[:, left], depth[:, right]), 1)
    return _share(np.where(usable, 1.0 - alike, 0.0).sum(axis=1), usable.sum(axis=1))


def vector_distance(lists: Rows, vectors: NDArray[np.floating]) -> Values:
    """(B,) Mean over pairs of a list of 1 - cosine of their vectors: 0 alike, 1 unrelated, 2 opposite.

    Items whose vector is 0 are left out; NaN without a pair. Takes no pairs apart: the squared length of the sum of n
    unit vectors is n + 2 x the sum of their cosines.

    Args:
        lists: (B, k)
        vectors: (I, D)
    """
    own = vectors[np.maximum(lists, 0)].astype(np.float64) if len(vectors) else np.zeros((*lists.shape, 1))
    length = np.linalg.norm(own, axis=2)
    usable = (lists >= 0) & (length > 0)
    unit = np.where(usable[:, :, None], own / np.where(length > 0, length, 1.0)[:, :, None], 0.0)
    count = usable.sum(axis=1)
    pairs = count * (count - 1) / 2
    cosines = ((unit.sum(axis=1) ** 2).sum(axis=1) - count) / 2
    return _share(pairs - cosines, pairs)


def distributions(owner: Rows, category: Rows, lists: int, categories: int) -> Values:
    """(B, C) Share of each category among the entries of each list; a row of NaN without any.

    Args:
        owner: (n,) list of each entry.
        category: (n,) its category, -1 unknown: left out.
        lists: B.
        categories: C.
    """
    known = category >= 0
    keys = owner[known].astype(np.int64) * categories + category[known]
    counts = np.bincount(keys, minlength=lists * categories).reshape(lists, categories)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), np.nan)


def divergence(wanted: Values, given: Values) -> Values:
    """(B,) Kullback-Leibler divergence of each row of ``given`` from ``wanted``, both (B, C), in nats.

    0 for the same mix; at most -ln 0.01 = 4.6, where nothing that is wanted is given. NaN where either row is.

    References:
        Steck 2018, "Calibrated recommendations", RecSys, the metric C_KL with its alpha = 0.01:
        sum of p ln(p / q'), where q' = 0.99 q + 0.01 p.
    """
    smooth = (1 - MIXED_IN) * given + MIXED_IN * wanted
    ratio = np.divide(wanted, smooth, out=np.ones_like(wanted), where=(wanted > 0) & ~np.isnan(given))
    return np.asarray((wanted * np.log(ratio) + 0.0 * given).sum(axis=1), dtype=np.float64)


def surprises(hits: Flags, lists: Rows, expected: Rows) -> Flags:
    """(B, k) Hits with items that are not expected: what is useful and not obvious.

    Their share of a list is its serendipity.

    Args:
        hits: (B, k) from ``ranking.hit_matrix``.
        lists: (B, k)
        expected: (B, m) what anybody would have shown, -1 past the end.

    References:
        Ge et al. 2010, "Beyond accuracy: evaluating recommender systems by coverage and serendipity", RecSys: the
        useful part of what a primitive model does not recommend, over the length of the list.
    """
    obvious = np.zeros(lists.shape, dtype=bool)
    for column in expected.T:
        obvious |= lists == column[:, None]
    return hits & ~obvious


def _share(top: Values | Rows, bottom: Values | Rows) -> Values:
    found: Values = np.full(len(top), np.nan)
    np.divide(top, bottom, out=found, where=bottom > 0)
    return found
