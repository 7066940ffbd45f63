"""One ranking of several whose scores have nothing in common."""

from __future__ import annotations

from collections.abc import Sequence

RANK_OFFSET = 20
"""Of reciprocal ranks: the first ten places differ more than with the usual 60."""


def fused(rankings: Sequence[tuple[float, Sequence[int]]]) -> tuple[list[int], list[float]]:
    """One ranking of several, by the weighted sum of reciprocal ranks.

    Args:
        rankings: Weight and items, best first.

    References:
        Cormack et al. 2009, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR, with ``RANK_OFFSET`` for their 60.

    Example:
        >>> fused([(1.0, [7, 8]), (1.0, [8])])[0]
        [8, 7]
    """
    scores: dict[int, float] = {}
    for weight, items in rankings:
        for rank, item in enumerate(items):
            scores[item] = scores.get(item, 0.0) + weight / (RANK_OFFSET + rank + 1)
    best = sorted(scores.items(), key=lambda pair: -pair[1])
    return [item for item, _ in best], [score for _, score in best]
