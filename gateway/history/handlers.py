"""`/v1/detections` and `/v1/stats`: what was judged, as pages, as a file, one by one and counted; and changes of it."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, delete, get, patch, post, put
from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter
from litestar.response import Stream

from gateway.access.guard import Caller, require
from gateway.access.scopes import HISTORY_READ, HISTORY_WRITE
from gateway.detections.schemas import DetectionPage, DetectionView
from gateway.history.changes import Changes
from gateway.history.export import ExportFormat, write_export
from gateway.history.filters import Filters, read_filters
from gateway.history.schemas import DetectionUpdate, Interval, NewFeedback, StatsReport
from gateway.history.service import History
from gateway.history.stats import Stats
from gateway.reference.operations import KEYED, ExportOperation, PictureOperation
from gateway.reference.problems import problems

DetectionId = Annotated[UUID, PathParameter(description="Id of the detection.")]
Call = Request[Caller, Any, Any]

_UPDATE: Final = Example(value={"client_reference": "order-1234", "tags": ["night", "front door"]})
_FEEDBACK: Final = Example(value={"label": "fake", "note": "The sender admitted it."})
_FILTERS: Final = {"filters": Provide(read_filters, sync_to_thread=False)}
_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope, or the account is suspended.",
        404: "The account has no such detection.",
        409: "The detection is still running, or has no verdict.",
    }
)
_OF_LISTS: Final = {status: _PROBLEMS[status] for status in (400, 401, 403)}
_OF_ONE: Final = {status: _PROBLEMS[status] for status in (401, 403, 404)}
_OF_CHANGES: Final = {status: _PROBLEMS[status] for status in (400, 401, 403, 404)}


@get("/", summary="List detections", dependencies=_FILTERS, guards=[require(HISTORY_READ)], responses=_OF_LISTS)
async def list_detections(
    request: Call,
    history: NamedDependency[History],
    filters: NamedDependency[Filters],
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> DetectionPage:
    """List the account's detections that pass all filters, newest first.

    Only a null `next_cursor` ends the list: where few detections pass, a page may be short or empty before that.
    """
    return await history.page(request.user.account_id, filters, cursor=cursor, limit=limit)


@get(
    "/export",
    summary="Export detections",
    dependencies=_FILTERS,
    guards=[require(HISTORY_READ)],
    operation_class=ExportOperation,
    responses=_OF_LISTS,
)
async def export_detections(
    request: Call,
    history: NamedDependency[History],
    filters: NamedDependency[Filters],
    written_as: Annotated[
        ExportFormat, QueryParameter(name="format", description="A spreadsheet's CSV, or a JSON document on each line.")
    ] = ExportFormat.CSV,
) -> Stream:
    """Export all of the account's detections that pass the filters, newest first, as a file.

    In CSV, a text that a spreadsheet might run as a formula has an apostrophe in front.
    """
    name = f"detections-{datetime.now(UTC):%Y%m%d}.{written_as}"
    return Stream(
        write_export(history.walk(request.user.account_id, filters), written_as),
        headers={"content-disposition": f'attachment; filename="{name}"'},
        media_type=written_as.media_type,
    )


@get("/{detection_id:uuid}", summary="Read a detection", guards=[require(HISTORY_READ)], responses=_OF_ONE)
async def read_detection(request: Call, history: NamedDependency[History], detection_id: DetectionId) -> DetectionView:
    """Read one of the account's detections with its evidence."""
    return await history.one(request.user.account_id, detection_id)


@get(
    "/{detection_id:uuid}/thumbnail",
    summary="Read a thumbnail",
    media_type="image/jpeg",
    operation_class=PictureOperation,
    guards=[require(HISTORY_READ)],
    responses=_OF_ONE,
)
async def read_thumbnail(
    request: Call, history: NamedDependency[History], detection_id: DetectionId
) -> Response[bytes]:
    """Read the small picture that was kept of the medium, where one was."""
    thumbnail = await history.thumbnail(request.user.account_id, detection_id)
    name = f"{detection_id}.jpg"
    return Response(thumbnail, headers={"content-disposition": f'attachment; filename="{name}"'})


