"""``serve``: API and dashboard of the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text
from shoploom.errors import UsageError

if TYPE_CHECKING:
    from shoploom.shop import Shop


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; beyond this machine an API key is needed.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port.")] = None,
    max_ms: Annotated[
        float | None,
        typer.Option(min=0, help="Milliseconds that an ensemble may take per answer; 0: no limit."),
    ] = None,
    create_key: Annotated[bool, typer.Option("--create-key", help="Make an API key, print it once, and exit.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Serve API and dashboard until interrupted."""
    from shoploom.shop import Shop

    out = Output(as_json, "serve")
    shop = Shop.open(workspace)
    if create_key:
        from shoploom.serving.keys import create_key as make_key

        key = make_key(shop.workspace)
        out.wrote(f"{shop.workspace.path / 'keys.json'}: a hash; the key itself is shown only now")
        out.say(key)
        out.next(f"shoploom serve --host 0.0.0.0{option_text(workspace)}")
        out.done(key=key)
        return
    run_service(out, shop, host, port, max_ms=max_ms)


def run_service(out: Output, shop: Shop, host: str | None, port: int | None, *, max_ms: float | None = None) -> None:
    """Serve, and say where once the model is loaded."""
    champion = shop.registry.champion()
    config = shop.config.serve if max_ms is None else replace(shop.config.serve, max_ms=max_ms)
    limit = config.max_ms
    expected: dict[str, Any] = {}
    check_port(host or shop.config.serve.host, port or shop.config.serve.port)
    if champion is None:
        out.say("no version is promoted yet; the service answers 503 until `shoploom promote`")
    else:
        out.read(shop.registry.folder(champion))
        expected = _expected(out, shop.registry.manifest(champion), limit or None)

    def started(url: str) -> None:
        out.say(f"dashboard {url}/   API {url}/docs   (Ctrl-C ends it)")
        out.done(champion=champion, url=url, max_ms=limit or None, ensembles=expected)

    shop.serve(host=host, port=port, max_ms=limit, started=started)


def _expected(out: Output, manifest: Mapping[str, Any], max_ms: float | None) -> dict[str, Any]:
    """By task with an ensemble, the members that answer within the limit, and what that costs in time and quality."""
    from shoploom.apps.ensemble import expectation, of_version

    views = {name: one for name, one in of_version(manifest, max_ms=max_ms).items() if one["together"]}
    for view in views.values():
        out.say(str(expectation(view)))
    return {name: one["expected"] for name, one in views.items()}


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken before a model is loaded.

    Raises:
        UsageError: Naming the option that chooses another.
    """
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"{host}:{port} cannot be bound ({error}); choose another with --port or --host"
            ) from error
