"""Products: read, write, hide, and what is similar."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from shoploom.apps import products
from shoploom.serving.inputs import Count, FilterQuery, ProductBody, ProductId
from shoploom.serving.service import answer, service_of

ROUTER = APIRouter(prefix="/v1/products", tags=["products"])


@ROUTER.get("/{product_id:path}/similar", summary="What is like this product?")
async def get_similar(request: Request, product_id: ProductId, filters: FilterQuery, k: Count = 20) -> Response:
    """By the model's item vectors; by customers who bought both where the version has none."""
    service = service_of(request)
    return answer(request, await service.run(products.similar, service.engine, product_id, k=k, filters=filters))


@ROUTER.get("/{product_id:path}", summary="What is this product?")
async def get_product(
    request: Request, product_id: ProductId, similar: Annotated[int, Query(ge=0, le=100)] = 10
) -> Response:
    """Catalogue columns, sales, the usual price and similar products."""
    service = service_of(request)
    return answer(request, await service.run(products.product, service.engine, product_id, similar_k=similar))


@ROUTER.put("/{product_id:path}", summary="Add or change a product")
async def put_product(request: Request, product_id: ProductId, body: ProductBody) -> Response:
    """Written to the workspace; it can be recommended at once, also if it was hidden."""
    service = service_of(request)
    values = body.model_dump(exclude_unset=True)
    return answer(request, await service.run_slow(products.put, service.engine, product_id, values))


@ROUTER.delete("/{product_id:path}", summary="Hide a product")
async def delete_product(request: Request, product_id: ProductId) -> Response:
    """No list shows it any more, until it is PUT again."""
    service = service_of(request)
    return answer(request, await service.run_slow(products.hide, service.engine, product_id))
