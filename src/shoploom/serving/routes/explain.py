"""Why a product is recommended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from shoploom.apps import explain
from shoploom.inference.because import BEYOND, FALL
from shoploom.serving.inputs import FilterQuery, Moment, WishQuery, only_known_parameters
from shoploom.serving.service import answer, service_of
from shoploom.tasks.base import Repeats

ROUTER = APIRouter(prefix="/v1", tags=["recommendations"])


@ROUTER.get("/explain", summary="Why is this recommended?", dependencies=[Depends(only_known_parameters)])
async def get_explain(
    request: Request,
    filters: FilterQuery,
    wishes: WishQuery,
    customer_id: Annotated[str, Query(min_length=1, max_length=512, description="The shop's own id of a customer.")],
    product_id: Annotated[
        str | None, Query(min_length=1, max_length=512, description="Leave out for the whole list.")
    ] = None,
    k: Annotated[int, Query(ge=1, le=50, description="Length of the list.")] = 10,
    at: Annotated[Moment, Query(description="Moment of the visit, as for the list.")] = None,
    repeats: Annotated[Repeats, Query(description="As for the list.")] = "auto",
    fall: Annotated[
        int, Query(ge=1, le=BEYOND, description="Places by which a product has to fall without a reason.")
    ] = FALL,
) -> Response:
    """Reasons in the customer's own history, each checked: without it the model ranks the product lower."""
    service = service_of(request)
    found = await service.run_slow(
        explain.explain,
        service.engine,
        customer_id,
        product_id,
        k=k,
        at=at,
        repeats=repeats,
        filters=filters,
        wishes=wishes,
        fall=fall,
    )
    return answer(request, found)
