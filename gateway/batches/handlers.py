"""`/v1/batches`: hand many media over at once, and fetch what has become of them."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from gateway.access.guard import Caller, require
from gateway.access.scopes import HISTORY_READ, HISTORY_WRITE
from gateway.batches.making import Making
from gateway.batches.reading import BatchReading, Handed
from gateway.batches.schemas import BatchName, BatchPage, BatchView, ItemPage, ResultsFormat
from gateway.batches.service import Batches
from gateway.idempotency.handlers import idempotent
from gateway.jobs.schemas import JobStatus, ModelName
from gateway.reference.operations import KEYED, BatchOperation, ExportOperation
from gateway.reference.problems import problems
from gateway.rendering import request_id_of
from gateway.uploads.handlers import require_detecting

Call = Request[Caller, Any, Any]
BatchId = Annotated[UUID, PathParameter(description="Id of the batch.")]
ItemStatus = Annotated[JobStatus | None, QueryParameter(description="Only items in this status.")]

_RESULT_TYPES: Final = {
    ResultsFormat.CSV: "text/csv; charset=utf-8; header=present",
    ResultsFormat.JSONL: "application/jsonl",
}
_PROBLEMS: Final = problems(
    {
        400: "A parameter, the body or the archive is at fault; `errors` names items that are.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope, the account is suspended, or addresses are not fetched here.",
        404: "The account has no such batch, or no such archive.",
        409: "The batch has ended already, or the same idempotency key is being worked under.",
        413: "The body is too large, or there are too many items.",
        415: "The body is of another kind.",
        422: "The idempotency key was used for another call.",
        429: "The batch does not fit into what is left today; nothing was done.",
        503: "The platform cannot take the batch right now; see Retry-After.",
        507: "There is no room for the archive.",
    }
)
_OF_LISTS: Final = {status: _PROBLEMS[status] for status in (400, 401, 403)}
_OF_ONE: Final = {status: _PROBLEMS[status] for status in (401, 403, 404)}


async def receive_batch(request: Call, state: State) -> AsyncGenerator[Handed]:
    """What a call hands over, read before its handler is called."""
    reading: BatchReading = state["batch_reading"]
    async for handed in reading.read(request):
        yield handed


@post(
    "/",
    summary="Hand many media over",
    status_code=202,
    guards=[require(), require_detecting],
    dependencies={"handed": Provide(receive_batch)},
    operation_class=BatchOperation,
    request_max_body_size=None,
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404, 409, 413, 415, 422, 429, 503, 507)},
)
@idempotent
async def create_batch(
    request: Call,
    handed: NamedDependency[Handed],
    batch_making: NamedDependency[Making],
    *,
    name: Annotated[BatchName | None, QueryParameter(description="A name, where the body has no place for it.")] = None,
    model: Annotated[ModelName | None, QueryParameter(description="The same for the model to ask.")] = None,
    store: Annotated[bool | None, QueryParameter(description="The same for whether the media are kept.")] = None,
) -> Response[BatchView]:
    """Have many media judged: a list of uploads and addresses in JSON or as JSON lines, or a zip archive.

    Each item is a job of its own: charged for itself, judged for itself, refunded for itself. What can be seen to be
    at fault refuses the whole batch before anything is done; what turns out later fails an item and no other.
    The answer's `Location` is where the batch is found.
    """
    said = {"name": name, "model": model, "store": store}
    missing = {field: value for field, value in said.items() if getattr(handed.batch, field) is None}
    handed = Handed(batch=msgspec.structs.replace(handed.batch, **missing), archive=handed.archive)
    view = await batch_making.make(request.user, handed, request_id=request_id_of(request.scope))
    return Response(view, status_code=202, headers={"location": f"/v1/batches/{view.id}"})


@get("/", summary="List batches", guards=[require(HISTORY_READ)], responses=_OF_LISTS)
async def list_batches(
    request: Call,
    batches: NamedDependency[Batches],
    *,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> BatchPage:
    """List the account's batches, newest first."""
    return await batches.page(request.user.account_id, cursor=cursor, limit=limit)


@get("/{batch_id:uuid}", summary="Read a batch", guards=[require(HISTORY_READ)], responses=_OF_ONE)
async def read_batch(request: Call, batches: NamedDependency[Batches], batch_id: BatchId) -> BatchView:
    """Read a batch: how far it is, how many items are in which status, and which verdicts there are."""
    return await batches.one(request.user.account_id, batch_id)


@get(
    "/{batch_id:uuid}/items",
    summary="List the items of a batch",
    guards=[require(HISTORY_READ)],
    responses=_OF_ONE | _OF_LISTS,
)
async def list_batch_items(
    request: Call,
    batches: NamedDependency[Batches],
    batch_id: BatchId,
    *,
    status: ItemStatus = None,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> ItemPage:
    """List the items of a batch in their order, each with its verdict or the reason why it has none."""
    return await batches.items(request.user.account_id, batch_id, status=status, cursor=cursor, limit=limit)


@get(
    "/{batch_id:uuid}/results",
    summary="Read the results of a batch",
    guards=[require(HISTORY_READ)],
    operation_class=ExportOperation,
    responses=_OF_ONE | _OF_LISTS,
)
async def read_batch_results(
    request: Call,
    batches: NamedDependency[Batches],
    batch_id: BatchId,
    *,
    status: ItemStatus = None,
    written_as: Annotated[
        ResultsFormat,
        QueryParameter(name="format", description="A JSON document on each line, or a spreadsheet's CSV."),
    ] = ResultsFormat.JSONL,
) -> Stream:
    """Read all items of a batch in their order as a file, whether they have ended or not.

    In CSV, a text that a spreadsheet might run as a formula has an apostrophe in front.
    """
    results = await batches.results(request.user.account_id, batch_id, status=status, written_as=written_as)
    return Stream(
        results,
        headers={"content-disposition": f'attachment; filename="batch-{batch_id}.{written_as}"'},
        media_type=_RESULT_TYPES[written_as],
    )


@post(
    "/{batch_id:uuid}/cancel",
    summary="Cancel a batch",
    status_code=200,
    guards=[require(HISTORY_WRITE)],
    responses=_OF_ONE | {409: _PROBLEMS[409]},
)
async def cancel_batch(request: Call, batches: NamedDependency[Batches], batch_id: BatchId) -> BatchView:
    """Cancel all items of a batch that have not ended, and refund them; those that have stay as they are.

    What is left after two seconds is cancelled afterwards: the batch has `ended_at` once that is done.
    """
    return await batches.cancel(request.user.account_id, batch_id)


batch_routes = Router(
    "/v1/batches",
    route_handlers=[create_batch, list_batches, read_batch, list_batch_items, read_batch_results, cancel_batch],
    security=KEYED,
    tags=["Batches"],
)
