"""`/v1/admin/jobs` and `/v1/admin/queue`: everybody's jobs, and the queue that they wait in."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require_admin
from gateway.admin.handlers import Cursor, Limit, refusals
from gateway.admin.job_schemas import ManagedJobDetail, ManagedJobPage, Pause, Requeued, Requeueing
from gateway.admin.jobs import JobAdministration, JobFilter
from gateway.admin.queue import QueueControl
from gateway.audit.service import actor_of
from gateway.jobs.load import QueueView
from gateway.jobs.schemas import JobClass, JobStatus
from gateway.reference.operations import KEYED

Call = Request[Caller, Any, Any]
JobId = Annotated[UUID, PathParameter(description="Id of the job.")]


@get("/", summary="List everybody's jobs", responses=refusals(400))
async def list_managed_jobs(
    job_administration: NamedDependency[JobAdministration],
    *,
    account_id: Annotated[UUID | None, QueryParameter(description="Of this account.")] = None,
    batch_id: Annotated[UUID | None, QueryParameter(description="Of this batch.")] = None,
    status: Annotated[JobStatus | None, QueryParameter(description="In this status.")] = None,
    priority: Annotated[JobClass | None, QueryParameter(description="Of this class.")] = None,
    dead: Annotated[bool | None, QueryParameter(description="Only dead ones, or only others.")] = None,
    error_code: Annotated[
        str | None, QueryParameter(pattern=r"^[a-z0-9_]{1,64}$", description="With this code of their last error.")
    ] = None,
    created_before: Annotated[
        datetime | None, QueryParameter(description="Handed over before this moment; UTC where no offset is given.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> ManagedJobPage:
    """List jobs of all accounts, newest first."""
    if created_before is not None and created_before.tzinfo is None:
        created_before = created_before.replace(tzinfo=UTC)
    wanted = JobFilter(
        account_id=account_id,
        batch_id=batch_id,
        status=status,
        priority=priority,
        dead=dead,
        error_code=error_code,
        created_before=created_before,
    )
    return await job_administration.page(wanted, cursor=cursor, limit=limit)


@get("/{job_id:uuid}", summary="Read anybody's job", responses=refusals(404))
async def read_managed_job(job_administration: NamedDependency[JobAdministration], job_id: JobId) -> ManagedJobDetail:
    """Read a job with its attempts, its lease, its worker, and what happened to it."""
    return await job_administration.one(job_id)


@post("/{job_id:uuid}/retry", summary="Try a job again", status_code=200, responses=refusals(404, 409, 410))
async def retry_job(
    request: Call, job_administration: NamedDependency[JobAdministration], job_id: JobId
) -> ManagedJobDetail:
    """Queue a job again that failed or was cancelled. It is charged as if it had been handed over now.

    It keeps its detection, so that its history has one row. Refused where its medium is gone (`medium_gone`), where its
    owner has deleted the detection, may not have it judged now, or has used the limits of today.
    """
    return await job_administration.retry(job_id, actor=actor_of(request))


@post("/{job_id:uuid}/cancel", summary="Cancel anybody's job", status_code=200, responses=refusals(404, 409))
async def cancel_managed_job(
    request: Call, job_administration: NamedDependency[JobAdministration], job_id: JobId
) -> ManagedJobDetail:
    """Cancel a job that has not ended, and refund it. A worker that has it stops within two seconds."""
    return await job_administration.cancel(job_id, actor=actor_of(request))


@post("/requeue-dead", summary="Try dead jobs again", status_code=200, responses=refusals(400))
async def requeue_dead_jobs(
    request: Call, data: Annotated[Requeueing, Body()], job_administration: NamedDependency[JobAdministration]
) -> Requeued:
    """Queue dead jobs again, the newest first, at most `limit` at once; `next_cursor` says where to go on.

    Those that cannot be tried again stay dead, and are named with the code of why.
    """
    return await job_administration.requeue_dead(data, actor=actor_of(request))


@get("/", summary="Read the queue", responses=refusals())
async def read_queue(queue_control: NamedDependency[QueueControl]) -> QueueView:
    """Read how many jobs wait in each class and for how long, how many run or are dead, and whether it is paused."""
    return await queue_control.state()


@post("/pause", summary="Pause the queue", status_code=200, responses=refusals(400))
async def pause_queue(
    request: Call, data: Annotated[Pause, Body()], queue_control: NamedDependency[QueueControl]
) -> QueueView:
    """Let no job begin, from now on. What runs goes on, and new jobs are accepted."""
    return await queue_control.pause(data.reason, actor=actor_of(request))


@post("/resume", summary="Resume the queue", status_code=200, responses=refusals())
async def resume_queue(request: Call, queue_control: NamedDependency[QueueControl]) -> QueueView:
    """Let jobs begin again."""
    return await queue_control.resume(actor=actor_of(request))


managed_job_routes = Router(
    "/v1/admin/jobs",
    route_handlers=[list_managed_jobs, read_managed_job, retry_job, cancel_managed_job, requeue_dead_jobs],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
queue_routes = Router(
    "/v1/admin/queue",
    route_handlers=[read_queue, pause_queue, resume_queue],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
