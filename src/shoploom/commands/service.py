"""``serve``: API and dashboard of the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text
from shoploom.errors import UsageError

if TYPE_CHECKING:
    from shoploom.shop import Shop


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; beyond this machine an API key is needed.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port.")] = None,
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
    run_service(out, shop, host, port)


def run_service(out: Output, shop: Shop, host: str | None, port: int | None) -> None:
    """Serve, and say where once the model is loaded."""
    champion = shop.registry.champion()
    check_port(host or shop.config.serve.host, port or shop.config.serve.port)
    if champion is None:
        out.say("no version is promoted yet; the service answers 503 until `shoploom promote`")
    else:
        out.read(shop.registry.folder(champion))

    def started(url: str) -> None:
        out.say(f"dashboard {url}/   API {url}/docs   (Ctrl-C ends it)")
        out.done(champion=champion, url=url)

    shop.serve(host=host, port=port, started=started)


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
