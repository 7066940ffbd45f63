"""Weighted average: the same weights of the members' opinions for everybody."""

# Shapes: n candidates, M members, O = 3 opinions of a member about a candidate

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from shoploom.data.arrays import F32, F64, Flags
from shoploom.ensemble.fusions.gate import MOST_ROWS, PENALTY, START, Gate, opinions_of
from shoploom.ensemble.fusions.pool import Pool, useful
from shoploom.ensemble.members.storage import Arrays

MOST_ITERATIONS = 60


class Weighted:
    """A gate that sees no context. Its loss is convex then, and solved to the end: a conditional logit.

    References:
        McFadden 1974, "Conditional logit analysis of qualitative choice behavior", Eq. (12).
    """

    name: ClassVar[str] = "weighted"

    def __init__(self) -> None:
        self.gate = Gate()

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Learn the weights, which are drawn towards those that a gate starts from."""
        some, relevant = useful(_plain(pool), relevant, seed, most=MOST_ROWS)
        voice = np.tile(np.array(START), (len(pool.members), 1))
        if len(some):
            opinions = opinions_of(some).reshape(len(some), -1)
            voice = _conditional_logit(opinions, some.row, relevant, voice.ravel()).reshape(voice.shape)
        self.gate.speak(voice.astype(np.float32))

    def score(self, pool: Pool) -> F64:
        """(n,) weighted mean of the members' opinions."""
        return self.gate.score(_plain(pool))

    def shares(self, pool: Pool) -> F64:
        """(n, M) as the gate's."""
        return self.gate.shares(_plain(pool))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The gate's."""
        return self.gate.state()

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """The saved weights."""
        one = cls()
        one.gate = Gate.from_state(settings, arrays)
        return one


def _plain(pool: Pool) -> Pool:
    return replace(pool, names=(), context=np.zeros((len(pool), 0), dtype=np.float32))


def _conditional_logit(opinions: F32, row: NDArray[np.int64], relevant: Flags, start: F64) -> F64:
    """(M O,) weights with the least softmax loss over the candidates of each case, by L-BFGS.

    Args:
        opinions: (n, M O).
        row: (n,) ascending case of each candidate; every case has some.
        relevant: (n,) those that were right share a case's target.
        start: (M O,) where the search begins, and what a penalty draws to.
    """
    begins = np.flatnonzero(np.diff(row, prepend=-1))
    case = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(row)))
    target = relevant / np.maximum(np.add.reduceat(relevant.astype(np.float64), begins), 1.0)[case]

    def loss(weights: F64) -> tuple[float, F64]:
        score = (opinions @ weights.astype(np.float32)).astype(np.float64)
        score -= np.maximum.reduceat(score, begins)[case]
        raised = np.exp(score)
        total = np.add.reduceat(raised, begins)
        off = raised / total[case] - target
        value = -float(target @ (score - np.log(total)[case])) / len(begins)
        slope = (off.astype(np.float32) @ opinions).astype(np.float64) / len(begins)
        apart = weights - start
        return value + PENALTY * float(apart @ apart), slope + 2 * PENALTY * apart

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MOST_ITERATIONS})
    return np.asarray(found.x, dtype=np.float64)
