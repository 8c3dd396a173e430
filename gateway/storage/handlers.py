"""`/v1/storage`: what an account keeps, for how long, how to get it back, and how to be rid of it."""

from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter
from litestar.response import Stream

from bentos.contract import Modality
from gateway.access.guard import Caller, require
from gateway.access.scopes import MEDIA_READ, MEDIA_WRITE
from gateway.audit.service import actor_of
from gateway.idempotency.handlers import idempotent
from gateway.reference.operations import KEYED, DownloadOperation
from gateway.reference.problems import problems
from gateway.storage.schemas import Clearance, Cleared, MediumPage, MediumView, ProofPage, StorageChange, StorageReport
from gateway.storage.service import Storage

MediumId = Annotated[UUID, PathParameter(description="Id of the medium.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")]
Call = Request[Caller, Any, Any]

_SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
_ANY_TYPE: Final = "application/octet-stream"
_CHANGE: Final = Example(summary="Keep for a month", value={"keeps_media": True, "retention_days": 30})
_CLEAR: Final = Example(summary="Delete what is older than a quarter", value={"older_than_days": 90})
_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope `media:read` or `media:write`, or the account is suspended.",
        404: "The account has no such medium.",
        409: "A job that has not ended needs the medium.",
        410: "The file is missing in the object store.",
        503: "The object store or the database does not answer; see Retry-After.",
    }
)


def _refusals(*statuses: int) -> dict[int, ResponseSpec]:
    return {status: _PROBLEMS[status] for status in (401, 403, *statuses)}


@get("/", summary="Read the storage", guards=[require(MEDIA_READ)], responses=_refusals())
async def read_storage(request: Call, storage: NamedDependency[Storage]) -> StorageReport:
    """Read how much of its allowance the account uses, what takes up most of it, and for how long media are kept."""
    return await storage.report(request.user.account_id)


@patch("/", summary="Change the storage", guards=[require(MEDIA_WRITE)], responses=_refusals(400))
async def change_storage(
    request: Call, data: Annotated[StorageChange, Body(examples=[_CHANGE])], storage: NamedDependency[Storage]
) -> StorageReport:
    """Say whether media are kept where a request says nothing, and for how many days: those there already, too."""
    await storage.change(request.user.account_id, data, actor=actor_of(request))
    return await storage.report(request.user.account_id)


@get("/media", summary="List media", guards=[require(MEDIA_READ)], responses=_refusals(400))
async def list_media(
    request: Call,
    storage: NamedDependency[Storage],
    *,
    kept: Annotated[bool | None, QueryParameter(description="Only those that are kept, or only the others.")] = None,
    modality: Annotated[Modality | None, QueryParameter(description="Of this modality.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> MediumPage:
    """List the account's media, newest first."""
    return await storage.page(request.user.account_id, kept=kept, modality=modality, cursor=cursor, limit=limit)


@get("/media/{medium_id:uuid}", summary="Read a medium", guards=[require(MEDIA_READ)], responses=_refusals(404))
async def read_medium(request: Call, storage: NamedDependency[Storage], medium_id: MediumId) -> MediumView:
    """Read what is known of one of the account's media."""
    return await storage.one(request.user.account_id, medium_id)


@get(
    "/media/{medium_id:uuid}/content",
    summary="Download a medium",
    operation_class=DownloadOperation,
    guards=[require(MEDIA_READ)],
    responses=_refusals(404, 410, 503),
)
async def download_medium(request: Call, storage: NamedDependency[Storage], medium_id: MediumId) -> Stream:
    """Download one of the account's media, byte for byte as it came. No browser shows it or runs anything in it."""
    content = await storage.content(request.user.account_id, medium_id)
    medium = content.medium
    return Stream(
        content.pieces,
        headers={
            "content-disposition": f"attachment; filename*=UTF-8''{quote(medium.filename, safe='')}",
            "content-length": str(medium.size_bytes),
            "content-security-policy": _SANDBOX,
        },
        media_type=medium.media_type or _ANY_TYPE,
    )


@delete(
    "/media/{medium_id:uuid}",
    summary="Delete a medium",
    guards=[require(MEDIA_WRITE)],
    responses=_refusals(404, 409),
)
async def delete_medium(request: Call, storage: NamedDependency[Storage], medium_id: MediumId) -> None:
    """Delete one of the account's media, at once and for good, with what was derived from it. Its verdict stays."""
    await storage.delete(request.user.account_id, medium_id)


@post("/clear", summary="Delete many media", status_code=200, guards=[require(MEDIA_WRITE)], responses=_refusals(400))
@idempotent
async def clear_storage(
    request: Call, data: Annotated[Clearance, Body(examples=[_CLEAR])], storage: NamedDependency[Storage]
) -> Cleared:
    """Delete all kept media, or those that are old enough, at once and for good. Their verdicts stay."""
    return await storage.clear(request.user.account_id, data, actor=actor_of(request))


@get("/proofs", summary="List proofs of deletion", guards=[require(MEDIA_READ)], responses=_refusals(400))
async def list_proofs(
    request: Call, storage: NamedDependency[Storage], cursor: Cursor = None, limit: Limit = 20
) -> ProofPage:
    """List what is gone: its digest, its size, why and when; nothing else of it is left."""
    return await storage.proofs(request.user.account_id, cursor=cursor, limit=limit)


storage_routes = Router(
    "/v1/storage",
    route_handlers=[
        read_storage,
        change_storage,
        list_media,
        read_medium,
        download_medium,
        delete_medium,
        clear_storage,
        list_proofs,
    ],
    security=KEYED,
    tags=["Storage"],
)
