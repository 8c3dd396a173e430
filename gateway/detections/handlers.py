"""`/v1/detections`: judge a file, read back what was judged."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import HISTORY_READ
from gateway.detections.history import History
from gateway.detections.reception import Reception
from gateway.detections.schemas import DetectionPage, DetectionView
from gateway.reference.operations import KEYED, FileOperation
from gateway.rendering import Problem

_REFUSALS = {
    status: ResponseSpec(data_container=Problem, description=description, media_type="application/problem+json")
    for status, description in {
        400: "The request or the file is at fault.",
        401: "No valid API key.",
        413: "The file is too large.",
        415: "The file is of another kind.",
        429: "A limit is used up; see Retry-After.",
        503: "The detector does not answer; nothing was charged; see Retry-After.",
        504: "Judging took too long; nothing was charged.",
    }.items()
}


@post(
    "/",
    summary="Judge a file",
    status_code=200,
    operation_class=FileOperation,
    request_max_body_size=None,
    responses=_REFUSALS,
)
async def create_detection(
    request: Request[Any, Any, Any], reception: NamedDependency[Reception]
) -> Response[DetectionView | None]:
    """Judge an image, a video or an audio file, and answer its verdict with the evidence.

    One detection is charged when it is admitted, and refunded when no verdict is reached.
    """
    outcome = await reception.receive(request)
    return Response(outcome.view, headers={"idempotency-replayed": "true"} if outcome.replayed else None)


@get("/", summary="List detections", guards=[require(HISTORY_READ)])
async def list_detections(
    request: Request[Caller, Any, Any],
    history: NamedDependency[History],
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> DetectionPage:
    """List the account's detections, newest first."""
    return await history.page(request.user.account_id, cursor=cursor, limit=limit)


@get("/{detection_id:uuid}", summary="Read a detection", guards=[require(HISTORY_READ)])
async def read_detection(
    request: Request[Caller, Any, Any],
    history: NamedDependency[History],
    detection_id: Annotated[UUID, PathParameter(description="Id of the detection.")],
) -> DetectionView:
    """Read one of the account's detections with its evidence."""
    return await history.one(request.user.account_id, detection_id)


detection_routes = Router(
    "/v1/detections",
    route_handlers=[create_detection, list_detections, read_detection],
    tags=["Detections"],
    security=KEYED,
)
