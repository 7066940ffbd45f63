"""Lists: for one customer, popular, latest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from shoploom.apps import products, recommend
from shoploom.serving.inputs import Count, FilterQuery, Moment, WishQuery, only_known_parameters
from shoploom.serving.service import answer, request_id, service_of
from shoploom.tasks.base import Repeats

ROUTER = APIRouter(prefix="/v1", tags=["recommendations"])


@ROUTER.get(
    "/recommend",
    summary="What will this customer want next?",
    dependencies=[Depends(only_known_parameters)],
)
async def get_recommend(
    request: Request,
    filters: FilterQuery,
    wishes: WishQuery,
    customer_id: Annotated[str | None, Query(max_length=512, description="Leave out for a stranger.")] = None,
    k: Count = 20,
    at: Annotated[Moment, Query(description="Moment of the visit, ISO 8601; now if left out.")] = None,
    repeats: Annotated[Repeats, Query(description="Products bought before: the model decides, or never.")] = "auto",
    explain: Annotated[bool, Query(description="Say why, per product.")] = True,
    log: Annotated[bool, Query(description="Write what is shown to the event log, with its propensity.")] = False,
) -> Response:
    """A ranked list with reasons. A customer without history gets everybody's favourites, marked `cold_start`."""
    service = service_of(request)
    if log and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise HTTPException(403, "another web site sent this request; with log=true it would write events")
    found = await service.run(
        recommend.recommend,
        service.engine,
        customer_id,
        k=k,
        at=at,
        repeats=repeats,
        filters=filters,
        explain=explain,
        wishes=wishes,
        request_id=request_id(request),
        log=log,
    )
    return answer(request, found)


@ROUTER.get("/popular", summary="What does everybody buy?")
async def get_popular(
    request: Request,
    filters: FilterQuery,
    k: Count = 20,
    days: Annotated[float, Query(gt=0, le=3660, allow_inf_nan=False, description="Counted back from now.")] = 28.0,
) -> Response:
    """Products by the number of baskets they were in."""
    service = service_of(request)
    return answer(request, await service.run(products.popular, service.engine, k=k, days=days, filters=filters))


@ROUTER.get("/latest", summary="What is new?")
async def get_latest(request: Request, filters: FilterQuery, k: Count = 20) -> Response:
    """The newest products first."""
    service = service_of(request)
    return answer(request, await service.run(products.latest, service.engine, k=k, filters=filters))
