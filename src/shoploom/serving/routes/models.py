"""Model versions: list, promote, roll back."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from shoploom.apps import models
from shoploom.serving.service import answer, service_of

ROUTER = APIRouter(prefix="/v1/models", tags=["models"])


@ROUTER.get("", summary="Which versions are there, and which serves?")
async def get_models(request: Request) -> Response:
    """Newest first, with the member that serves each task."""
    service = service_of(request)
    return answer(request, await service.run_slow(models.versions, service.engine))


@ROUTER.post("/rollback", summary="Back to the version before")
async def post_rollback(request: Request) -> Response:
    """The champion before this one serves again."""
    service = service_of(request)
    return answer(request, await service.run_slow(models.rollback, service.engine))


@ROUTER.post("/{version}/promote", summary="Let a version serve")
async def post_promote(request: Request, version: str) -> Response:
    """Its files are checked, then it is loaded beside the old one and swapped in; no request waits."""
    service = service_of(request)
    return answer(request, await service.run_slow(models.promote, service.engine, version))
