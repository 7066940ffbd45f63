"""The lists of a shop's pages: product page, basket, session, category, arrivals, segment, promotions, buy again."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from shoploom.apps import lists
from shoploom.inference.found import Ask
from shoploom.inference.lists import Lists
from shoploom.serving.inputs import Count, FilterQuery, Moment, WishQuery, only_known_parameters
from shoploom.serving.service import answer, request_id, service_of

ROUTER = APIRouter(prefix="/v1/lists", tags=["lists"], dependencies=[Depends(only_known_parameters)])

CustomerQuery = Annotated[str, Query(min_length=1, max_length=512, description="The shop's own id of a customer.")]
Stranger = Annotated[str | None, Query(max_length=512, description="Leave out for a stranger.")]
Products = Annotated[list[str] | None, Query(description="Ids of products; repeat, or separate by commas.")]
Attribute = Annotated[str | None, Query(max_length=512, description="Customer attribute that makes the group.")]
Value = Annotated[str | None, Query(max_length=512, description="Its value; the customer's own if left out.")]


async def _ask(
    request: Request,
    filters: FilterQuery,
    wishes: WishQuery,
    k: Count = 20,
    at: Annotated[Moment, Query(description="Moment of the visit, ISO 8601; now if left out.")] = None,
    explain: Annotated[bool, Query(description="Say why, per product.")] = True,
) -> Ask:
    return lists.asked(k=k, filters=filters, at=at, explain=explain, wishes=wishes, request_id=request_id(request))


AskQuery = Annotated[Ask, Depends(_ask)]


@ROUTER.get("/also_bought", summary="What do those who buy this buy, too?")
async def get_also_bought(
    request: Request,
    ask: AskQuery,
    product_id: Annotated[str, Query(min_length=1, max_length=512, description="The shop's own id of a product.")],
) -> Response:
    """By lift, with the number of orders that hold both; filled up with products like it."""
    found = await service_of(request).run(lists.also_bought, lists_of(request), product_id, ask)
    return answer(request, found)


@ROUTER.get("/basket", summary="What is missing in this basket?")
async def get_basket(
    request: Request, ask: AskQuery, product_id: Products = None, customer_id: Stranger = None
) -> Response:
    """From what is bought together, and the model's ranking if the customer is known; never what is in the basket."""
    found = await service_of(request).run(lists.basket, lists_of(request), product_id or [], customer_id, ask)
    return answer(request, found)


@ROUTER.get("/session", summary="What comes next in this visit?")
async def get_session(
    request: Request,
    ask: AskQuery,
    session_id: Annotated[str | None, Query(max_length=512, description="Its events are looked up.")] = None,
    product_id: Annotated[
        list[str] | None, Query(description="Touched after those, oldest first; repeat, or separate by commas.")
    ] = None,
) -> Response:
    """For anonymous visitors: from the products touched in this session; popular ones before the first event."""
    found = await service_of(request).run(lists.session, lists_of(request), product_id or [], session_id, ask)
    return answer(request, found)


@ROUTER.get("/buy_again", summary="What does this customer run out of?")
async def get_buy_again(
    request: Request,
    ask: AskQuery,
    customer_id: CustomerQuery,
    due_only: Annotated[bool, Query(description="Leave out what is not due yet.")] = True,
) -> Response:
    """Own products by the chance of a purchase in the next days, from the rhythm of customer and product."""
    found = await service_of(request).run(lists.buy_again, lists_of(request), customer_id, ask, due_only=due_only)
    return answer(request, found)


@ROUTER.get("/new_for_you", summary="What has this customer never bought, but may like?")
async def get_new_for_you(request: Request, ask: AskQuery, customer_id: CustomerQuery) -> Response:
    """The task `new_for_you`; never anything bought."""
    return answer(request, await service_of(request).run(lists.new_for_you, lists_of(request), customer_id, ask))


@ROUTER.get("/category", summary="What does this category's page show?")
async def get_category(request: Request, ask: AskQuery, customer_id: Stranger = None) -> Response:
    """The products of `category` in the customer's order, then all others of it, best sellers first."""
    return answer(request, await service_of(request).run(lists.category, lists_of(request), customer_id, ask))


@ROUTER.get("/new_arrivals", summary="Which new products may they like?")
async def get_new_arrivals(
    request: Request,
    ask: AskQuery,
    customer_id: Stranger = None,
    attribute: Attribute = None,
    value: Value = None,
    days: Annotated[float, Query(gt=0, le=3660, allow_inf_nan=False, description="Counted back from now.")] = 30.0,
) -> Response:
    """The newest products in the order of a customer or a group; newest first for a stranger."""
    service = service_of(request)
    found = await service.run(
        lists.new_arrivals, lists_of(request), customer_id, ask, attribute=attribute, value=value, days=days
    )
    return answer(request, found)


@ROUTER.get("/segment", summary="What do customers like this one buy?")
async def get_segment(
    request: Request, ask: AskQuery, customer_id: Stranger = None, attribute: Attribute = None, value: Value = None
) -> Response:
    """Customers who buy alike, or those with a value of an attribute."""
    service = service_of(request)
    found = await service.run(lists.segment, lists_of(request), customer_id, ask, attribute=attribute, value=value)
    return answer(request, found)


@ROUTER.get("/promoted", summary="What is on promotion now?")
async def get_promoted(request: Request, ask: AskQuery, customer_id: Stranger = None) -> Response:
    """What the promotion plan promotes at the moment, in the customer's order."""
    return answer(request, await service_of(request).run(lists.promoted, lists_of(request), customer_id, ask))


def lists_of(request: Request) -> Lists:
    """The lists of the service that a request came to."""
    return cast(Lists, request.app.state.lists)
