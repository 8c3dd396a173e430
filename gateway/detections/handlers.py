"""`POST /v1/detections`: judge a file."""

from typing import Any

from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from gateway.detections.reception import Reception
from gateway.detections.schemas import DetectionView
from gateway.history.handlers import history_handlers
from gateway.jobs.preferring import LaterDetections, read_preference
from gateway.jobs.schemas import JobView
from gateway.reference.operations import KEYED, FileOperation
from gateway.reference.problems import problems

_REFUSALS = problems(
    {
        400: "The request or the file is at fault.",
        401: "No valid API key.",
        413: "The file is too large.",
        415: "The file is of another kind.",
        429: "A limit is used up; see Retry-After.",
        503: "The detector does not answer; nothing was charged; see Retry-After.",
        504: "Judging took too long; nothing was charged.",
        507: "The file was to be kept, and there is no room for it; nothing was charged.",
    }
)


@post(
    "/",
    summary="Judge a file",
    status_code=200,
    operation_class=FileOperation,
    request_max_body_size=None,
    responses=_REFUSALS
    | {202: ResponseSpec(data_container=JobView, description="The job that judges the file, as the client preferred.")},
)
async def create_detection(
    request: Request[Any, Any, Any],
    reception: NamedDependency[Reception],
    later_detections: NamedDependency[LaterDetections],
) -> Response[DetectionView | None]:
    """Judge an image, a video, an audio file or a text, and answer its verdict with the evidence.

    One detection is charged when it is admitted, and refunded when no verdict is reached. A call that sends
    `Prefer: respond-async, wait=N` is answered 202 with a job where its verdict takes longer than N seconds, which may
    be 60; without `wait`, at once.
    """
    preference = read_preference(request)
    if preference is not None:
        return await later_detections.receive(request, preference)
    outcome = await reception.receive(request)
    return Response(outcome.view)


detection_routes = Router(
    "/v1/detections",
    route_handlers=[create_detection, *history_handlers],
    tags=["Detections"],
    security=KEYED,
)
