"""The model: two encoders shared by all tasks, a trunk per sample space, a head per task.

Read this file first. The parts come ready made; nothing here is built from a configuration
(``model.build`` does that), and nothing here trains (``training.loop`` does).
"""

# Shapes: n items or cases, B customers, Q moments, E queries, M candidates, D width

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shoploom.model.encoders.customer import CustomerEncoder, CustomerState, VisitBatch
from shoploom.model.encoders.item import ItemBatch, ItemEncoder
from shoploom.model.encoders.own import OwnItemView
from shoploom.model.sharing.base import Sharing


class MultiTaskModel(nn.Module):
    """One shared deep model for all decisions of a shop.

    Args:
        items: Encodes products, for every task.
        customers: Encodes customers as of moments.
        trunks: By sample space (``customer``, ``product``, ``block``).
        heads: By task name.
        views: By task name, readings of products of its own; tasks without one read the shared vectors.

    Example:
        >>> model = MultiTaskModel(items=item_encoder, customers=encoder, trunks=trunks, heads=heads)  # doctest: +SKIP
        >>> vectors_nD = model.encode_items(batch, hide=frozenset({"price"}))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        items: ItemEncoder,
        customers: CustomerEncoder,
        trunks: Mapping[str, Sharing],
        heads: Mapping[str, nn.Module],
        views: Mapping[str, OwnItemView] | None = None,
    ) -> None:
        super().__init__()
        self.items = items
        self.customers = customers
        self.trunks = nn.ModuleDict(trunks)
        self.heads = nn.ModuleDict(heads)
        self.views = nn.ModuleDict(views or {})
        self.taste = nn.Linear(items.dim, items.dim, bias=False)

    def encode_items(self, batch: ItemBatch, hide: frozenset[str] = frozenset(), *, keep_ids: bool = False) -> Tensor:
        """Item vectors (n, D), without the fields that a task must not see; see ``ItemEncoder.forward``."""
        vectors: Tensor = self.items(batch, hide, keep_ids=keep_ids)
        return vectors

    def encode_items_for(
        self, task: str, batch: ItemBatch, hide: frozenset[str] = frozenset(), *, keep_ids: bool = False
    ) -> Tensor:
        """Item vectors (n, D) as a task reads them: with tables of its own, where it has any."""
        if task not in self.views:
            return self.encode_items(batch, hide, keep_ids=keep_ids)
        with torch.no_grad():  # read and not moved: no graph is needed
            vectors = self.encode_items(batch, hide)
        viewed: Tensor = self.views[task](batch, vectors, hide)
        return viewed

    def encode_customers(self, batch: VisitBatch) -> CustomerState:
        """States of B customers at Q moments each."""
        state: CustomerState = self.customers(batch)
        return state

    def shared(self, space: str, x: Tensor, task: str) -> Tensor:
        """A task's view of a representation, through the trunk of its sample space."""
        viewed: Tensor = self.trunks[space](x, task)
        return viewed

    def trunk(self, space: str) -> Sharing:
        """The trunk of a sample space."""
        found = self.trunks[space]
        assert isinstance(found, Sharing)
        return found

    def last_shared(self, tasks: Mapping[str, str], *, with_retrieval: bool) -> list[nn.Parameter]:
        """Weights of the last layer that some tasks, given by name and sample space, share.

        In one space that is the trunk's, and with retrieval, which reads states before the trunk, or a scheme that
        shares nothing, the encoder's; tasks of several spaces meet in the item encoder alone. Tasks with tables of
        their own do not move it, and do not count beside others.
        """
        spaces = {space for name, space in tasks.items() if name not in self.views} or set(tasks.values())
        if len(spaces) == 1 and not with_retrieval:
            found = self.trunk(next(iter(spaces))).last_shared()
            if found:
                return found
        if spaces == {"customer"}:
            return list(self.customers.merge[-1].parameters())
        return list(self.items.block[2].parameters())

    def retrieval(self, state: Tensor) -> Tensor:
        """A customer's query vector (..., D): its product with an item vector says how well they fit."""
        query: Tensor = self.taste(state)
        return query

    def count_parameters(self) -> int:
        """Number of trained values."""
        return sum(one.numel() for one in self.parameters())
