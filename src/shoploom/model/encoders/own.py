"""A task's own reading of products, beside the shared one."""

# Shapes: n items, D model width

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoploom.model.encoders.item import ItemBatch, ItemEncoder


class OwnItemView(nn.Module):
    """Own tables of categories, brands and words; the shared vector is read, and not moved.

    Tasks about products have one label each and learn words and brands by them; tasks about customers learn whom a
    product suits. In one table they spoil each other. With tables of its own a task can learn what it would learn
    alone; the shared vector adds who buys the product together with what.

    References:
        Su et al. 2024, "STEM: Unleashing the Power of Embeddings for Multi-task Recommendation", arXiv:2308.13537,
        section 3.3: embeddings per task, all of them read, each moved by its own task only.

    Args:
        own: An encoder without ids.

    Shape:
        ItemBatch of n products, shared vectors (n, D). Returns (n, D).
    """

    def __init__(self, own: ItemEncoder) -> None:
        super().__init__()
        self.own = own
        self.read = nn.Linear(own.dim, own.dim)
        with torch.no_grad():
            self.read.weight.mul_(0.1)

    def forward(self, batch: ItemBatch, shared_nD: Tensor, hide: frozenset[str] = frozenset()) -> Tensor:
        """The task's vectors of the products, without what ``hide`` names."""
        own: Tensor = self.own(batch, hide | {"id"})
        return functional.layer_norm(own + self.read(shared_nD.detach()), (self.own.dim,))
