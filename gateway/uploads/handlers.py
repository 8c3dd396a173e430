"""`/v1/uploads`: announce a file, send it to where it is told, in one piece or in parts, and complete it."""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, delete, get, post, put
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import DETECT, allows
from gateway.detections.forms import RequestBody
from gateway.errors import MissingScopeError
from gateway.idempotency.handlers import idempotent
from gateway.reference.operations import KEYED, BytesOperation, OptionalBodyOperation
from gateway.reference.problems import problems
from gateway.uploads.addresses import ROUTE
from gateway.uploads.completion import Completion as Completing
from gateway.uploads.receiving import Receiving
from gateway.uploads.schemas import Completion, NewUpload, SentView, UploadPage, UploadStatus, UploadView
from gateway.uploads.service import Uploads

Call = Request[Caller, Any, Any]
UploadId = Annotated[UUID, PathParameter(description="Id of the upload.")]

_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault, or the file is not what was announced.",
        401: "No valid API key or access token.",
        403: "The key may not have files judged, or the account is suspended.",
        404: "The account has no such upload.",
        409: "The upload is complete already, or not all of it is there.",
        413: "The file is larger than is allowed.",
        415: "The file is of no kind that is taken.",
        429: "Too many uploads are not complete.",
        503: "The platform cannot do it right now; see Retry-After.",
        507: "There is no room for the file.",
    }
)
_OF_BYTES: Final = problems(
    {
        400: "There are more or fewer bytes than were announced.",
        403: "The address was not signed here, was changed, or its time is over.",
        404: "The upload was given up, or files are not sent here.",
        408: "The bytes did not arrive in time.",
        409: "These bytes are here already, or the upload is complete.",
        411: "Content-Length is missing.",
        413: "There are more bytes than were announced or are allowed.",
        503: "The platform cannot take it right now; see Retry-After.",
        507: "There is no room for the file.",
    }
)
_NEW: Final = Example(
    summary="A video in one piece",
    value={"filename": "interview.mp4", "size_bytes": 48_210_333, "media_type": "video/mp4"},
)


async def require_detecting(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let only those pass, after `require`, who may have a file of some kind judged. Raises MissingScopeError."""
    caller: Caller = connection.user
    if not any(allows(caller.scopes, scope) for scope in DETECT.values()):
        raise MissingScopeError("This key may not have files judged.")


@post(
    "/",
    summary="Announce an upload",
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 413, 429, 503, 507)},
)
@idempotent
async def create_upload(
    request: Call, data: Annotated[NewUpload, Body(examples=[_NEW])], uploads: NamedDependency[Uploads]
) -> Response[UploadView]:
    """Announce a file, and learn where to send it: in one piece, or in parts that can be sent again each for itself."""
    view = await uploads.announce(request.user.account_id, request.user.key_id, data)
    return Response(view, status_code=201, headers={"location": f"/v1/uploads/{view.id}"})


@get("/", summary="List uploads", responses={status: _PROBLEMS[status] for status in (400, 401, 403)})
async def list_uploads(
    request: Call,
    uploads: NamedDependency[Uploads],
    *,
    status: Annotated[UploadStatus | None, QueryParameter(description="In this status.")] = None,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> UploadPage:
    """List the account's uploads, newest first."""
    return await uploads.page(request.user.account_id, cursor=cursor, limit=limit, status=status)


@get("/{upload_id:uuid}", summary="Read an upload", responses={one: _PROBLEMS[one] for one in (401, 403, 404)})
async def read_upload(request: Call, uploads: NamedDependency[Uploads], upload_id: UploadId) -> UploadView:
    """Read an upload: which parts are here, and new addresses for what is missing. So an upload is resumed."""
    return await uploads.one(request.user.account_id, upload_id)


@post(
    "/{upload_id:uuid}/complete",
    summary="Complete an upload",
    status_code=200,
    operation_class=OptionalBodyOperation,
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404, 409, 413, 415, 503, 507)},
)
async def complete_upload(
    request: Call,
    upload_id: UploadId,
    uploads: NamedDependency[Uploads],
    completion: NamedDependency[Completing],
    data: Annotated[Completion | None, Body()] = None,
) -> UploadView:
    """Have what was sent checked against what was announced, its size and its SHA-256, and its kind recognised.

    Done again, it answers the same. An upload that is refused stays open.
    """
    digest = bytes.fromhex(data.sha256) if data is not None and data.sha256 else None
    row = await completion.complete(request.user.account_id, upload_id, digest)
    return await uploads.view(row)


@delete(
    "/{upload_id:uuid}",
    summary="Give up an upload",
    status_code=204,
    responses={status: _PROBLEMS[status] for status in (401, 403, 404, 409)},
)
async def delete_upload(request: Call, uploads: NamedDependency[Uploads], upload_id: UploadId) -> None:
    """Give up an upload that is not complete; what was sent of it is removed."""
    await uploads.abort(request.user.account_id, upload_id)


@put(
    f"{ROUTE}/{{place:path}}",
    summary="Send a file to a signed address",
    status_code=200,
    operation_class=BytesOperation,
    request_max_body_size=None,
    responses=_OF_BYTES,
    tags=["Uploads"],
)
async def receive_bytes(
    request: Request[Any, Any, Any],
    receiving: NamedDependency[Receiving],
    place: Annotated[str, PathParameter(description="Which upload and part it is, as the address says.")],
    *,
    size: Annotated[int, QueryParameter(ge=0, description="As the address says.")] = 0,
    expires: Annotated[int, QueryParameter(ge=0, description="As the address says.")] = 0,
    signature: Annotated[str, QueryParameter(max_length=128, description="As the address says.")] = "",
) -> SentView:
    """Send a file, or a part of it, to an address that an upload was answered with. No other credential is needed.

    Where the object store is a bucket, addresses lead there instead. What breaks off leaves nothing and may be sent
    again; what is here is not overwritten.
    """
    written = await receiving.receive(
        RequestBody(request.receive),
        place,
        size=size,
        expires=expires,
        signature=signature,
        content_length=request.content_length,
    )
    return SentView(size=written)


signed_upload_routes = Router(
    "/v1/uploads",
    route_handlers=[create_upload, list_uploads, read_upload, complete_upload, delete_upload],
    guards=[require(), require_detecting],
    security=KEYED,
    tags=["Uploads"],
)
