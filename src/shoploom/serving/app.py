"""The application: routes, gate and background watch put together around one workspace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import CapacityLimiter
from fastapi import FastAPI

from shoploom import __version__
from shoploom.data.workspace import Workspace
from shoploom.errors import ShoploomError
from shoploom.inference.engine import Engine
from shoploom.inference.lists import Lists
from shoploom.serving import failures
from shoploom.serving.dashboard import pages
from shoploom.serving.gate import Gate
from shoploom.serving.keys import FILE, Keys
from shoploom.serving.metrics import Metrics
from shoploom.serving.routes import ROUTERS
from shoploom.serving.service import Service

LOG = logging.getLogger("shoploom.serving")
WATCH_SECONDS = 2.0
QUICK_THREADS, SLOW_THREADS = 4, 2


def create_app(workspace: Workspace, *, engine: Engine | None = None, watch_seconds: float = WATCH_SECONDS) -> FastAPI:
    """The service of a workspace as an ASGI application.

    Args:
        workspace: Data, versions and keys.
        engine: A loaded one; None loads the champion, or starts without and serves it once there is one.
        watch_seconds: How often the registry and the event log are looked at for what other processes did.
    """
    if engine is None:
        engine = Engine(workspace, max_ms=workspace.config.serve.max_ms)
        engine.follow_champion()
    metrics, config = Metrics(engine), workspace.config.serve
    service = Service(workspace, engine, metrics, CapacityLimiter(QUICK_THREADS), CapacityLimiter(SLOW_THREADS))
    lists = Lists(engine)
    app = FastAPI(
        title=f"Shoploom: {workspace.config.shop.name}",
        summary="One multi-task model for a whole shop.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(service, lists, watch_seconds),
    )
    app.state.service = service
    app.state.lists = lists
    failures.install(app)
    for router in ROUTERS:
        app.include_router(router)
    keys = Keys(workspace.path / FILE)
    pages.install(app, keys)
    app.add_middleware(
        Gate,
        keys=keys,
        metrics=metrics,
        requests_per_minute=config.requests_per_minute,
        max_body_bytes=config.max_body_bytes,
    )
    return app


def _lifespan(service: Service, lists: Lists, seconds: float) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        watching = asyncio.create_task(_watch(service, lists, seconds))
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    return lifespan


async def _watch(service: Service, lists: Lists, seconds: float) -> None:
    """Follow what the command line does beside the service: promotions, rollbacks, events; keep lists quick."""
    while True:
        try:
            if await service.run_slow(service.engine.follow_champion):
                LOG.info("now serving %s", service.engine.current.version)
            await service.run_slow(service.engine.follow_log)
            await service.run_slow(lists.warm)
        except ShoploomError as error:
            LOG.warning("could not follow the workspace: %s", error)
        await asyncio.sleep(seconds)
