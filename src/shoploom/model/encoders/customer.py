"""The customer encoder: a causal transformer over visits, and sums over the past with learned decays.

One pass over a customer's visits gives the state at any number of moments: the state "as of t" is read after the
last visit strictly before t.
"""

# Shapes: B customers, T visits, Q moments per customer, D model width, H heads, K decays, F number features

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class VisitBatch:
    """Visits of B customers and the moments at which their states are wanted.

    Args:
        vectors: (B, T, D) mean item vector per visit.
        numbers: (B, T, F) amount, size, event types, gap to the visit before, time of week.
        time: (B, T) day of each visit, relative to any origin; padded with +inf at the end.
        amount: (B, T) paid.
        as_of: (B, Q) moments, same origin.
    """

    vectors: Tensor
    numbers: Tensor
    time: Tensor
    amount: Tensor
    as_of: Tensor


class CausalBlock(nn.Module):
    """Pre-norm self-attention that looks back only, and a GELU feed-forward layer.

    References:
        Kang and McAuley 2018, "Self-Attentive Sequential Recommendation", arXiv:1808.09781, section III; the
        position embedding is left out, since visits carry their time gaps.
    """

    def __init__(self, dim: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.feed = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim), nn.Dropout(dropout))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, dim = x_BTD.shape
        qkv = self.qkv(self.norm1(x_BTD)).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.out(mixed.transpose(1, 2).reshape(batch, length, dim))
        fed: Tensor = x_BTD + self.feed(self.norm2(x_BTD))
        return fed


class DecayedSums(nn.Module):
    """Sums over the visits before a moment, weighed exp(-age / tau_k) with learned tau_k in days.

    Shape:
        time_BT, as_of_BQ, values_BTV. Returns sums (B, Q, K, V) and the weight of an even stream (B, Q, K): the
        integral of exp(-a / tau) over the customer's time so far, in days.
    """

    def __init__(self, days: tuple[float, ...]) -> None:
        super().__init__()
        self.log_tau = nn.Parameter(torch.tensor([math.log(one) for one in days]))

    def forward(self, time_BT: Tensor, as_of_BQ: Tensor, values_BTV: Tensor) -> tuple[Tensor, Tensor]:
        """Sums and even weights."""
        age_BQT = as_of_BQ[:, :, None] - time_BT[:, None, :]
        before = age_BQT > 0
        tau = self.log_tau.exp()
        safe = torch.where(before, age_BQT, torch.zeros_like(age_BQT))
        weight_BQKT = torch.exp(-safe[:, :, None, :] / tau[:, None]) * before[:, :, None, :]
        tenure_BQ1 = safe.amax(dim=2, keepdim=True).clamp(min=14.0)
        return weight_BQKT @ values_BTV[:, None], tau * (1 - torch.exp(-tenure_BQ1 / tau))


@dataclass(frozen=True)
class CustomerState:
    """States of customers at moments: ``vector`` (B, Q, D) and ``rates`` (B, Q, K) amounts paid per day by decay."""

    vector: Tensor
    rates: Tensor


class CustomerEncoder(nn.Module):
    """States of B customers at Q moments each.

    Args:
        dim: Width D of item vectors and states.
        num_numbers: F, number features per visit.
        layers, heads: Of the transformer.
        dropout: In all blocks.
        hidden_visits: Chance of each visit to be no part of the sequence in training, as a token without content; what
            is summed up by decays still counts it (the "item mask" of Xie et al. 2022, arXiv:2010.14395, Eq. 5).
        days: Starting values of the learned decays.

    Shape:
        VisitBatch. Returns CustomerState.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_numbers: int,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.1,
        hidden_visits: float = 0.0,
        days: tuple[float, ...] = (7.0, 28.0, 90.0, 365.0),
    ) -> None:
        super().__init__()
        self.hidden_visits = hidden_visits
        self.visit = nn.Linear(dim, dim)
        self.numbers = nn.Sequential(nn.Linear(num_numbers, dim), nn.GELU(), nn.Linear(dim, dim))
        self.start = nn.Parameter(torch.zeros(dim))
        self.blocks = nn.ModuleList(CausalBlock(dim, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.decays = DecayedSums(days)
        num_sums = 3 * len(days)
        self.pool = nn.Linear(len(days) * dim, dim)
        self.merge = nn.Sequential(
            nn.Linear(2 * dim + num_sums + 3, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.out = nn.LayerNorm(dim)

    def forward(self, batch: VisitBatch) -> CustomerState:
        """States at every moment of the batch."""
        x_BTD = self.visit(batch.vectors) + self.numbers(batch.numbers)
        if self.training and self.hidden_visits:
            x_BTD = x_BTD * (torch.rand_like(batch.time) >= self.hidden_visits)[:, :, None]
        start = self.start.expand(len(x_BTD), 1, -1)
        x_BTD = torch.cat([start, x_BTD], dim=1)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        seen_BQ = (batch.time[:, None, :] < batch.as_of[:, :, None]).sum(dim=2)
        state_BQD = self.norm(x_BTD).gather(1, seen_BQ[:, :, None].expand(-1, -1, x_BTD.shape[2]))
        numbers, pooled, rates = self._pooled(batch, seen_BQ)
        merged = self.merge(torch.cat([state_BQD, pooled, numbers], dim=2))
        return CustomerState(self.out(merged + pooled), rates)

    def _pooled(self, batch: VisitBatch, seen_BQ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decayed counts and amounts in logs, decayed mean item vectors, amounts per day."""
        ones = torch.isfinite(batch.time).to(batch.amount.dtype)
        time = torch.where(torch.isfinite(batch.time), batch.time, torch.full_like(batch.time, 1e9))
        lines = batch.numbers[:, :, 1] * ones
        scalars = torch.stack([ones, lines, batch.amount * ones], dim=2)
        sums, even = self.decays(time, batch.as_of, torch.cat([scalars, batch.vectors * ones[:, :, None]], dim=2))
        per_day = sums[:, :, :, :3] / even[:, :, :, None]
        mean = sums[:, :, :, 3:] / (sums[:, :, :, :1] + 0.1)
        last = torch.where(time < batch.as_of.amax(dim=1, keepdim=True), time, torch.full_like(time, -1e9))
        age = batch.as_of[:, :, None] - last[:, None, :]
        age = torch.where(age > 0, age, torch.full_like(age, 1e9))
        recency = torch.log1p(age.amin(dim=2).clamp(max=730.0))
        first = torch.log1p(torch.where(age < 1e8, age, torch.zeros_like(age)).amax(dim=2))
        logs = torch.log(per_day.flatten(2).clamp(min=0.0) + 1e-3)
        numbers = torch.cat([logs, recency[..., None], first[..., None], torch.log1p(seen_BQ.float())[..., None]], 2)
        return numbers, self.pool(mean.flatten(2)), per_day[:, :, :, 2]
