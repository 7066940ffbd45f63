"""Predictions: demand, price, and any task by its name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from shoploom.apps import demand, predictions, pricing
from shoploom.serving.inputs import PredictBody, PriceBody
from shoploom.serving.service import answer, service_of

ROUTER = APIRouter(prefix="/v1", tags=["predictions"])
GivenProduct = Annotated[str, Query(min_length=1, max_length=512)]


@ROUTER.get("/forecast", summary="How much of a product will sell?")
async def get_forecast(
    request: Request, product_id: GivenProduct, history: Annotated[int, Query(ge=0, le=520)] = 26
) -> Response:
    """Pieces per block with an 80 % interval, the promotion plan, and the blocks before."""
    service = service_of(request)
    found = await service.run_slow(demand.forecast, service.engine, product_id, history_blocks=history)
    return answer(request, found)


@ROUTER.get("/price", summary="What should a product of the catalogue cost?")
async def get_price(request: Request, product_id: GivenProduct) -> Response:
    """The model's price beside the usual shelf price."""
    service = service_of(request)
    return answer(request, await service.run_slow(pricing.price, service.engine, product_id))


@ROUTER.post("/price", summary="What should a product cost?")
async def post_price(request: Request, body: PriceBody) -> Response:
    """For a product of the catalogue by `product_id`, or for one that does not exist yet by its columns."""
    service = service_of(request)
    values = body.model_dump(exclude_none=True)
    return answer(request, await service.run_slow(pricing.price_or_quote, service.engine, values))


@ROUTER.post("/predict/{task}", summary="Any task, for many ids")
async def post_predict(request: Request, task: str, body: PredictBody) -> Response:
    """The answer of a task for customers or products, in the order of the ids."""
    service = service_of(request)
    return answer(request, await service.run_slow(predictions.predict, service.engine, task, body.ids))


@ROUTER.get("/predict/{task}", summary="Any task, for a few ids")
async def get_predict(
    request: Request, task: str, id: Annotated[list[str], Query(min_length=1, max_length=100, alias="id")]
) -> Response:
    """Like the POST, with `id` repeated in the query."""
    service = service_of(request)
    return answer(request, await service.run_slow(predictions.predict, service.engine, task, id))
