"""Weekly demand with quantiles: attention from a future week to the product's own past weeks with like promotions."""

# Shapes: n products, P past blocks, W future blocks, K promotion kinds, C calendar features, D width, A heads

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoploom.features.panel import Panel
from shoploom.model.heads.losses import biased_sum, pinball

LEVELS = (4, 8, 13, 26)
LAGS = 8


@dataclass(frozen=True)
class DemandBatch:
    """Products as of one moment.

    Args:
        units: (n, P) pieces per past block, the last column the newest; NaN before the data begin.
        scale: (n,) pieces per block lately; forecasts are made in multiples of it.
        plan_past, plan_future: (n, P, K), (n, W, K) share of the stores that promote the product.
        calendar_past, calendar_future: (P, C), (W, C) known features of the blocks.
        level: (n, 2) log of ``scale`` and of the price.
    """

    units: Tensor
    scale: Tensor
    plan_past: Tensor
    plan_future: Tensor
    calendar_past: Tensor
    calendar_future: Tensor
    level: Tensor


class DemandHead(nn.Module):
    """Mean and 10 % and 90 % quantiles of each future block.

    Args:
        dim: Width D of item vectors.
        kinds: K.
        calendar_used: (C,) 1 for calendar features that training has seen happen more than once, else 0: a week
            before Christmas means nothing to a model that never saw one.
        hidden: Width of the network.
        attention_heads: A.
        dropout: Inside it.

    Shape:
        vectors_nD, DemandBatch. Returns (n, W, 3) pieces: mean, p10, p90, the quantiles in order.
    """

    calendar_used: Tensor

    def __init__(
        self,
        dim: int,
        *,
        kinds: int,
        calendar_used: list[float],
        hidden: int = 64,
        attention_heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.register_buffer("calendar_used", torch.tensor(calendar_used, dtype=torch.float32))
        context = 2 * kinds + len(calendar_used)
        self.keys = nn.Sequential(nn.Linear(context, 32), nn.GELU(), nn.Linear(32, attention_heads * 8))
        self.queries = nn.Sequential(nn.Linear(context + 1, 32), nn.GELU(), nn.Linear(32, attention_heads * 8))
        self.decay = nn.Parameter(torch.linspace(math.log(3.0), math.log(26.0), attention_heads))
        self.heads = attention_heads
        summary = len(LEVELS) + LAGS + 4
        self.item = nn.Linear(dim, hidden)
        self.first = nn.Linear(summary + 2 * attention_heads + context + 2 * kinds + 1 + 2, hidden)
        self.net = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU())
        self.out = nn.Linear(hidden, attention_heads + len(LEVELS) + 3)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()

    def forward(self, vectors_nD: Tensor, batch: DemandBatch) -> Tensor:
        """Pieces (n, W, 3)."""
        known = torch.isfinite(batch.units)
        units = torch.nan_to_num(batch.units) / batch.scale[:, None]
        usual = batch.plan_past.mean(dim=1, keepdim=True)
        past = self._context(batch.plan_past, batch.calendar_past * self.calendar_used)
        future = self._context(batch.plan_future, batch.calendar_future * self.calendar_used)
        horizon = torch.arange(1, future.shape[1] + 1, device=units.device, dtype=units.dtype) / 8
        horizon = horizon[None, :, None].expand(len(units), -1, 1)
        attended = self._attend(past, torch.cat([future, horizon], dim=2), units, known)
        levels = torch.stack([_recent_mean(units, known, one) for one in LEVELS], dim=1)
        summary = self._summary(units, known, levels)
        wide = summary[:, None].expand(-1, future.shape[1], -1)
        level = batch.level[:, None].expand(-1, future.shape[1], -1)
        change = torch.cat([batch.plan_future - usual, batch.plan_future.gt(0.02).to(units.dtype)], dim=2)
        logs = torch.log(attended + 0.05)
        x = torch.cat([wide, attended.clamp(max=20), logs, future, change, horizon, level], dim=2)
        hidden = self.net(self.first(x) + self.item(vectors_nD)[:, None])
        return self._forecast(self.out(hidden), attended, levels) * batch.scale[:, None, None]

    def _forecast(self, out: Tensor, attended: Tensor, levels: Tensor) -> Tensor:
        """A learned mixture of attended weeks and recent means, times a learned factor; quantiles around it."""
        candidates = torch.cat([attended, levels[:, None].expand(-1, out.shape[1], -1)], dim=2)
        count = candidates.shape[2]
        base = (torch.softmax(out[..., :count], dim=2) * candidates).sum(dim=2)
        factor, low, high = out[..., count:].unbind(dim=2)
        mean = (base + 0.02) * torch.exp(2 * torch.tanh(factor))
        return torch.stack([mean, mean * torch.sigmoid(low), mean * (1 + functional.softplus(high)) + 0.02], dim=2)

    def _attend(self, past: Tensor, future: Tensor, units: Tensor, known: Tensor) -> Tensor:
        """(n, W, A): mean of past units by likeness of promotions and calendar, newer weeks counting more."""
        n, length = units.shape
        keys = self.keys(past).view(n, length, self.heads, 8)
        queries = self.queries(future).view(n, future.shape[1], self.heads, 8)
        likeness = torch.einsum("nwah,npah->nawp", queries, keys) / math.sqrt(8.0)
        age = torch.arange(length - 1, -1, -1, device=units.device, dtype=units.dtype)
        likeness = likeness - age / self.decay.exp()[:, None, None]
        weights = torch.softmax(likeness.masked_fill(~known[:, None, None, :], -1e4), dim=3)
        return torch.einsum("nawp,np->nwa", weights, units)

    @staticmethod
    def _context(plan: Tensor, calendar: Tensor) -> Tensor:
        return torch.cat([plan, plan.sqrt(), calendar[None].expand(len(plan), -1, -1)], dim=2)

    @staticmethod
    def _summary(units: Tensor, known: Tensor, levels: Tensor) -> Tensor:
        lags = units[:, -LAGS:]
        lags = functional.pad(lags, (LAGS - lags.shape[1], 0))
        recent = units[:, -8:]
        sold = ((units > 0) & known).to(units.dtype)
        spread = torch.stack([recent.std(dim=1, unbiased=False), (recent == 0).to(units.dtype).mean(dim=1)], dim=1)
        ever = torch.stack([sold.mean(dim=1), known.to(units.dtype).mean(dim=1)], dim=1)
        return torch.cat([levels.clamp(max=20), lags.clamp(max=20), spread.clamp(max=20), ever], dim=1)

    @staticmethod
    def loss(predicted: Tensor, units: Tensor, mean_units: Tensor) -> Tensor:
        """Absolute error and pinball losses over the mean, and a penalty on the bias of the sum of each block."""
        mean, low, high = predicted.unbind(dim=2)
        error = (mean - units).abs().mean() + pinball(units, low, 0.1).mean() + pinball(units, high, 0.9).mean()
        bias = torch.stack(
            [biased_sum(mean[:, block], units[:, block], mean_units) for block in range(units.shape[1])]
        ).mean()
        return error / mean_units + bias


def _recent_mean(units: Tensor, known: Tensor, blocks: int) -> Tensor:
    counted = known[:, -blocks:].to(units.dtype)
    return (units[:, -blocks:] * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1.0)


def demand_batch(panel: Panel, device: torch.device) -> DemandBatch:
    """A panel as tensors."""
    names = ("units", "scale", "plan_past", "plan_future", "calendar_past", "calendar_future", "level")
    arrays = {name: np.ascontiguousarray(getattr(panel, name), dtype=np.float32) for name in names}
    return DemandBatch(**{name: torch.from_numpy(array).to(device) for name, array in arrays.items()})
