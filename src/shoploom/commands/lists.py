"""``list``: the lists of a shop's pages, on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text
from shoploom.commands.wishes import RequestOption, say_arranged, with_wishes
from shoploom.errors import NotFoundError

if TYPE_CHECKING:
    from shoploom.inference.rerank import Wishes

Kind = Literal[
    "also_bought",
    "basket",
    "session",
    "buy_again",
    "new_for_you",
    "category",
    "new_arrivals",
    "segment",
    "promoted",
]


@with_wishes
def list_(
    kind: Annotated[Kind, typer.Argument(help="Which list.", show_default=False)],
    names: Annotated[list[str] | None, typer.Argument(help="Products, a customer or a category, by kind.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many products.")] = 10,
    customer: Annotated[str | None, typer.Option(help="For whom a basket or a category's page is.")] = None,
    session: Annotated[str | None, typer.Option(help="A session whose events are looked up.")] = None,
    attribute: Annotated[str | None, typer.Option(help="Customer attribute that makes a segment.")] = None,
    value: Annotated[str | None, typer.Option(help="Its value; the customer's own if left out.")] = None,
    days: Annotated[float, typer.Option(min=0.01, max=3660, help="How old new arrivals may be.")] = 30.0,
    not_due: Annotated[bool, typer.Option("--not-due", help="Own products that are not due yet, too.")] = False,
    category: Annotated[str | None, typer.Option(help="Only products of this category.")] = None,
    in_stock: Annotated[bool, typer.Option("--in-stock", help="Leave out what is sold out.")] = False,
    hide: Annotated[list[str] | None, typer.Option(help="An id to leave out; may be repeated.")] = None,
    at: Annotated[datetime | None, typer.Option(help="Moment of the visit in UTC; now if left out.")] = None,
    request_id: RequestOption = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
    *,
    wishes: Wishes,
) -> None:
    """The lists of a shop's pages: bought together, basket, session, buy again, category, arrivals and others."""
    from shoploom.apps import lists as apps
    from shoploom.inference.catalogue import Filters
    from shoploom.inference.lists import Lists
    from shoploom.shop import Shop

    given = tuple(names or ())
    apps.require_names(kind, given)
    out = Output(as_json, "list")
    shop = Shop.open(workspace)
    filters = Filters(category, in_stock, tuple(hide or ()))
    ask = apps.asked(k=k, filters=filters, at=at, wishes=wishes, request_id=request_id)

    def answer() -> dict[str, Any]:
        return apps.answer(
            Lists(shop.engine),
            kind,
            given,
            ask,
            customer_id=customer,
            session_id=session,
            attribute=attribute,
            value=value,
            days=days,
            due_only=not not_due,
        )

    found = _with_hint(kind, given, shop, answer)
    out.read(shop.registry.folder(found["model_version"]))
    for text in notes(found):
        out.say(f"note: {text}")
    rows = []
    for rank, item in enumerate(found["items"], start=1):
        because = "; ".join(one["text"] for one in item["reasons"][:2])
        rows.append((str(rank), item["product_id"], str(item.get("title") or ""), f"{item['score']:.3g}", because))
    out.table(("", "product", "title", "score", "because"), rows, right=(0, 3))
    say_arranged(out, found)
    out.next(f"shoploom serve{option_text(workspace)}")
    out.done(**found)


def notes(found: dict[str, Any]) -> list[str]:
    """What to say about a list before its products."""
    said = []
    if found.get("unknown_products"):
        said.append(f"unknown products are passed over: {', '.join(found['unknown_products'])}")
    if found.get("session_id") is not None and not found["session_known"]:
        said.append(f"no event of the log names session {found['session_id']!r}")
    if not found["items"]:
        said.append("nothing to show")
    elif found["cold_start"]:
        said.append("nothing is known to start from; this is everybody's order")
    elif found["filled_with_popular"]:
        said.append(f"the last {found['filled_with_popular']} stand in: there was nothing better to show")
    return said


def _with_hint(kind: str, given: Sequence[str], shop: Any, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer; if the customer is unknown, the most alike id is named."""
    from shoploom.apps.lists import NAMES
    from shoploom.commands.answers import nearest_customer

    try:
        return answer()
    except NotFoundError as error:
        state = shop.engine.current.state
        if NAMES[kind][0] != "customer" or not given or state.customer(given[0]) >= 0:
            raise
        likely = nearest_customer(state, given[0])
        if likely is None:
            raise
        raise NotFoundError(f"customer {given[0]!r} is unknown. Did you mean {likely!r}?") from error