@delete(
    "/{detection_id:uuid}",
    summary="Delete a detection",
    guards=[require(HISTORY_WRITE)],
    responses=_OF_ONE | {409: _PROBLEMS[409]},
)
async def delete_detection(request: Call, changes: NamedDependency[Changes], detection_id: DetectionId) -> None:
    """Put a detection into the bin: it leaves lists and counts, but what it was charged stays charged.

    Its file, where it was kept, is deleted for good at once; the rest is when it has been in the bin for long enough.
    """
    await changes.delete(request.user.account_id, detection_id)


@post(
    "/{detection_id:uuid}/restore",
    summary="Restore a detection",
    status_code=200,
    guards=[require(HISTORY_WRITE)],
    responses=_OF_ONE,
)
async def restore_detection(
    request: Call, changes: NamedDependency[Changes], history: NamedDependency[History], detection_id: DetectionId
) -> DetectionView:
    """Take a detection out of the bin, without the file that was deleted with it."""
    await changes.restore(request.user.account_id, detection_id)
    return await history.one(request.user.account_id, detection_id)


@patch("/{detection_id:uuid}", summary="Label a detection", guards=[require(HISTORY_WRITE)], responses=_OF_CHANGES)
async def update_detection(
    request: Call,
    changes: NamedDependency[Changes],
    history: NamedDependency[History],
    detection_id: DetectionId,
    data: Annotated[DetectionUpdate, Body(examples=[_UPDATE])],
) -> DetectionView:
    """Set the client's own reference and tags of a detection; what is left out stays."""
    await changes.update(request.user.account_id, detection_id, data)
    return await history.one(request.user.account_id, detection_id)


@put(
    "/{detection_id:uuid}/feedback",
    summary="Rate a verdict",
    guards=[require(HISTORY_WRITE)],
    responses=_OF_CHANGES | {409: _PROBLEMS[409]},
)
async def rate_detection(
    request: Call,
    changes: NamedDependency[Changes],
    history: NamedDependency[History],
    detection_id: DetectionId,
    data: Annotated[NewFeedback, Body(examples=[_FEEDBACK])],
) -> DetectionView:
    """Say what the medium really is, instead of what was said before. The statistics' accuracy comes from this."""
    await changes.rate(request.user.account_id, detection_id, data)
    return await history.one(request.user.account_id, detection_id)


@delete(
    "/{detection_id:uuid}/feedback",
    summary="Withdraw a rating",
    guards=[require(HISTORY_WRITE)],
    responses=_OF_ONE,
)
async def withdraw_rating(request: Call, changes: NamedDependency[Changes], detection_id: DetectionId) -> None:
    """Forget what was said about a verdict."""
    await changes.withdraw_rating(request.user.account_id, detection_id)


@get("/", summary="Read statistics", guards=[require(HISTORY_READ)], responses=_OF_LISTS)
async def read_stats(
    request: Call,
    stats: NamedDependency[Stats],
    since: Annotated[
        date | None, QueryParameter(name="from", description="First UTC day; the 30th up to `to` where absent.")
    ] = None,
    until: Annotated[date | None, QueryParameter(name="to", description="Last UTC day; today where absent.")] = None,
    interval: Annotated[Interval, QueryParameter(description="Length of the periods of `series`.")] = Interval.DAY,
) -> StatsReport:
    """Read how many detections there were and how they ended, in all, by modality and period by period.

    A detection counts on the UTC day on which it was charged. Running ones and those in the bin do not count.
    """
    return await stats.report(request.user.account_id, since=since, until=until, interval=interval)


history_handlers: Final = (
    list_detections,
    export_detections,
    read_detection,
    read_thumbnail,
    delete_detection,
    restore_detection,
    update_detection,
    rate_detection,
    withdraw_rating,
)
"""What `/v1/detections` answers besides judging."""
stats_routes = Router("/v1/stats", route_handlers=[read_stats], tags=["Statistics"], security=KEYED)
