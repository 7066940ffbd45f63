"""Builds a ``MultiTaskModel`` from a plain specification, the same when training and when loading."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from shoploom.features.candidates import NUM_STATIC
from shoploom.features.pipeline import NUM_VISIT_NUMBERS, FeaturePipeline
from shoploom.model.choose import make_sharing
from shoploom.model.encoders.customer import CustomerEncoder
from shoploom.model.encoders.item import ItemEncoder
from shoploom.model.encoders.own import OwnItemView
from shoploom.model.heads import HEADS
from shoploom.model.multitask import MultiTaskModel

NUM_RATES = 4


@dataclass(frozen=True)
class Size:
    """Widths and depths behind the one dial."""

    dim: int
    layers: int
    heads: int
    hidden: int


SIZES = {
    "tiny": Size(dim=16, layers=1, heads=2, hidden=24),
    "small": Size(dim=64, layers=2, heads=2, hidden=64),
    "base": Size(dim=128, layers=3, heads=4, hidden=128),
}


@dataclass(frozen=True)
class HeadSpec:
    """One task's head.

    Args:
        space: ``customer``, ``product`` or ``block``: whose trunk it uses.
        kind: Key in ``model.heads.HEADS``.
        hide: Item fields that the task must not see.
        options: Numbers that were read off the training data (priors, price centre, horizon).
    """

    space: str
    kind: str
    hide: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """Everything that fixes the shape of a model; stored as JSON beside the weights.

    Args:
        size: Name of the dial's position.
        num_ids: Products with an id vector.
        heads: By task.
        sharing: Scheme of all trunks.
        dropout: In all blocks.
        augment: Share of visits that are hidden in training.
        sharing_options: Numbers of the scheme.
    """

    size: str
    num_ids: int
    heads: dict[str, HeadSpec]
    sharing: str = "shared_bottom"
    dropout: float = 0.1
    augment: float = 0.0
    sharing_options: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> ModelSpec:
        """The inverse of ``to_dict``."""
        heads = {name: HeadSpec(**(one | {"hide": tuple(one["hide"])})) for name, one in raw["heads"].items()}
        return cls(**(raw | {"heads": heads}))


def build_model(spec: ModelSpec, pipeline: FeaturePipeline) -> MultiTaskModel:
    """Fresh weights; seed torch first."""
    size = SIZES[spec.size]
    items = _item_encoder(pipeline, size, spec.num_ids)
    customers = CustomerEncoder(
        dim=size.dim,
        num_numbers=NUM_VISIT_NUMBERS,
        layers=size.layers,
        heads=size.heads,
        dropout=spec.dropout,
        hidden_visits=spec.augment,
    )
    spaces = sorted({one.space for one in spec.heads.values()})
    trunks = {
        space: make_sharing(
            spec.sharing,
            size.dim,
            tasks=[name for name, one in spec.heads.items() if one.space == space],
            dropout=spec.dropout,
            options=spec.sharing_options,
        )
        for space in spaces
    }
    heads = {name: _head(one, pipeline, size, spec.dropout) for name, one in spec.heads.items()}
    views = {
        name: OwnItemView(_item_encoder(pipeline, size, 0))
        for name, one in spec.heads.items()
        if one.space == "product"
    }
    return MultiTaskModel(items=items, customers=customers, trunks=trunks, heads=heads, views=views)


def _item_encoder(pipeline: FeaturePipeline, size: Size, num_ids: int) -> ItemEncoder:
    return ItemEncoder(
        num_ids=num_ids,
        level_sizes=[len(one) for one in pipeline.items.levels],
        num_brands=len(pipeline.items.brands),
        buckets=pipeline.items.buckets,
        dim=size.dim,
    )


def _head(spec: HeadSpec, pipeline: FeaturePipeline, size: Size, dropout: float) -> nn.Module:
    shape: dict[str, Any] = {}
    if spec.kind == "customer/ranking":
        static = NUM_STATIC + len(pipeline.kinds)
        shape = {"num_static": static, "num_groupings": pipeline.num_groupings, "hidden": size.hidden}
        shape |= {"dropout": dropout}
    elif spec.kind == "block/quantiles":
        shape = {"kinds": len(pipeline.kinds), "hidden": size.hidden, "dropout": dropout}
    elif spec.kind == "customer/amount":
        shape = {"num_rates": NUM_RATES}
    elif spec.kind == "customer/classes":
        shape = {"num_wide": len(pipeline.tastes)}
    head: nn.Module = HEADS.load(spec.kind)(size.dim, **shape, **spec.options)
    return head
