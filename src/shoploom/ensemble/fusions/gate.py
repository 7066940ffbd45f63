"""A learned gate: whom to trust depends on the customer and on the item."""

# Shapes: n candidates, M members, S context columns, O = 3 opinions of a member about a candidate

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from shoploom.data.arrays import F32, F64, Flags
from shoploom.ensemble.fusions.pool import Pool, normalised, useful
from shoploom.ensemble.members.storage import Arrays

STEPS = 100
START = (0.3, 2.0, 0.5)
"""First weight of score, credit and listing."""
RATE = 0.08
PENALTY = 1e-3
"""Of the squared weights of the context: without reason to differ, all cases trust alike."""
MOST_ROWS = 40_000


class Gate:
    """Score = sum over members of weight x opinion, plus a linear prior of the context.

    The opinion of member m is a_m z + b_m c + d_m l with z its standardised score, c its credit for the rank and l
    whether it lists the item at all (each 0 where it does not). Weights are a softmax over the members of a linear
    function of the context. All of it is learned together by the softmax loss over the candidates of a case.

    References:
        Jacobs et al. 1991, "Adaptive Mixtures of Local Experts", Neural Computation 3, Eq. (1.2), for the gate; Cao
        et al. 2007, "Learning to rank: from pairwise to listwise approach", ICML (ListNet, top one), for the loss.
    """

    name: ClassVar[str] = "gate"

    def __init__(self) -> None:
        self.arrays: Arrays = {}

    def fit(self, pool: Pool, relevant: Flags, *, seed: int = 0) -> None:
        """Full-batch Adam over the cases that some member got right."""
        import torch

        pool, relevant = useful(pool, relevant, seed, most=MOST_ROWS)
        members, width = len(pool.members), pool.context.shape[1]
        mean = pool.context.mean(axis=0) if len(pool) else np.zeros(width)
        spread = np.maximum(pool.context.std(axis=0), 1e-6) if len(pool) else np.ones(width)
        opinions = torch.from_numpy(opinions_of(pool))
        context = torch.from_numpy(((pool.context - mean) / spread).astype(np.float32))
        row = torch.from_numpy(pool.row)
        count = torch.zeros(pool.cases).index_add(0, row, torch.from_numpy(relevant.astype(np.float32)))
        target = torch.from_numpy(relevant.astype(np.float32)) / count.clamp(min=1.0)[row]
        start = torch.tensor(START).repeat(members, 1)
        parts = {"voice": start, "trust": torch.zeros(members), "gate": torch.zeros(width, members)}
        parts["prior"] = torch.zeros(width)
        for one in parts.values():
            one.requires_grad_()
        optimiser = torch.optim.Adam(parts.values(), lr=RATE)
        for _ in range(STEPS if len(pool) else 0):
            weights = torch.softmax(context @ parts["gate"] + parts["trust"], dim=1)
            score = (weights * (opinions * parts["voice"]).sum(dim=2)).sum(dim=1) * members + context @ parts["prior"]
            high = torch.full((pool.cases,), -torch.inf).scatter_reduce(0, row, score.detach(), "amax")
            total = torch.zeros(pool.cases).index_add(0, row, (score - high[row]).exp())
            chance = score - high[row] - total.log()[row]
            loss = -(target * chance).sum() / max(1, pool.cases)
            loss = loss + PENALTY * ((parts["gate"] ** 2).sum() + (parts["prior"] ** 2).sum())
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        self.arrays = {name: one.detach().numpy() for name, one in parts.items()}
        self.arrays |= {"mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}

    def speak(self, voice: F32) -> None:
        """Take weights (M, O) of the opinions, the same for every candidate, in place of learned ones."""
        nothing = np.zeros(0, dtype=np.float32)
        self.arrays = {"voice": voice, "trust": np.zeros(len(voice), dtype=np.float32)}
        self.arrays |= {"gate": np.zeros((0, len(voice)), dtype=np.float32)}
        self.arrays |= dict.fromkeys(("prior", "mean", "spread"), nothing)

    def score(self, pool: Pool) -> F64:
        """(n,) trusted opinions plus the prior."""
        said = (self._weights(pool) * (opinions_of(pool) * self.arrays["voice"]).sum(axis=2)).sum(axis=1)
        found = said * len(pool.members) + self._context(pool) @ self.arrays["prior"]
        return np.asarray(found, dtype=np.float64)

    def shares(self, pool: Pool) -> F64:
        """(n, M) each member's positive part of the opinions."""
        said = self._weights(pool) * (opinions_of(pool) * self.arrays["voice"]).sum(axis=2)
        return normalised(np.maximum(said, 0.0).astype(np.float64))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """All learned numbers."""
        return {}, self.arrays

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """The saved gate."""
        del settings
        one = cls()
        one.arrays = arrays
        return one

    def _context(self, pool: Pool) -> F32:
        return np.asarray((pool.context - self.arrays["mean"]) / self.arrays["spread"], dtype=np.float32)

    def _weights(self, pool: Pool) -> F32:
        """(n, M) trust in each member, rows adding up to 1."""
        logits = self._context(pool) @ self.arrays["gate"] + self.arrays["trust"]
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def opinions_of(pool: Pool) -> F32:
    """(n, M, 3) standardised score, credit, listed."""
    return np.stack([pool.score, pool.credit(), (pool.rank > 0).astype(np.float32)], axis=2)
