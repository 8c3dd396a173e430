"""The jobs of everybody as admins see them: found, looked into, tried again, cancelled."""

from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.admin.job_schemas import (
    ManagedJob,
    ManagedJobDetail,
    ManagedJobEvent,
    ManagedJobPage,
    NotRequeued,
    Requeued,
    Requeueing,
)
from gateway.audit.service import Act, Actor, record
from gateway.db.paging import first_identifier, read_cursor, write_cursor
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, GatewayError, MediumGoneError, NotFoundError
from gateway.jobs.ending import Endings
from gateway.jobs.rows import JOB_COLUMNS, JOBS, read_job
from gateway.jobs.schemas import JobClass, JobStatus

_OURS: Final[LiteralString] = (
    "j.account_id, j.key_id, j.model, j.request_id, j.failures, j.losses, j.worker, j.lease_until"
)
_SELECT: Final[LiteralString] = f"SELECT {JOB_COLUMNS}, {_OURS} FROM {JOBS}"  # noqa: S608 - Constants.
_CONDITIONS: Final[dict[str, LiteralString]] = {
    "before": "j.id < :before",
    "older": "j.id < :older",
    "account_id": "j.account_id = :account_id",
    "batch_id": "j.batch_id = :batch_id",
    "status": "j.status = :status",
    "priority": "j.class = :priority",
    "error_code": "j.error_code = :error_code",
}
_ONE: Final = text(f"{_SELECT} WHERE j.id = :id")
_EVENTS: Final = text("""
    SELECT e.place, e.kind, e.at, e.data FROM job_events e WHERE e.job_id = :id ORDER BY e.place DESC LIMIT 100
""")
_LOCK: Final = text("SELECT status, dead, error_code FROM jobs WHERE id = :id FOR NO KEY UPDATE")
_REVIVE: Final = text("SELECT revive_job(:id)")
_REVIVE_DEAD: Final = text("SELECT job_id, outcome FROM revive_dead_jobs(:account_id, :code, :before, :most)")
_CANCEL: Final = text("SELECT cancel_job(:id, 'The job was cancelled by an admin. Nothing was charged.')")

