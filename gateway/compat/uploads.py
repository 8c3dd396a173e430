"""Contract C, the upload-and-job API, as its clients know it. Its `/health` paths are served by `gateway.health`.

A client asks for a signed address, sends its file there, and hands over the path that it was told: then it has a job,
under an id that `/v1/jobs` knows, too.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Body
from litestar.router import Router

from gateway.access.guard import Caller, require
from gateway.access.scopes import ACCOUNT
from gateway.accounts.identities import Identities
from gateway.compat.refusals import READING, refusals
from gateway.detections.forms import clean_filename
from gateway.errors import NotFoundError, UnknownFileError
from gateway.idempotency.handlers import idempotent
from gateway.jobs.reception import JobReception
from gateway.reference.operations import KEYED
from gateway.storage.shelf import as_ready
from gateway.uploads.completion import Completion
from gateway.uploads.handlers import require_detecting
from gateway.uploads.service import URL_LIFE_S, Uploads

_BUCKET: Final = "videos"
_LONGEST_LIFE_S: Final = 86_400
_ANNOUNCING: Final = refusals(400, 401, 403, 429, 503, 507)
_HANDING_OVER: Final = refusals(400, 401, 403, 413, 429, 503, 507)

_Filename = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class SignedUrlOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is to be sent; the address is good for `expires_in` seconds."""

    filename: _Filename
    expires_in: Annotated[int, msgspec.Meta(ge=1, le=_LONGEST_LIFE_S)] = URL_LIFE_S


class SignedUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Where the file is sent with PUT, and the path by which it is handed over then."""

    signed_url: str
    bucket: str
    expires_in: int
    file_path: str


class JobOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that was sent, and the name that it had."""

    original_filename: _Filename
    file_path: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class PendingJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was accepted."""

    job_id: UUID
    status: Literal["pending"] = "pending"
    original_filename: str
    upload_timestamp: datetime


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is; `email` is the account's own, else that that an outside issuer has verified, else null."""

    id: UUID
    email: str | None
    authenticated: Literal[True] = True


@get("/me", summary="Read whose token it is", guards=[require(ACCOUNT)], security=KEYED, responses=READING)
async def read_me(request: Request[Caller, Any, Any], identities: NamedDependency[Identities]) -> Identity:
    """Read the account behind the token, of ours or of an outside issuer."""
    email = request.user.email
    if email is None:
        known = await identities.of_account(request.user.account_id)
        email = next((one.email for one in known if one.email_verified), None)
    return Identity(id=request.user.account_id, email=email)


@post(
    "/signed-url",
    summary="Get an address to send a file to",
    status_code=200,
    guards=[require(), require_detecting],
    security=KEYED,
    responses=_ANNOUNCING,
)
@idempotent
async def sign_url(
    request: Request[Caller, Any, Any], data: Annotated[SignedUrlOrder, Body()], uploads: NamedDependency[Uploads]
) -> SignedUrl:
    """Get an address to which a file of any size that is taken is sent with PUT; nothing else is needed there."""
    caller = request.user
    view = await uploads.announce_unsized(caller.account_id, caller.key_id, data.filename, life_s=data.expires_in)
    return SignedUrl(signed_url=view.url or "", bucket=_BUCKET, expires_in=data.expires_in, file_path=view.file_path)


@post(
    "/init-job",
    summary="Have a file judged that was sent",
    status_code=200,
    guards=[require(), require_detecting],
    security=KEYED,
    responses=_HANDING_OVER,
)
async def begin_job(
    request: Request[Caller, Any, Any],
    data: Annotated[JobOrder, Body()],
    uploads: NamedDependency[Uploads],
    completion: NamedDependency[Completion],
    job_reception: NamedDependency[JobReception],
) -> PendingJob:
    """Hand over a file that was sent. Asked again, it is the same job; one detection is charged.

    Once a file is gone that was judged, the time in the answer is that at which it was handed over.
    """
    account_id = request.user.account_id
    filename = clean_filename(data.original_filename)
    try:
        row = await completion.complete(account_id, await uploads.id_of(account_id, data.file_path))
    except NotFoundError as error:
        before = await job_reception.replay_upload(request, path=data.file_path, filename=filename)
        if before is None or before.created_at is None:
            raise UnknownFileError from error
        return PendingJob(job_id=before.job_id, original_filename=filename, upload_timestamp=before.created_at)
    accepted = await job_reception.accept_upload(
        request, as_ready(row), path=data.file_path, filename=filename, channel="job"
    )
    return PendingJob(job_id=accepted.job_id, original_filename=filename, upload_timestamp=row.completed_at)


identity_routes = Router("/auth", route_handlers=[read_me], tags=["Uploads and jobs"])
sending_routes = Router("/uploads", route_handlers=[sign_url, begin_job], tags=["Uploads and jobs"])
upload_routes = Router("/", route_handlers=[identity_routes, sending_routes])
