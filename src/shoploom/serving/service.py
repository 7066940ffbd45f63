"""What all routes share: the engine, the counters, and how an answer leaves the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response

from shoploom.data.workspace import Workspace
from shoploom.inference.engine import Engine
from shoploom.serving.metrics import Metrics

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Service:
    """One running service.

    Args:
        workspace: Its data and versions.
        engine: Answers.
        metrics: What ``/metrics`` shows.
        quick: Threads for answers that take milliseconds.
        slow: Threads for loading versions and writing tables, so that they never keep quick answers waiting.
    """

    workspace: Workspace
    engine: Engine
    metrics: Metrics
    quick: CapacityLimiter
    slow: CapacityLimiter

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a quick function off the event loop."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.quick)

    async def run_slow(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a slow function off the event loop, out of the way of quick ones."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.slow)

    def behind(self, function: Callable[[], object]) -> None:
        """Start a function off the event loop and do not wait for it; the next answer does what is left to do."""
        asyncio.get_running_loop().run_in_executor(None, function)


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    return cast(Service, request.app.state.service)


def request_id(request: Request) -> str:
    """The id that names this request in answers, logs and feedback."""
    return str(request.scope["state"]["request_id"])


def answer(request: Request, content: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer that says which model version and which request it belongs to."""
    version = content.get("model_version")
    body = orjson.dumps(
        {"request_id": request_id(request), "model_version": version, **content},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    headers = {"x-model-version": str(version)} if version else None
    return Response(body, status_code=status, media_type="application/json", headers=headers)
