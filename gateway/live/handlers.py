"""`/v1/jobs/{id}/events` and `/v1/jobs/{id}/ws`: follow a job live."""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import HISTORY_READ
from gateway.errors import UpgradeRequiredError
from gateway.live.description import EventsOperation, SocketOperation
from gateway.live.events import read_last_event_id
from gateway.live.service import Live
from gateway.live.sockets import Sockets
from gateway.live.streaming import SSE, EventStream
from gateway.reference.operations import KEYED
from gateway.reference.problems import problems

Call = Request[Caller, Any, Any]
JobId = Annotated[UUID, PathParameter(description="Id of the job.")]
LastEvent = Annotated[
    str | None, QueryParameter(name="last_event_id", description="The same, for clients that cannot send the header.")
]

_PROBLEMS: Final = problems(
    {
        400: "`Last-Event-ID` is not the id of an event.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope, or the account is suspended.",
        404: "The account has no such job.",
        426: "This path is for WebSockets.",
        429: "The account has too many open streams; see Retry-After.",
        503: "Too many streams are open, or the service is about to stop; see Retry-After.",
    }
)


@get(
    "/{job_id:uuid}/events",
    summary="Follow a job by events",
    media_type=SSE,
    guards=[require(HISTORY_READ)],
    operation_class=EventsOperation,
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404, 429, 503)},
)
async def follow_job(
    request: Call,
    live: NamedDependency[Live],
    job_id: JobId,
    last_event: Annotated[
        str | None,
        HeaderParameter(name="last-event-id", description="Go on after this event; from the first one where absent."),
    ] = None,
    last_event_id: LastEvent = None,
) -> EventStream:
    """Follow a job by server-sent events (`text/event-stream`), from its first event on or after the one named.

    An event's `id` counts from 1, its `event` is `queued`, `running`, `progress`, `retrying`, `succeeded`, `failed` or
    `cancelled`, its `data` a JSON object with `job_id`, `at` and what there is to say: how far the work is and partial
    scores, the verdict, or the error. After the last three the stream ends; a job that has ended is told again and the
    stream ends. Comments keep it open in between. It also ends after a while, and when the platform is restarted:
    come again with `Last-Event-ID`, as browsers do by themselves. 204: there is nothing after that event any more.
    """
    after = read_last_event_id(last_event, last_event_id)
    return EventStream(live, await live.find(request.user, job_id, after, "sse"))


@get(
    "/{job_id:uuid}/ws",
    summary="Follow a job by WebSocket",
    guards=[require(HISTORY_READ)],
    operation_class=SocketOperation,
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404, 426)},
)
async def refuse_plain_request(
    request: Call, live: NamedDependency[Live], job_id: JobId, last_event_id: LastEvent = None
) -> None:
    """Follow a job over a WebSocket: the same events as JSON messages `{"id": 3, "event": "progress", "data": {…}}`.

    Browsers, which cannot send headers, name their key or token as a subprotocol: `bearer, <token>`. The client may
    send `{"last_event_id": n}` to go on after another event. Signs of life have the event `heartbeat`. Closed with 1000
    after the last event, with 1001 when the platform is restarted or the stream has been open for long, and when
    refused with 4000 and the status of HTTP, such as 4401 and 4404, and the code of the error as its reason.
    """
    await live.find(request.user, job_id, read_last_event_id(last_event_id), "websocket")
    raise UpgradeRequiredError(headers={"upgrade": "websocket"})


@websocket("/{job_id:uuid}/ws")
async def follow_job_by_socket(
    socket: WebSocket[Any, Any, Any],
    sockets: NamedDependency[Sockets],
    job_id: Annotated[UUID, PathParameter()],
    last_event_id: LastEvent = None,
) -> None:
    """Follow a job over a WebSocket."""
    await sockets.follow(socket, job_id, last_event_id)


live_routes = Router(
    "/v1/jobs",
    route_handlers=[follow_job, refuse_plain_request, follow_job_by_socket],
    security=KEYED,
    tags=["Jobs"],
)
