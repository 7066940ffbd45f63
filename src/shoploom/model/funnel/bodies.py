"""Bodies of the funnel's network: what they make of an impression's fields and numbers before the towers.

All codes of all fields live in one embedding table, so that a batch is one look-up.
"""

# Shapes: B impressions, F fields, G numbers, E width of embeddings, D width

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn


class Body(Protocol):
    """Made with ``(sizes, numbers, embedding=E, hidden=D)``; ``dim`` is the width of its answer."""

    dim: int

    def __call__(self, code_BF: Tensor, number_BG: Tensor, /) -> Tensor:
        """(B, dim)."""
        ...


class Fields(nn.Module):
    """Embeddings of the codes of several fields.

    Args:
        sizes: Number of codes of each field.
        dim: Width E.
        scale: Standard deviation of the first weights.

    Shape:
        code_BF: (B, F) int64. Returns (B, F, E).
    """

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], dim: int, *, scale: float = 0.2) -> None:
        super().__init__()
        ends = torch.tensor([0, *sizes], dtype=torch.int64).cumsum(0)
        self.register_buffer("offsets", ends[:-1], persistent=False)
        self.table = nn.Parameter(torch.randn(int(ends[-1]), dim) * scale)

    def forward(self, code_BF: Tensor) -> Tensor:
        """One look-up for all fields."""
        return nn.functional.embedding(code_BF + self.offsets, self.table)


class Linear(nn.Module):
    """Logistic regression's input: a weight per code and per number, nothing else.

    The answer has a column per tower; towers on top of it are linear, too, so that the whole is a logistic regression.
    """

    name: ClassVar[str] = "linear"

    def __init__(self, sizes: Sequence[int], numbers: int, *, embedding: int, hidden: int) -> None:
        super().__init__()
        del hidden
        self.fields = Fields(sizes, embedding, scale=0.01)
        self.numbers = nn.Linear(numbers, embedding, bias=False) if numbers else None
        self.dim = embedding

    def forward(self, code_BF: Tensor, number_BG: Tensor) -> Tensor:
        """(B, E) sums."""
        found: Tensor = self.fields(code_BF).sum(dim=1)
        return found if self.numbers is None else found + self.numbers(number_BG)


class Mlp(nn.Module):
    """Embeddings, their products pair by pair, and numbers side by side, then two layers with ReLU.

    Layers alone learn a product of two embeddings slowly: the products are given to them, and past them to the towers.

    References:
        Qu et al. 2016, "Product-based Neural Networks for User Response Prediction", arXiv:1611.00144, section III,
        with element-wise products in place of inner ones.
    """

    name: ClassVar[str] = "mlp"
    left: Tensor
    right: Tensor

    def __init__(self, sizes: Sequence[int], numbers: int, *, embedding: int, hidden: int) -> None:
        super().__init__()
        self.fields = Fields(sizes, embedding)
        left, right = torch.triu_indices(len(sizes), len(sizes), offset=1)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        width = (len(sizes) + len(left)) * embedding + numbers
        self.deep = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.dim = width + hidden

    def forward(self, code_BF: Tensor, number_BG: Tensor) -> Tensor:
        """(B, dim): everything, then what the layers make of it."""
        vector_BFE = self.fields(code_BF)
        product_BPE = vector_BFE[:, self.left] * vector_BFE[:, self.right]
        first = torch.cat([vector_BFE.flatten(1), product_BPE.flatten(1), number_BG], dim=1)
        return torch.cat([first, self.deep(first)], dim=1)


class DeepFm(nn.Module):
    """A factorisation machine and a deep part over the same embeddings, side by side.

    The second-order term of the machine is 1/2 ((sum_f v_f)^2 - sum_f v_f^2); it is kept as a vector of E columns,
    whose sum is Eq. (2)'s scalar, so that each tower may weigh the columns. Numbers have a vector times their value.

    References:
        Guo et al. 2017, "DeepFM", arXiv:1703.04247, Eq. (1) to (4).
    """

    name: ClassVar[str] = "deepfm"

    def __init__(self, sizes: Sequence[int], numbers: int, *, embedding: int, hidden: int) -> None:
        super().__init__()
        self.fields = Fields(sizes, embedding)
        self.first = Fields(sizes, 1, scale=0.01)
        self.vectors = nn.Parameter(torch.randn(numbers, embedding) * 0.05)
        width = len(sizes) * embedding + numbers
        self.deep = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.dim = 1 + numbers + embedding + hidden

    def forward(self, code_BF: Tensor, number_BG: Tensor) -> Tensor:
        """(B, 1 + G + E + D): first order, second order, deep."""
        vector_BFE = self.fields(code_BF)
        second = second_order(vector_BFE, number_BG, self.vectors)
        deep = self.deep(torch.cat([vector_BFE.flatten(1), number_BG], dim=1))
        return torch.cat([self.first(code_BF).sum(dim=1), number_BG, second, deep], dim=1)


def second_order(vector_BFE: Tensor, number_BG: Tensor, weight_GE: Tensor) -> Tensor:
    """(B, E) sum over all pairs of features of the element-wise product of their vectors."""
    total = vector_BFE.sum(dim=1) + number_BG @ weight_GE
    squares = (vector_BFE**2).sum(dim=1) + number_BG**2 @ weight_GE**2
    return (total**2 - squares) / 2


class CrossLayer(nn.Module):
    """One layer of explicit crosses, x_{l+1} = x_0 * (U V^T x_l + b) + x_l.

    Args:
        dim: Width D of the input.
        rank: Rank of the product U V^T; None for a full matrix.

    Shape:
        x0_BD, x_BD: (B, D). Returns (B, D).

    References:
        Wang et al. 2021, "DCN V2", arXiv:2008.13535, Eq. (1) (full) and (2) (low rank).
    """

    def __init__(self, dim: int, *, rank: int | None = None) -> None:
        super().__init__()
        self.inner = None if rank is None else nn.Linear(dim, rank, bias=False)
        self.outer = nn.Linear(dim if rank is None else rank, dim)

    def forward(self, x0_BD: Tensor, x_BD: Tensor) -> Tensor:
        """One cross more."""
        inner = x_BD if self.inner is None else self.inner(x_BD)
        crossed: Tensor = x0_BD * self.outer(inner) + x_BD
        return crossed


class DcnV2(nn.Module):
    """Two cross layers of low rank and two deep ones in parallel over the same input."""

    name: ClassVar[str] = "dcn"

    def __init__(self, sizes: Sequence[int], numbers: int, *, embedding: int, hidden: int) -> None:
        super().__init__()
        self.fields = Fields(sizes, embedding)
        width = len(sizes) * embedding + numbers
        rank = max(4, width // 4)
        self.crosses = nn.ModuleList(CrossLayer(width, rank=rank) for _ in range(2))
        self.deep = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.dim = width + hidden

    def forward(self, code_BF: Tensor, number_BG: Tensor) -> Tensor:
        """(B, F E + G + D)."""
        first = torch.cat([self.fields(code_BF).flatten(1), number_BG], dim=1)
        crossed = first
        for layer in self.crosses:
            crossed = layer(first, crossed)
        return torch.cat([crossed, self.deep(first)], dim=1)
