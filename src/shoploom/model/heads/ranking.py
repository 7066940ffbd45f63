"""Ranks candidates for a visit: taste (state · item vector) plus attention to the customer's own past purchases.

The attention has learned decays: every earlier line of the same item, of its category and of its brand counts
exp(-age / tau_k), and what mixture of decays matters, for whom, is learned from raw times.
"""

# Shapes: E queries, M candidates, D width, N history lines, K decays, F static features, n flat candidates

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ITEM_DAYS = (7.0, 21.0, 60.0, 180.0, 720.0)
GROUP_DAYS = (14.0, 60.0, 360.0)


@dataclass(frozen=True)
class CandidateBatch:
    """``features.candidates.Candidates`` as tensors; ``valid`` (E, M) is False where padded."""

    valid: Tensor
    static: Tensor
    line_age: Tensor
    item_slot: Tensor
    group_slots: tuple[Tensor, ...]
    candidate_slot: Tensor
    candidate_groups: tuple[Tensor, ...]
    num_slots: int
    num_groups: tuple[int, ...]


class HistoryAttention(nn.Module):
    """Log of decayed counts of each slot's lines, one column per learned decay.

    Shape:
        ages (N,), slots (N,), num_slots S. Returns (S, K); slot 0 is empty.
    """

    def __init__(self, days: tuple[float, ...]) -> None:
        super().__init__()
        self.log_tau = nn.Parameter(torch.tensor([math.log(one) for one in days]))

    def forward(self, age_N: Tensor, slot_N: Tensor, num_slots: int) -> Tensor:
        """(S, K)."""
        weight_NK = torch.exp(-age_N[:, None] / self.log_tau.exp())
        sums = weight_NK.new_zeros(num_slots, len(self.log_tau)).index_add(0, slot_N, weight_NK)
        sums = torch.cat([sums.new_zeros(1, sums.shape[1]), sums[1:]])
        return torch.log(sums + 0.01) - math.log(0.01)


class RankingHead(nn.Module):
    """Scores candidates of a visit.

    Args:
        dim: Width D of states and item vectors.
        num_static: F.
        num_groupings: Groupings of items (category, brand) with attention of their own.
        hidden: Width of the scoring network.
        dropout: Inside it.

    Shape:
        state_ED, taste_ED (``MultiTaskModel.retrieval``), vectors_EMD (item vectors), CandidateBatch.
        Returns scores (E, M), -inf where padded.
    """

    def __init__(
        self, dim: int, *, num_static: int, num_groupings: int, hidden: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.item_memory = HistoryAttention(ITEM_DAYS)
        self.group_memories = nn.ModuleList(HistoryAttention(GROUP_DAYS) for _ in range(num_groupings))
        width = num_static + len(ITEM_DAYS) + num_groupings * len(GROUP_DAYS) + 1
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.norm = nn.BatchNorm1d(width, momentum=0.05)
        self.first = nn.Linear(width, hidden)
        self.gate = nn.Linear(dim, hidden)
        self.product = nn.Linear(dim, hidden)
        self.dropout = nn.Dropout(dropout)  # of the query, once, not of each candidate: 400 times cheaper
        self.net = nn.Sequential(nn.GELU(), nn.Linear(hidden, hidden // 2), nn.GELU(), nn.Linear(hidden // 2, 1))

    def forward(self, state_ED: Tensor, taste_ED: Tensor, vectors_EMD: Tensor, batch: CandidateBatch) -> Tensor:
        """Scores (E, M)."""
        valid = batch.valid
        query, _ = valid.nonzero(as_tuple=True)
        taste_EM = torch.einsum("ed,emd->em", taste_ED, vectors_EMD) / math.sqrt(state_ED.shape[1])
        memories = [self.item_memory(batch.line_age, batch.item_slot, batch.num_slots)[batch.candidate_slot[valid]]]
        for memory, slots, wanted, size in zip(
            self.group_memories, batch.group_slots, batch.candidate_groups, batch.num_groups, strict=True
        ):
            memories.append(memory(batch.line_age, slots, size)[wanted[valid]])
        taste_n = taste_EM[valid]
        x_nF = self.norm(torch.cat([batch.static[valid], *memories, taste_n[:, None]], dim=1))
        hidden = self.first(x_nF) + self.gate(self.dropout(state_ED))[query] + self.product(vectors_EMD[valid])
        score_n = self.net(hidden).squeeze(1) + self.scale * taste_n
        return torch.full_like(taste_EM, -torch.inf).masked_scatter(valid, score_n)

    @staticmethod
    def loss(score_EM: Tensor, label_EM: Tensor) -> Tensor:
        """Softmax cross-entropy over each query's candidates, averaged over queries with a positive.

        References:
            Cao et al. 2007, "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet), section 4.
        """
        positives = label_EM.sum(dim=1)
        kept = positives > 0
        if not bool(kept.any()):
            return torch.nan_to_num(score_EM, neginf=0.0).sum() * 0.0
        log_p = torch.log_softmax(score_EM[kept], dim=1)
        picked = torch.where(label_EM[kept] > 0, log_p, torch.zeros_like(log_p)).sum(dim=1)
        return -(picked / positives[kept]).mean()


def sampled_softmax(
    query_ED: Tensor, positive_ED: Tensor, negatives_SD: Tensor, log_q_E: Tensor, log_q_S: Tensor, same_ES: Tensor
) -> Tensor:
    """Softmax loss of one positive against shared sampled negatives, with the logQ correction.

    Args:
        query_ED: Queries.
        positive_ED: Their positives.
        negatives_SD: Shared negatives.
        log_q_E: Log sampling probability of the positives.
        log_q_S: Likewise, of the negatives.
        same_ES: True where a negative is the query's positive; it does not count.

    References:
        Bengio and Senecal 2008, "Adaptive Importance Sampling", Eq. (5); Yi et al. 2019, RecSys, Eq. (3).
    """
    scale = math.sqrt(query_ED.shape[1])
    positive = (query_ED * positive_ED).sum(dim=1, keepdim=True) / scale - log_q_E[:, None]
    negative = (query_ED @ negatives_SD.T / scale - log_q_S).masked_fill(same_ES, -torch.inf)
    return -torch.log_softmax(torch.cat([positive, negative], dim=1), dim=1)[:, 0].mean()
