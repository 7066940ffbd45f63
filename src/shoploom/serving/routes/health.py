"""For machines that watch: alive, ready, counters."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from shoploom import __version__
from shoploom.serving.service import answer, service_of

ROUTER = APIRouter(tags=["operation"])


@ROUTER.get("/health", summary="Is the process alive?")
async def get_health(request: Request) -> Response:
    """Always 200 while the process answers."""
    return answer(request, {"status": "alive", "shoploom": __version__})


@ROUTER.get("/ready", summary="Is a model loaded?")
async def get_ready(request: Request) -> Response:
    """200 when recommendations can be asked for, 503 before."""
    engine = service_of(request).engine
    if not engine.ready:
        return answer(request, {"status": "no model version is loaded yet"}, status=503)
    return answer(request, {"status": "ready", "model_version": engine.current.version})


@ROUTER.get("/metrics", summary="Counters for Prometheus")
async def get_metrics(request: Request) -> Response:
    """Requests and seconds by route, events, freshness, rows in memory."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)
