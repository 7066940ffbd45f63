"""What routes accept: query parameters that several share, and bodies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shoploom.inference.catalogue import Filters

Count = Annotated[int, Query(ge=1, le=500, description="Length of the list.")]
CustomerId = Annotated[str, Path(min_length=1, max_length=512, description="The shop's own id of a customer.")]
ProductId = Annotated[str, Path(min_length=1, max_length=512, description="The shop's own id of a product.")]


def in_utc(value: datetime | None) -> datetime | None:
    """A moment without its zone, in UTC.

    Raises:
        ValueError: If the year leaves 1 to 9999 by that.
    """
    if value is None or value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError("the moment lies outside of the years 1 to 9999 in UTC") from error


Moment = Annotated[datetime | None, AfterValidator(in_utc)]


def _filters(
    category: Annotated[str | None, Query(description="Only products of this category, at any level.")] = None,
    in_stock: Annotated[bool, Query(description="Leave out products whose attributes say they are sold out.")] = False,
    hide: Annotated[list[str] | None, Query(description="Ids to leave out; repeat, or separate by commas.")] = None,
) -> Filters:
    hidden = tuple(one for given in hide or [] for one in (given, *given.split(",")) if one)
    return Filters(category=category or None, in_stock=in_stock, hidden=hidden)


FilterQuery = Annotated[Filters, Depends(_filters)]


class ProductBody(BaseModel):
    """A product; fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = Field(None, max_length=2000)
    description: str | None = Field(None, max_length=50_000)
    category: list[str] | None = Field(None, max_length=20, description="Path from coarse to fine.")
    brand: str | None = Field(None, max_length=500)
    price: float | None = Field(None, ge=0, le=1e12, allow_inf_nan=False)
    image: str | None = Field(None, max_length=5000)
    attributes: dict[str, Any] | None = None
    created_at: Moment = None


class PriceBody(ProductBody):
    """A product that the shop has, by ``product_id``, or columns of one that it does not have yet."""

    product_id: str | None = Field(None, min_length=1, max_length=512)


class CustomerBody(BaseModel):
    """What the shop knows about a customer beside events."""

    model_config = ConfigDict(extra="forbid")

    attributes: dict[str, str | int | float | bool | None] = Field(default_factory=dict, max_length=200)


class PredictBody(BaseModel):
    """Whom or what to predict for; ``ids`` are customers or products, whichever the task is about."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] = Field(min_length=1, max_length=1000)
