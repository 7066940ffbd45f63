"""What routes accept: query parameters that several share, and bodies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shoploom.errors import unknown_name
from shoploom.inference.catalogue import Filters
from shoploom.inference.rerank import Method, Wishes
from shoploom.inference.rules import Rules

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


async def _filters(
    category: Annotated[str | None, Query(description="Only products of this category, at any level.")] = None,
    in_stock: Annotated[bool, Query(description="Leave out products whose attributes say they are sold out.")] = False,
    hide: Annotated[list[str] | None, Query(description="Ids to leave out; repeat, or separate by commas.")] = None,
) -> Filters:
    hidden = tuple(one for given in hide or [] for one in (given, *given.split(",")) if one)
    return Filters(category=category or None, in_stock=in_stock, hidden=hidden)


FilterQuery = Annotated[Filters, Depends(_filters)]


async def _wishes(
    filter: Annotated[list[str] | None, Query(description="Expression that all products fulfil: price < 5.")] = None,
    boost: Annotated[list[str] | None, Query(description='EXPRESSION*FACTOR: brand == "A"*1.5 moves up.')] = None,
    bury: Annotated[list[str] | None, Query(description="EXPRESSION*FACTOR: price > 50*2 moves down.")] = None,
    pin: Annotated[list[str] | None, Query(description="ID@POSITION: 4711@1 comes first.")] = None,
    cap: Annotated[list[str] | None, Query(description="COLUMN:MOST: brand:2 shows two of each brand at most.")] = None,
    exclude: Annotated[list[Literal["bought", "out_of_stock"]] | None, Query(description="What is left out.")] = None,
    diversity: Annotated[float | None, Query(ge=0, le=1, description="0: the ranking; 1: differences only.")] = None,
    method: Annotated[Method | None, Query(description="How diversity is weighed.")] = None,
    freshness: Annotated[float | None, Query(ge=0, le=100, description="New products move up by 1 + this.")] = None,
    half_life_days: Annotated[float | None, Query(gt=0, le=36500, description="Age of half the freshness.")] = None,
    explore: Annotated[float | None, Query(ge=0, le=1, description="Probability of a place to try others.")] = None,
) -> Wishes | None:
    given = {"filter": filter, "boost": boost, "bury": bury, "pin": pin, "cap": cap, "exclude": exclude}
    rules = {name: texts for name, texts in given.items() if texts}
    settings = (diversity, method, freshness, half_life_days, explore)
    if not rules and settings == (None,) * len(settings):
        return None
    return Wishes(Rules.of_texts(**rules), *settings)


WishQuery = Annotated[Wishes | None, Depends(_wishes)]


async def only_known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not know; they would be ignored without a word.

    Raises:
        RequestValidationError: Naming each with the nearest known one.
    """
    route: APIRoute = request.scope["route"]
    known = set(_parameters(route.dependant))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        problems = [unknown_name("query parameter", name, known) for name in unknown]
        raise RequestValidationError(
            [
                {"type": "unknown", "loc": ("query", name), "msg": problem}
                for name, problem in zip(unknown, problems, strict=True)
            ]
        )


def _parameters(asked: Dependant) -> Iterator[str]:
    yield from (one.alias for one in asked.query_params)
    for one in asked.dependencies:
        yield from _parameters(one)


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
