"""Choosing the products of a list one after the other: in order, or different from each other (MMR, DPP), within caps.

Works on places in a list of candidates; knows nothing of products.
"""

# Shapes: N candidates, D vector width, C caps

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from shoploom.data.arrays import F32, F64, I32

RIDGE: Final = 0.01
"""Share of the identity in the kernel of the DPP: duplicates stay comparable instead of being impossible."""


class Room:
    """Which candidates may still be chosen: each once, and of each group so many at most.

    Args:
        count: N.
        caps: C pairs: the (N,) group of each candidate, -1 for none, and how many of one group may be chosen.

    Example:
        >>> room = Room(3, [(np.array([0, 0, 1], dtype=np.int32), 1)])
        >>> room.take(0)
        >>> room.free.tolist()
        [False, False, True]
    """

    def __init__(self, count: int, caps: Sequence[tuple[I32, int]] = ()) -> None:
        self.free = np.ones(count, dtype=bool)
        self._caps = [(groups, groups.tolist(), most) for groups, most in caps]
        self._taken: list[dict[int, int]] = [{} for _ in caps]

    def take(self, place: int) -> None:
        """Choose a candidate; those whose group is full now are free no longer."""
        self.free[place] = False
        for (groups, listed, most), taken in zip(self._caps, self._taken, strict=True):
            group = listed[place]
            if group >= 0:
                taken[group] = taken.get(group, 0) + 1
                if taken[group] >= most:
                    self.free[groups == group] = False

    def full(self, place: int) -> bool:
        """Whether a cap keeps the candidate out."""
        return any(
            taken.get(listed[place], 0) >= most
            for (_, listed, most), taken in zip(self._caps, self._taken, strict=True)
        )


def in_order(places: Iterable[int], room: Room, count: int) -> list[int]:
    """The first ``count`` of some places that there is room for."""
    found: list[int] = []
    for place in places:
        if len(found) == count:
            break
        if room.free[place]:
            room.take(place)
            found.append(place)
    return found


def mmr(
    utility: F64, vectors: F32, room: Room, count: int, *, diversity: float, given: Sequence[int] = ()
) -> list[int]:
    """Maximal marginal relevance: next comes the free i with the largest (1 - d) u_i - d max_j cos(i, j), j chosen.

    Like ``dpp``, but a candidate is only compared with the most alike that was chosen. Prefer it for short lists.

    Args:
        utility: (N,) u, from 0 to about 1.
        vectors: (N, D) of length 1.
        room: What may be chosen; is changed.
        count: How many.
        diversity: d in [0, 1]; 0 is the order of u.
        given: Places that are on the list already.

    References:
        Carbonell & Goldstein 1998, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
        Summaries", SIGIR, with lambda = 1 - d. Where nothing is chosen yet, the maximum counts as 0.
    """
    relevance = (1 - diversity) * utility
    nearest = np.full(len(utility), -np.inf, dtype=np.float32)
    for place in given:
        np.maximum(nearest, vectors @ vectors[place], out=nearest)
    found: list[int] = []
    while len(found) < count:
        penalty = diversity * nearest if found or given else 0.0
        value = np.where(room.free, relevance - penalty, -np.inf)
        place = int(np.argmax(value))
        if not room.free[place]:
            break
        room.take(place)
        found.append(place)
        np.maximum(nearest, vectors @ vectors[place], out=nearest)
    return found


def dpp(
    utility: F64, vectors: F32, room: Room, count: int, *, diversity: float, given: Sequence[int] = ()
) -> list[int]:
    """Greedy MAP of a determinantal point process: each choice adds most to (1 - d) sum u + d log det S of the chosen.

    Unlike in ``mmr``, a candidate is compared with all that were chosen together. S_ij = (1 + cos(i, j)) / 2, shrunk
    by ``RIDGE`` towards the identity; the gain of i is (1 - d) u_i + d log s_i^2 with s_i^2 = S_ii - |c_i|^2, c being
    the rows of the Cholesky factor, which grows by one column per choice: O(N) vectors for each.

    Args:
        utility: (N,) u, from 0 to about 1.
        vectors: (N, D) of length 1.
        room: What may be chosen; is changed.
        count: How many.
        diversity: d in [0, 1]; 0 is the order of u.
        given: Places that are on the list already.

    References:
        Chen, Zhang & Zhou 2018, "Fast Greedy MAP Inference for Determinantal Point Process to Improve Recommendation
        Diversity", arXiv:1709.05135, Algorithm 1, with theta = 1 - d. Their kernel is
        L = Diag(exp(a u)) S Diag(exp(a u)), a = theta / (2 (1 - theta)); the factor is taken of S alone and a u added
        to its logarithm, which chooses the same and cannot overflow.
    """
    relevance = (1 - diversity) * utility
    left = np.ones(len(utility))
    columns = np.zeros((count + len(given), len(utility)))
    found: list[int] = []

    def add(place: int, number: int) -> None:
        row = (1 - RIDGE) / 2 * (1 + (vectors @ vectors[place]).astype(np.float64))
        row[place] = 1.0
        column = (row - columns[:number].T @ columns[:number, place]) / np.sqrt(left[place])
        columns[number] = column
        np.maximum(left - column**2, 1e-12, out=left)

    for number, place in enumerate(given):
        add(place, number)
    while len(found) < count:
        value = np.where(room.free, relevance + diversity * np.log(left), -np.inf)
        place = int(np.argmax(value))
        if not room.free[place]:
            break
        room.take(place)
        add(place, len(given) + len(found))
        found.append(place)
    return found