REVIVED: Final = "revived"


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list; null: any. `created_before` has an offset."""

    account_id: UUID | None = None
    batch_id: UUID | None = None
    status: JobStatus | None = None
    priority: JobClass | None = None
    dead: bool | None = None
    error_code: str | None = None
    created_before: datetime | None = None


class JobAdministration:
    """What admins can do with jobs."""

    def __init__(self, engine: AsyncEngine, endings: Endings) -> None:
        self._engine = engine
        self._endings = endings

    async def page(self, wanted: JobFilter, *, cursor: str | None, limit: int) -> ManagedJobPage:
        """Up to `limit` jobs, newest first, from a cursor on. Raises InvalidCursorError."""
        values: dict[str, Any] = {
            "before": read_cursor(cursor) if cursor else None,
            "older": first_identifier(wanted.created_before) if wanted.created_before else None,
            **{name: getattr(wanted, name) for name in ("account_id", "batch_id", "status", "priority", "error_code")},
        }
        given = {name: value for name, value in values.items() if value is not None}
        conditions: list[LiteralString] = [_CONDITIONS[name] for name in given]
        if wanted.dead is not None:
            # Said as the index on dead jobs says it.
            conditions.append("j.dead" if wanted.dead else "NOT j.dead")
        # Only what is asked for is in the query, so that the index of that is used.
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = text(f"{_SELECT} {where} ORDER BY j.id DESC LIMIT :limit")
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query, {**given, "limit": limit + 1})).all()
        data = tuple(ManagedJob(**_fields(row)) for row in rows[:limit])
        return ManagedJobPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, job_id: UUID) -> ManagedJobDetail:
        """A job and what happened to it. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_ONE, {"id": job_id})).one_or_none()
            if row is None:
                raise _unknown()
            events = (await connection.execute(_EVENTS, {"id": job_id})).all()
        told = tuple(ManagedJobEvent(place=one[0], kind=one[1], at=one[2], data=one[3]) for one in reversed(events))
        return ManagedJobDetail(**_fields(row), events=told)

    async def retry(self, job_id: UUID, *, actor: Actor) -> ManagedJobDetail:
        """Queue a job again that failed or was cancelled; it is charged as if it had been handed over now.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: It has not ended, or succeeded; its medium is gone; its owner may not or has used its limits.
        """
        async with transaction(self._engine) as connection:
            before = await _lock(connection, job_id)
            outcome: str = (await connection.execute(_REVIVE, {"id": job_id})).scalar_one()
            if outcome != REVIVED:
                raise refusal_of(outcome)
            await record(connection, Act(actor, "job.retry", "job", str(job_id), before, {"status": "queued"}))
        return await self.one(job_id)

    async def cancel(self, job_id: UUID, *, actor: Actor) -> ManagedJobDetail:
        """Cancel a job that has not ended, and refund it; a worker that has it stops within two seconds.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: It has ended already, and not by being cancelled.
        """
        async with transaction(self._engine) as connection:
            before = await _lock(connection, job_id)
            if before["status"] != "cancelled":
                if not (await connection.execute(_CANCEL, {"id": job_id})).scalar_one():
                    raise ConflictError("The job has ended already.", code="job_ended")
                await self._endings.after(connection, job_id)
                await record(connection, Act(actor, "job.cancel", "job", str(job_id), before, {"status": "cancelled"}))
        return await self.one(job_id)

    async def requeue_dead(self, wanted: Requeueing, *, actor: Actor) -> Requeued:
        """Queue dead jobs again, the newest first, up to a number; those that cannot be stay dead.

        Raises:
            InvalidCursorError: The cursor is none of this.
        """
        parameters = {
            "account_id": wanted.account_id,
            "code": wanted.error_code,
            "before": read_cursor(wanted.cursor) if wanted.cursor else None,
            "most": wanted.limit,
        }
        async with transaction(self._engine) as connection:
            outcomes = {row[0]: row[1] for row in await connection.execute(_REVIVE_DEAD, parameters)}
            refused = tuple(
                NotRequeued(job_id=job_id, code=refusal_of(outcome).code)
                for job_id, outcome in outcomes.items()
                if outcome != REVIVED
            )
            requeued = len(outcomes) - len(refused)
            if requeued:
                after = {"requeued": requeued, "account_id": wanted.account_id, "error_code": wanted.error_code}
                await record(connection, Act(actor, "job.requeue_dead", "job", None, after=after))
        # Uuids of version 7 are ordered by their time; the last that was looked at is the oldest.
        following = write_cursor(min(outcomes)) if len(outcomes) == wanted.limit else None
        return Requeued(requeued=requeued, refused=refused, next_cursor=following)


def refusal_of(outcome: str) -> GatewayError:
    """What the function `revive_job` says in our words."""
    refusals: dict[str, GatewayError] = {
        "gone": _unknown(),
        "open": ConflictError("The job has not ended yet.", code="job_not_ended"),
        "succeeded": ConflictError("The job has its verdict.", code="job_succeeded"),
        "deleted": ConflictError("The owner has deleted the detection of this job.", code="detection_deleted"),
        "medium_gone": MediumGoneError(),
        **dict.fromkeys(
            ("daily", "bytes", "key_daily", "key_bytes"),
            ConflictError("The owner of this job has used up a limit for today.", code="owner_over_limit"),
        ),
    }
    return refusals.get(outcome) or ConflictError(
        f"The owner of this job, or its key, may not have it judged now: {outcome}.", code="owner_not_allowed"
    )


async def _lock(connection: AsyncConnection, job_id: UUID) -> dict[str, Any]:
    row = (await connection.execute(_LOCK, {"id": job_id})).mappings().one_or_none()
    if row is None:
        raise _unknown()
    return dict(row)


def _fields(row: Any) -> dict[str, Any]:
    """The fields of a row of `_SELECT`."""
    account_id, key_id, model, request_id, failures, losses, worker, lease_until = row[-8:]
    return msgspec.structs.asdict(read_job(row)) | {
        "account_id": account_id,
        "key_id": key_id,
        "model": model,
        "request_id": request_id,
        "failures": failures,
        "losses": losses,
        "worker": worker,
        "lease_until": lease_until,
    }


def _unknown() -> NotFoundError:
    return NotFoundError("There is no such job.")
