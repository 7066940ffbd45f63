"""Runs the service with uvicorn: one process, one event loop; refuses to be reachable without a key."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable

from shoploom.data.workspace import Workspace
from shoploom.errors import ConfigError, NotReadyError, UsageError
from shoploom.inference.engine import Engine
from shoploom.serving.keys import FILE, Keys, create_key, is_loopback

__all__ = ["check_binding", "create_key", "serve"]
LOG = logging.getLogger("shoploom.serving")


def check_binding(workspace: Workspace, host: str) -> None:
    """Refuse an address that others can reach while no API key exists.

    Raises:
        UsageError: Naming the command that makes a key.
    """
    if not is_loopback(host) and not Keys(workspace.path / FILE).required:
        raise UsageError(
            f"{host} can be reached from other machines, and this workspace has no API key; "
            "run `shoploom serve --create-key` once, or bind to 127.0.0.1"
        )


def serve(
    workspace: Workspace,
    *,
    host: str | None = None,
    port: int | None = None,
    max_ms: float | None = None,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        workspace: Whose champion serves; it may be trained later.
        host: Address; default from ``[serve]`` of the configuration.
        port: TCP port; default likewise.
        max_ms: Milliseconds that an ensemble may take per answer, 0 for no limit; default likewise.
        started: Called with the address once models are loaded, just before the port opens.

    Raises:
        UsageError: If the address needs a key and there is none.
    """
    import uvicorn

    from shoploom.serving.app import create_app

    host = host or workspace.config.serve.host
    port = port or workspace.config.serve.port
    check_binding(workspace, host)
    engine = Engine(workspace, max_ms=workspace.config.serve.max_ms if max_ms is None else max_ms)
    engine.follow_champion()
    warm_up(engine)
    _one_thread()
    gc.freeze()  # models and catalogue stay: looking through them again and again would hold up answers
    app = create_app(workspace, engine=engine)
    if started is not None:
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    LOG.setLevel(logging.WARNING)
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)


def warm_up(engine: Engine) -> None:
    """Ask once for what the first visitors will ask for, so that they need not wait for caches."""
    try:
        served = engine.current
    except NotReadyError:
        return
    served.warm_up()
    ids = served.state.shop.customers.ids
    try:
        for one in (*ids[:1], None):
            served.explain(one, served.recommend(one, k=20))
    except ConfigError as error:  # events are taken all the same; every list answers with this error
        LOG.warning("no list can be shown: %s", error)


def _one_thread() -> None:
    """Small batches are answered quickest by one thread; several fight over the cores."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
