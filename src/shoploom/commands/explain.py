"""``explain``: why the champion recommends what it recommends to one customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text
from shoploom.errors import NotFoundError

if TYPE_CHECKING:
    from shoploom.inference.state import ShopState


def explain(
    customer: Annotated[str, typer.Argument(help="The customer's id as the shop spells it.")],
    product: Annotated[str | None, typer.Argument(help="Only this product; the whole list if left out.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="Length of the list.")] = 10,
    repeats: Annotated[
        Literal["auto", "allow", "exclude"], typer.Option(help="exclude: nothing that the customer bought before.")
    ] = "auto",
    fall: Annotated[
        int, typer.Option(min=1, max=20, help="Places by which a product has to fall without a reason.")
    ] = 5,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Why products are recommended to a customer: reasons that were checked by taking them away."""
    from shoploom.apps.explain import explain as answer
    from shoploom.shop import Shop

    out = Output(as_json, "explain")
    shop = Shop.open(workspace)
    state = shop.engine.current.state
    _require(state, customer)
    found = answer(shop.engine, customer, product, k=k, repeats=repeats, fall=fall)
    out.read(shop.registry.folder(found["model_version"]))
    if found["note"]:
        out.say(f"note: {found['note']}")
    rows = [_row(item) for item in found["items"]]
    out.table(("place", "product", "title", "because", "without it", "without history"), rows, right=(0, 4, 5))
    for item in found["items"] if product is not None else []:
        for reason in item["reasons"][1:]:
            out.say(f"also: {reason['text']}; place without it: {_place(reason['rank_after'])}")
    out.next(f"shoploom recommend {customer} -k {k}{option_text(workspace)}")
    out.done(**found)


def _require(state: ShopState, customer: str) -> None:
    """Refuse an unknown customer, and name the most alike id."""
    from shoploom.commands.answers import nearest_customer

    try:
        state.known_customer(customer)
    except NotFoundError as error:
        likely = nearest_customer(state, customer)
        hint = f". Did you mean {likely!r}?" if likely else "; ids are compared exactly as the shop spells them"
        raise NotFoundError(f"customer {customer!r} is unknown{hint}") from error


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    place = item["position"] or item["rank"]
    without = _place(item["reasons"][0]["rank_after"]) if item["reasons"] else ""
    stranger = "" if item["rank"] is None else _place(item["rank_without_history"])
    return str(place or ""), item["product_id"], str(item["title"] or ""), item["text"], without, stranger


def _place(rank: int | None) -> str:
    return "off the list" if rank is None else str(rank)
