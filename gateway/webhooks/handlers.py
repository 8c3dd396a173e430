"""`/v1/webhooks`: who is told of what, and what came of it."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import WEBHOOKS
from gateway.audit.service import actor_of
from gateway.idempotency.handlers import idempotent
from gateway.reference.operations import KEYED, OptionalBodyOperation
from gateway.reference.problems import problems
from gateway.webhooks.deliveries import DeliveryLog
from gateway.webhooks.endpoints import Endpoints
from gateway.webhooks.schemas import (
    AnyEvent,
    DeliveryPage,
    DeliveryStatus,
    DeliveryView,
    EndpointChange,
    EndpointPage,
    EndpointView,
    NewEndpoint,
    NewEndpointView,
    SecretRotation,
)

EndpointId = Annotated[UUID, PathParameter(description="Id of the endpoint.")]
DeliveryId = Annotated[UUID, PathParameter(description="Id of the delivery.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")]
Call = Request[Caller, Any, Any]
Handler = Callable[..., Awaitable[Any]]

_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault, or the address is not on the public internet (`url_not_allowed`).",
        401: "No valid API key or access token.",
        403: "The key lacks the scope `webhooks`, or the account is suspended.",
        404: "The account has no such endpoint or delivery.",
        409: "The endpoint is disabled, the delivery is pending, or the account has as many endpoints as it may.",
    }
)
_OF_LISTS: Final = {status: _PROBLEMS[status] for status in (400, 401, 403)}
_OF_NEW: Final = {status: _PROBLEMS[status] for status in (400, 401, 403, 409)}
_OF_ONE: Final = {status: _PROBLEMS[status] for status in (401, 403, 404)}
_OF_ACTS: Final = {status: _PROBLEMS[status] for status in (401, 403, 404, 409)}
_NEW: Final = Example(
    summary="Tell of verdicts and failures",
    value={"url": "https://example.com/hooks/bonafide", "events": ["job.succeeded", "job.failed"]},
)
_CHANGE: Final = Example(summary="Enable it again", value={"enabled": True})
_ROTATION: Final = Example(summary="An hour to change over", value={"overlap_s": 3600})


def address_checked(handler: Handler) -> Handler:
    """Have the address in the body checked before anything else is done, and before a connection is held."""

    @wraps(handler)
    async def checked(*args: Any, **arguments: Any) -> Any:
        endpoints: Endpoints = arguments["webhook_endpoints"]
        await endpoints.check(arguments["data"].url)
        return await handler(*args, **arguments)

    return checked


@post("/endpoints", summary="Make a webhook endpoint", responses=_OF_NEW)
@address_checked
@idempotent
async def create_webhook_endpoint(
    request: Call, data: Annotated[NewEndpoint, Body(examples=[_NEW])], webhook_endpoints: NamedDependency[Endpoints]
) -> NewEndpointView:
    """Have events told to an address, and answer the secret that signs them, which is not shown again."""
    return await webhook_endpoints.create(request.user.account_id, data, actor_of(request))


@get("/endpoints", summary="List webhook endpoints", responses=_OF_LISTS)
async def list_webhook_endpoints(
    request: Call, webhook_endpoints: NamedDependency[Endpoints], cursor: Cursor = None, limit: Limit = 20
) -> EndpointPage:
    """List the account's webhook endpoints, newest first."""
    return await webhook_endpoints.page(request.user.account_id, cursor=cursor, limit=limit)


@get("/endpoints/{endpoint_id:uuid}", summary="Read a webhook endpoint", responses=_OF_ONE)
async def read_webhook_endpoint(
    request: Call, webhook_endpoints: NamedDependency[Endpoints], endpoint_id: EndpointId
) -> EndpointView:
    """Read one of the account's webhook endpoints."""
    return await webhook_endpoints.one(request.user.account_id, endpoint_id)


@patch(
    "/endpoints/{endpoint_id:uuid}",
    summary="Change a webhook endpoint",
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404)},
)
async def change_webhook_endpoint(
    request: Call,
    data: Annotated[EndpointChange, Body(examples=[_CHANGE])],
    webhook_endpoints: NamedDependency[Endpoints],
    endpoint_id: EndpointId,
) -> EndpointView:
    """Change an endpoint's address, events or description, disable it, or enable it again. What is left out stays."""
    return await webhook_endpoints.change(request.user.account_id, endpoint_id, data, actor_of(request))


