"""`/v1/jobs`: hand a medium over, and see what has become of it."""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from gateway.access.guard import Caller, require
from gateway.access.scopes import HISTORY_READ, HISTORY_WRITE
from gateway.idempotency.handlers import idempotent
from gateway.jobs.reception import JobReception
from gateway.jobs.schemas import JobPage, JobStatus, JobView
from gateway.jobs.service import Jobs
from gateway.reference.operations import KEYED, JobOperation
from gateway.reference.problems import problems
from gateway.uploads.handlers import require_detecting

Call = Request[Caller, Any, Any]
JobId = Annotated[UUID, PathParameter(description="Id of the job.")]

_PROBLEMS: Final = problems(
    {
        400: "A parameter or the body is at fault.",
        401: "No valid API key or access token.",
        403: "The key lacks the scope, the account is suspended, or addresses are not fetched here.",
        404: "The account has no such job or upload.",
        409: "The job has ended already, or the same idempotency key is being worked under.",
        413: "The file is too large.",
        415: "The file is of another kind.",
        422: "The idempotency key was used for another call.",
        429: "A limit is used up; see Retry-After.",
        503: "The platform cannot take the job right now; see Retry-After.",
        507: "There is no room for the file.",
    }
)


def location_of(job_id: UUID) -> str:
    """Where a job is found."""
    return f"/v1/jobs/{job_id}"


@post(
    "/",
    summary="Hand a medium over",
    status_code=202,
    guards=[require(), require_detecting],
    operation_class=JobOperation,
    request_max_body_size=None,
    responses={status: _PROBLEMS[status] for status in (400, 401, 403, 404, 409, 413, 415, 422, 429, 503, 507)},
)
async def create_job(
    request: Call, job_reception: NamedDependency[JobReception], jobs: NamedDependency[Jobs]
) -> Response[JobView]:
    """Have a medium judged later: a file in a form, an upload that is complete, or an address.

    One detection is charged when the job is accepted, and refunded when it fails or is cancelled. The answer's
    `Location` is where the job is found.
    """
    accepted = await job_reception.receive(request)
    view = await jobs.one(accepted.account_id, accepted.job_id)
    return Response(view, status_code=202, headers={"location": location_of(accepted.job_id)})


@get(
    "/",
    summary="List jobs",
    guards=[require(HISTORY_READ)],
    responses={status: _PROBLEMS[status] for status in (400, 401, 403)},
)
async def list_jobs(
    request: Call,
    jobs: NamedDependency[Jobs],
    *,
    status: Annotated[JobStatus | None, QueryParameter(description="In this status.")] = None,
    batch_id: Annotated[UUID | None, QueryParameter(description="Of this batch.")] = None,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Most entries on the page.")] = 20,
) -> JobPage:
    """List the account's jobs, newest first. Ended ones are forgotten after some days; their detections are not."""
    return await jobs.page(request.user.account_id, status=status, batch_id=batch_id, cursor=cursor, limit=limit)


@get(
    "/{job_id:uuid}",
    summary="Read a job",
    guards=[require(HISTORY_READ)],
    responses={status: _PROBLEMS[status] for status in (401, 403, 404)},
)
async def read_job(request: Call, jobs: NamedDependency[Jobs], job_id: JobId) -> JobView:
    """Read a job: its status, its place in the queue, how far it is, and its verdict once it has one."""
    return await jobs.one(request.user.account_id, job_id)


@post(
    "/{job_id:uuid}/cancel",
    summary="Cancel a job",
    status_code=200,
    guards=[require(HISTORY_WRITE)],
    responses={status: _PROBLEMS[status] for status in (401, 403, 404, 409)},
)
@idempotent
async def cancel_job(request: Call, jobs: NamedDependency[Jobs], job_id: JobId) -> JobView:
    """Cancel a job that has not ended and refund it; work on it stops within two seconds."""
    return await jobs.cancel(request.user.account_id, job_id)


job_routes = Router(
    "/v1/jobs",
    route_handlers=[create_job, list_jobs, read_job, cancel_job],
    security=KEYED,
    tags=["Jobs"],
)
