"""Predicts the next item of a sequence: causal blocks over item vectors, scored against the same vectors."""

# Shapes: B sequences, T events, I items, F attributes, D width, H heads, n events with a successor, K negatives

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Block = Literal["transformer", "gated", "hstu", "gru", "lstm"]


class AttentionBlock(nn.Module):
    """Pre-norm causal self-attention and a GELU feed-forward layer, on wish each gated by its input.

    References:
        Kang and McAuley 2018, arXiv:1808.09781, section III; the gates are those of LiGR (Borisyuk et al. 2025, "From
        Features to Transformers: Redefining Ranking for Scalable Impact", arXiv:2502.03417, Eq. (2)).
    """

    def __init__(self, dim: int, *, heads: int, dropout: float, length: int, gated: bool = False) -> None:
        super().__init__()
        del length
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(dropout)
        self.gates = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2 * gated))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, dim = x_BTD.shape
        normed = self.norm1(x_BTD)
        q, k, v = self.qkv(normed).view(batch, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.dropout(
            self._gated(0, normed, self.out(mixed.transpose(1, 2).reshape(batch, length, dim)))
        )
        normed = self.norm2(x_BTD)
        mixed_BTD: Tensor = x_BTD + self.dropout(self._gated(1, normed, self.feed(normed)))
        return mixed_BTD

    def _gated(self, number: int, normed: Tensor, values: Tensor) -> Tensor:
        return values * torch.sigmoid(self.gates[number](normed)) if len(self.gates) else values


class HstuBlock(nn.Module):
    """Pointwise attention: SiLU instead of a softmax, so that how much there was of something is not divided away.

    U, V, Q, K = split(SiLU(f1(norm(X)))); mixed = SiLU(Q K^T + bias) V / (events seen so far), the bias being learned
    for each distance and head; answer X + f2(norm(mixed) * U). There is no feed-forward layer. The paper divides by the
    most events there can be; dividing by those seen so far keeps padding without effect. Times are not read.

    References:
        Zhai et al. 2024, "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
        Recommendations", arXiv:2402.17152, Eq. (1) to (3).
    """

    def __init__(self, dim: int, *, heads: int, dropout: float, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.mixed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.uvqk, self.out = nn.Linear(dim, 4 * dim), nn.Linear(dim, dim)
        self.bias = nn.Embedding(length, heads)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, dim = x_BTD.shape
        u, v, q, k = functional.silu(self.uvqk(self.norm(x_BTD))).chunk(4, dim=-1)
        q, k, v = (one.view(batch, length, self.heads, -1).transpose(1, 2) for one in (q, k, v))
        step = torch.arange(length, device=x_BTD.device)
        ago = step[:, None] - step[None]
        bias_HTT = self.bias(ago.clamp(min=0, max=self.bias.num_embeddings - 1)).permute(2, 0, 1)
        seen_TT = (ago >= 0) / (step + 1.0)[:, None]
        weight_BHTT = functional.silu(q @ k.transpose(2, 3) + bias_HTT) * seen_TT
        mixed = (weight_BHTT @ v).transpose(1, 2).reshape(batch, length, dim)
        found: Tensor = x_BTD + self.dropout(self.out(self.mixed_norm(mixed) * u))
        return found


class RecurrentBlock(nn.Module):
    """A recurrent layer with a residual connection: the honest rival of attention on short sequences.

    References:
        Hidasi et al. 2016, "Session-based recommendations with recurrent neural networks", arXiv:1511.06939, for the
        GRU; Hochreiter and Schmidhuber 1997, "Long Short-Term Memory", Neural Computation 9, for the LSTM.
    """

    def __init__(self, dim: int, *, heads: int, dropout: float, length: int, cell: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        del heads, length
        self.cell = cell(dim, dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        found: Tensor = x_BTD + self.dropout(self.cell(x_BTD)[0])
        return found


BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "transformer": AttentionBlock,
    "gated": partial(AttentionBlock, gated=True),
    "hstu": HstuBlock,
    "gru": partial(RecurrentBlock, cell=nn.GRU),
    "lstm": partial(RecurrentBlock, cell=nn.LSTM),
}
"""Each maps (B, T, D) to (B, T, D), and what comes later does not change an earlier row."""


class SequenceNet(nn.Module):
    """Self-attention over the last events of a sequence.

    Places are counted from the end of the sequence, so that the last event always has the same one; sequences are
    padded on the right, where causal attention does not look. An item's vector is that of its id plus those of its
    attributes, in the input and in the output alike, so that an item without any event has a vector, too.

    Args:
        num_items: I.
        fields: (I, F) codes of each item's attributes, -1 where it has fewer.
        dim: D.
        layers, heads: Of the blocks.
        length: Most events that are read.
        dropout: Of inputs and blocks.
        block: Kind of block.

    Shape:
        items (B, T), lengths (B,). Returns states (B, T, D).

    References:
        Kang and McAuley 2018, arXiv:1808.09781; the softmax over shared negatives follows Tikhonovich et al. 2025,
        "eSASRec", arXiv:2508.06450, section 3.
    """

    def __init__(
        self,
        num_items: int,
        fields: Tensor,
        *,
        dim: int = 64,
        layers: int = 1,
        heads: int = 1,
        length: int = 50,
        dropout: float = 0.3,
        block: Block = "transformer",
    ) -> None:
        super().__init__()
        self.length = length
        self.fields: Tensor
        self.items = nn.Embedding(num_items, dim)
        self.register_buffer("fields", fields + 1)
        self.attributes = nn.Embedding(int(fields.max().item()) + 2 if fields.numel() else 1, dim, padding_idx=0)
        self.places = nn.Embedding(length, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            BLOCKS[block](dim, heads=heads, dropout=dropout, length=length) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        for table in (self.items, self.attributes, self.places):
            nn.init.normal_(table.weight, std=0.02)
        with torch.no_grad():
            self.attributes.weight[0] = 0.0

    def vectors(self) -> Tensor:
        """(I, D) item vectors, attributes included."""
        if not self.fields.shape[1]:
            return self.items.weight
        summed: Tensor = self.items.weight + self.attributes(self.fields).sum(dim=1)
        return summed

    def forward(self, vector_ID: Tensor, items_BT: Tensor, length_B: Tensor) -> Tensor:
        """States after each event; ``vector_ID`` is ``vectors()``, made once per batch."""
        place_BT = (length_B[:, None] - 1 - torch.arange(items_BT.shape[1], device=items_BT.device)).clamp(min=0)
        x_BTD = self.dropout(functional.embedding(items_BT, vector_ID) + self.places(place_BT))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        states: Tensor = self.norm(x_BTD)
        return states


def sampled_softmax(
    vector_ID: Tensor, state_nD: Tensor, target_n: Tensor, negative_K: Tensor, log_q_I: Tensor
) -> Tensor:
    """Softmax of each target against shared negatives, each logit corrected by how often its item is drawn.

    References:
        Yi et al. 2019, "Sampling-bias-corrected neural modeling", RecSys, Eq. (3).
    """
    positive_n1 = (state_nD * vector_ID[target_n]).sum(dim=1, keepdim=True) - log_q_I[target_n, None]
    negative_nK = state_nD @ vector_ID[negative_K].T - log_q_I[negative_K]
    negative_nK = negative_nK.masked_fill(target_n[:, None] == negative_K[None], -1e9)
    logits = torch.cat([positive_n1, negative_nK], dim=1)
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