@delete("/endpoints/{endpoint_id:uuid}", summary="Delete a webhook endpoint", responses=_OF_ONE)
async def delete_webhook_endpoint(
    request: Call, webhook_endpoints: NamedDependency[Endpoints], endpoint_id: EndpointId
) -> None:
    """Delete an endpoint with its log; what waited for it is not sent any more."""
    await webhook_endpoints.remove(request.user.account_id, endpoint_id, actor_of(request))


@post(
    "/endpoints/{endpoint_id:uuid}/rotate",
    summary="Rotate the secret of a webhook endpoint",
    status_code=200,
    operation_class=OptionalBodyOperation,
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404)},
)
@idempotent
async def rotate_webhook_secret(
    request: Call,
    webhook_endpoints: NamedDependency[Endpoints],
    endpoint_id: EndpointId,
    data: Annotated[SecretRotation | None, Body(examples=[_ROTATION])] = None,
) -> NewEndpointView:
    """Make a new secret, and answer it, which is not done again.

    The former one signs, too, for `overlap_s` seconds, a day by default: each message then has both signatures.
    """
    overlap_s = (data or SecretRotation()).overlap_s
    return await webhook_endpoints.rotate(request.user.account_id, endpoint_id, overlap_s, actor_of(request))


@post("/endpoints/{endpoint_id:uuid}/test", summary="Test a webhook endpoint", status_code=202, responses=_OF_ACTS)
@idempotent
async def test_webhook_endpoint(
    request: Call, webhook_endpoints: NamedDependency[Endpoints], endpoint_id: EndpointId
) -> DeliveryView:
    """Send the event `webhook.test` now, whichever events the endpoint wants; read the delivery for what came of it."""
    return await webhook_endpoints.test(request.user.account_id, endpoint_id)


@get("/deliveries", summary="List webhook deliveries", responses=_OF_LISTS)
async def list_webhook_deliveries(
    request: Call,
    webhook_deliveries: NamedDependency[DeliveryLog],
    *,
    endpoint_id: Annotated[UUID | None, QueryParameter(description="To this endpoint.")] = None,
    status: Annotated[DeliveryStatus | None, QueryParameter(description="In this status.")] = None,
    event: Annotated[AnyEvent | None, QueryParameter(description="Of this event.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DeliveryPage:
    """List what was told, or is being told, newest first. It is forgotten after some weeks."""
    return await webhook_deliveries.page(
        request.user.account_id, endpoint_id=endpoint_id, status=status, event=event, cursor=cursor, limit=limit
    )


@get("/deliveries/{delivery_id:uuid}", summary="Read a webhook delivery", responses=_OF_ONE)
async def read_webhook_delivery(
    request: Call, webhook_deliveries: NamedDependency[DeliveryLog], delivery_id: DeliveryId
) -> DeliveryView:
    """Read a delivery with its body and its latest tries: what was sent and what was answered."""
    return await webhook_deliveries.one(request.user.account_id, delivery_id)


@post("/deliveries/{delivery_id:uuid}/replay", summary="Replay a webhook delivery", status_code=202, responses=_OF_ACTS)
@idempotent
async def replay_webhook_delivery(
    request: Call, webhook_deliveries: NamedDependency[DeliveryLog], delivery_id: DeliveryId
) -> DeliveryView:
    """Send once more what was delivered, given up or skipped: the same body under the same `webhook-id`."""
    return await webhook_deliveries.replay(request.user.account_id, delivery_id)


webhook_routes = Router(
    "/v1/webhooks",
    route_handlers=[
        create_webhook_endpoint,
        list_webhook_endpoints,
        read_webhook_endpoint,
        change_webhook_endpoint,
        delete_webhook_endpoint,
        rotate_webhook_secret,
        test_webhook_endpoint,
        list_webhook_deliveries,
        read_webhook_delivery,
        replay_webhook_delivery,
    ],
    guards=[require(WEBHOOKS)],
    security=KEYED,
    tags=["Webhooks"],
)
