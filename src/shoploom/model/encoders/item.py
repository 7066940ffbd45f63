"""The item encoder: one vector per product from its id, category, brand, text, price and size, for every task."""

# Shapes: n items, D model width, G category levels, N tokens

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shoploom.features.items import ItemArrays

HIDEABLE = frozenset({"id", "category", "brand", "text", "price"})


@dataclass(frozen=True)
class ItemBatch:
    """n products as tensors: ``ids`` (n,) is 0 for products that the id table does not know."""

    ids: Tensor
    levels: Tensor
    brand: Tensor
    tokens: Tensor
    token_weights: Tensor
    token_offsets: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, arrays: ItemArrays, rows: NDArray[np.integer], num_ids: int) -> ItemBatch:
        """The products at some catalogue rows.

        Args:
            arrays: The whole catalogue.
            rows: (n,) rows.
            num_ids: Size of the id table; later rows are cold.
        """
        starts, sizes = arrays.token_offsets[rows], np.diff(arrays.token_offsets)[rows]
        ends = np.cumsum(sizes)
        flat = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
        numbers = np.column_stack([arrays.log_price[rows], arrays.log_size[rows], arrays.known[rows]])
        ids = np.where(rows < num_ids, rows + 1, 0)
        return cls(
            torch.from_numpy(ids.astype(np.int64)),
            torch.from_numpy(arrays.levels[rows].astype(np.int64)),
            torch.from_numpy(arrays.brand[rows].astype(np.int64)),
            torch.from_numpy(arrays.tokens[flat].astype(np.int64)),
            torch.from_numpy(arrays.token_weights[flat]),
            torch.from_numpy((ends - sizes).astype(np.int64)),
            torch.from_numpy(numbers.astype(np.float32)),
        )

    def to(self, device: torch.device) -> ItemBatch:
        """The batch on a device."""
        return ItemBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class ItemEncoder(nn.Module):
    """Sum of the embeddings of all fields, refined by one residual block.

    Ids and other fields are dropped at random in training, so that products without an id (new ones) and tasks
    that must not see a field are ordinary cases; that is all the dropout there is. The id table has sparse gradients.

    Args:
        num_ids: Products with an id vector.
        level_sizes: Categories per level.
        num_brands: Brands.
        buckets: Size of the text hash.
        dim: Width D of the vectors.
        id_dropout: Chance that a product's id is hidden in training.
        field_dropout: Likewise, each other field.
        token_dropout: Likewise, each word.

    Shape:
        ItemBatch of n products. Returns (n, D).
    """

    def __init__(
        self,
        *,
        num_ids: int,
        level_sizes: list[int],
        num_brands: int,
        buckets: int,
        dim: int,
        id_dropout: float = 0.2,
        field_dropout: float = 0.05,
        token_dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.num_ids = num_ids
        self.dim = dim
        self.id_dropout = id_dropout
        self.field_dropout = field_dropout
        self.token_dropout = token_dropout
        self.id_table = nn.Embedding(num_ids + 1, dim, padding_idx=0, sparse=True)
        self.level_tables = nn.ModuleList(nn.Embedding(size + 1, dim, padding_idx=0) for size in level_sizes)
        self.brand_table = nn.Embedding(num_brands + 1, dim, padding_idx=0)
        self.token_table = nn.EmbeddingBag(buckets, dim, mode="sum")
        self.numbers = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, dim))
        self.norm = nn.LayerNorm(dim)
        self.block = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim), nn.LayerNorm(dim))
        with torch.no_grad():
            nn.init.normal_(self.id_table.weight, std=0.02)
            nn.init.normal_(self.token_table.weight, std=0.3)
            for table in [*self.level_tables, self.brand_table]:
                nn.init.normal_(table.weight, std=0.3)

    def forward(self, batch: ItemBatch, hide: frozenset[str] = frozenset(), *, keep_ids: bool = False) -> Tensor:
        """Vectors of the products without what ``hide`` names (of ``HIDEABLE``).

        With ``keep_ids`` the id vectors are read but get no gradient: a task with one label per product would
        otherwise store the label in them, and learn nothing for other products.

        Raises:
            ValueError: If ``hide`` names an unknown field.
        """
        if hide - HIDEABLE:
            raise ValueError(f"cannot hide {sorted(hide - HIDEABLE)}; the fields are {sorted(HIDEABLE)}")
        parts = []
        if "id" not in hide:
            ids = self.id_table(batch.ids)
            parts.append(self._dropped(ids.detach() if keep_ids else ids, self.id_dropout))
        if "category" not in hide:
            levels = [table(batch.levels[:, level]) for level, table in enumerate(self.level_tables)]
            parts += [self._dropped(torch.stack(levels).sum(dim=0), self.field_dropout)] if levels else []
        if "brand" not in hide:
            parts.append(self._dropped(self.brand_table(batch.brand), self.field_dropout))
        if "text" not in hide:
            words = self.token_table(batch.tokens, batch.token_offsets, per_sample_weights=self._weights(batch))
            parts.append(self._dropped(words, self.field_dropout))
        parts.append(self.numbers(self._numbers(batch.numbers, "price" in hide)))
        x_nD = self.norm(torch.stack(parts).sum(dim=0))
        return functional.layer_norm(x_nD + self.block(x_nD), (self.dim,))

    def _numbers(self, numbers: Tensor, hide_price: bool) -> Tensor:
        """Log price and size with their squares and flags; the price is hidden where it must be."""
        price, size, has_price, has_size = numbers.unbind(dim=1)
        if hide_price:
            has_price = torch.zeros_like(has_price)
        elif self.training:
            has_price = has_price * (torch.rand_like(has_price) > self.field_dropout)
        price = price * has_price
        columns = [price, price**2 / 4, has_price, size / 4, (size / 4) ** 2, has_size, price * size / 8]
        return torch.stack([*columns, torch.ones_like(price)], dim=1)

    def _weights(self, batch: ItemBatch) -> Tensor:
        """Token weights; in training each token is left out with a chance, so that no title is learned by heart."""
        weights = batch.token_weights
        if not self.training:
            return weights
        return weights * (torch.rand_like(weights) > self.token_dropout) / (1 - self.token_dropout)

    def _dropped(self, x_nD: Tensor, chance: float) -> Tensor:
        if not self.training or chance == 0:
            return x_nD
        return x_nD * (torch.rand(len(x_nD), 1, device=x_nD.device) > chance)
