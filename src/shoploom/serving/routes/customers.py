"""Customers: read, write, forget."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from shoploom.apps import customers
from shoploom.serving.inputs import CustomerBody, CustomerId
from shoploom.serving.service import answer, service_of

ROUTER = APIRouter(prefix="/v1/customers", tags=["customers"])


@ROUTER.get("/{customer_id:path}", summary="Who is this customer?")
async def get_customer(
    request: Request, customer_id: CustomerId, history: Annotated[int, Query(ge=0, le=1000)] = 50
) -> Response:
    """Attributes, totals and the latest events."""
    service = service_of(request)
    return answer(request, await service.run(customers.customer, service.engine, customer_id, history=history))


@ROUTER.put("/{customer_id:path}", summary="Add a customer, or replace the attributes")
async def put_customer(request: Request, customer_id: CustomerId, body: CustomerBody) -> Response:
    """Written to the workspace; the next answer knows it."""
    service = service_of(request)
    return answer(request, await service.run_slow(customers.put, service.engine, customer_id, body.attributes))


@ROUTER.delete("/{customer_id:path}", summary="Forget a customer")
async def delete_customer(request: Request, customer_id: CustomerId) -> Response:
    """From now on this customer is a stranger to every answer."""
    service = service_of(request)
    return answer(request, await service.run_slow(customers.forget, service.engine, customer_id))
