"""The funnel's network: a body over an impression, an objective over its answer, a shallow part for the position."""

# Shapes: B impressions, F fields, G numbers, D width, S stages, P positions

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoploom.model.funnel import BODIES, OBJECTIVES
from shoploom.model.funnel.chain import Observed
from shoploom.model.funnel.position import Examination


class FunnelNet(nn.Module):
    """Probabilities of an impression to reach each stage, as if it had been looked at.

    What is seen is examination times relevance, so that the body never has to explain a position: it does not read it.

    Args:
        sizes: Number of codes of each field.
        numbers: G.
        stages: S.
        positions: P; 0 or 1: the position explains nothing.
        body, objective: Names in ``BODIES`` and ``OBJECTIVES``.
        embedding: Width of the embeddings.
        hidden: Width of body and towers; of a linear body there are no hidden layers at all.
        dropout: Share of the body's answer that is hidden in training.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        numbers: int,
        stages: int,
        positions: int,
        *,
        body: str = "mlp",
        objective: str = "esmm",
        embedding: int = 8,
        hidden: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        linear = body == "linear"
        self.body = BODIES.load(body)(sizes, numbers, embedding=stages if linear else embedding, hidden=hidden)
        towers = 0 if linear else hidden // 2
        self.objective = OBJECTIVES.load(objective)(self.body.dim, stages, hidden=towers)
        self.examination = Examination(max(1, positions))
        self.dropout = nn.Dropout(dropout)

    def forward(self, code_BF: Tensor, number_BG: Tensor) -> Tensor:
        """(B, S) log-probability to reach each stage once examined."""
        found: Tensor = self.objective(self.body(code_BF, number_BG))
        return found

    def loss(
        self,
        code_BF: Tensor,
        number_BG: Tensor,
        position_B: Tensor,
        reached_BS: Tensor,
        log_matured_BS: Tensor | None = None,
        log_examined_B: Tensor | None = None,
    ) -> Tensor:
        """What is minimised, on a batch.

        Args:
            code_BF: (B, F) int64.
            number_BG: (B, G).
            position_B: (B,) int64, -1 for unknown.
            reached_BS: (B, S) 0 or 1.
            log_matured_BS: (B, S) log of the chance that the stage would have been seen by now; None: 0.
            log_examined_B: (B,) log of the known chance of examination; None: it is estimated.
        """
        looked = self.examination(position_B) if log_examined_B is None else log_examined_B
        log_seen = looked[:, None].expand_as(reached_BS)
        if log_matured_BS is not None:
            log_seen = log_seen + log_matured_BS
        found: Tensor = self.objective.loss(self.dropout(self.body(code_BF, number_BG)), Observed(reached_BS, log_seen))
        return found

    @torch.no_grad()
    def start(self, rates_S: Tensor) -> None:
        """Begin at the mean rates of reaching each stage."""
        self.objective.start(rates_S)
