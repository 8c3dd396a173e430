"""`client.admin.jobs` and `client.admin.queue`: everybody's jobs, and the queue that they wait in."""

from datetime import datetime
from uuid import UUID

from bonafide_client.answers import reader_of
from bonafide_client.calls import Call, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.admin_jobs import ManagedJob, ManagedJobDetail, QueueState, Requeued
from bonafide_client.schemas.jobs import JobPriority, JobStatus

_READ_JOB = reader_of(ManagedJobDetail)
_READ_JOBS = reader_of(Page[ManagedJob])
_READ_REQUEUED = reader_of(Requeued)
_READ_QUEUE = reader_of(QueueState)


class ManagedJobs(Resource[D]):
    """Jobs of all accounts."""

    @Listing
    def list(
        self,
        *,
        account_id: UUID | str | None = None,
        batch_id: UUID | str | None = None,
        status: JobStatus | None = None,
        priority: JobPriority | None = None,
        dead: bool | None = None,
        error_code: str | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[ManagedJob]:
        """List jobs, newest first. `dead` ones failed for good although another try might succeed."""
        query = query_of(
            {
                "account_id": account_id,
                "batch_id": batch_id,
                "status": status,
                "priority": priority,
                "dead": dead,
                "error_code": error_code,
                "created_before": created_before,
                "limit": limit,
            }
        )
        return PageCall(path=path_of("admin", "jobs"), read=_READ_JOBS, query=query, cursor=cursor)

    @Operation
    def retrieve(self, job_id: UUID | str) -> Call[ManagedJobDetail]:
        """Read a job with its attempts, its lease, its worker, and what happened to it."""
        return Call(method="GET", path=path_of("admin", "jobs", job_id), read=_READ_JOB)

    @Operation
    def retry(self, job_id: UUID | str) -> Call[ManagedJobDetail]:
        """Queue a job again that failed or was cancelled; it is charged as if it had been handed over now."""
        path = path_of("admin", "jobs", job_id, "retry")
        return Call(method="POST", path=path, read=_READ_JOB, repeatable=False)

    @Operation
    def cancel(self, job_id: UUID | str) -> Call[ManagedJobDetail]:
        """Cancel a job that has not ended, and refund it."""
        return Call(method="POST", path=path_of("admin", "jobs", job_id, "cancel"), read=_READ_JOB)

    @Operation
    def requeue_dead(
        self,
        *,
        account_id: UUID | str | None = None,
        error_code: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Call[Requeued]:
        """Queue dead jobs again, the newest first, at most `limit` (500) at once; `next_cursor` says where to go on."""
        wanted = {
            "account_id": None if account_id is None else str(account_id),
            "error_code": error_code,
            "limit": limit,
            "cursor": cursor,
        }
        path = path_of("admin", "jobs", "requeue-dead")
        return Call(method="POST", path=path, read=_READ_REQUEUED, json=wanted, repeatable=False)


class Queue(Resource[D]):
    """The queue of jobs as a whole."""

    @Operation
    def retrieve(self) -> Call[QueueState]:
        """Read how many jobs wait in each class and for how long, how many run, and whether the queue is paused."""
        return Call(method="GET", path=path_of("admin", "queue"), read=_READ_QUEUE)

    @Operation
    def pause(self, reason: str) -> Call[QueueState]:
        """Let no job begin; what runs goes on, and new jobs are accepted. `reason` is a line that admins read."""
        return Call(method="POST", path=path_of("admin", "queue", "pause"), read=_READ_QUEUE, json={"reason": reason})

    @Operation
    def resume(self) -> Call[QueueState]:
        """Let jobs begin again."""
        return Call(method="POST", path=path_of("admin", "queue", "resume"), read=_READ_QUEUE)
