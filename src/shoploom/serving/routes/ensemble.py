"""Who collaborates on a ranking, and who put which product on a customer's list."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from shoploom.apps import ensemble
from shoploom.serving.inputs import only_known_parameters
from shoploom.serving.service import answer, service_of

ROUTER = APIRouter(prefix="/v1/ensemble", tags=["models"], dependencies=[Depends(only_known_parameters)])
Customer = Annotated[
    str | None, Query(min_length=1, max_length=512, description="Whose list to explain, member by member.")
]


@ROUTER.get("", summary="Which members answer together?")
async def get_ensembles(request: Request, customer_id: Customer = None) -> Response:
    """Every task; of rankings each way of fusing, each member alone, its share, and the ladder of cheaper ensembles."""
    service = service_of(request)
    return answer(request, await service.run_slow(ensemble.ensembles, service.engine, customer_id))


@ROUTER.get("/{task}", summary="Which members answer one task together?")
async def get_ensemble(request: Request, task: str, customer_id: Customer = None) -> Response:
    """With `customer_id` the customer's list: rank of each product with each member, and the member's share."""
    service = service_of(request)
    return answer(request, await service.run_slow(ensemble.ensemble, service.engine, task, customer_id))
