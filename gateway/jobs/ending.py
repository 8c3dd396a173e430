"""What follows from the end of a job, in the transaction in which it ends: its batch, its medium, who is told."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.jobs.rows import JOB_COLUMNS, JOBS, read_job
from gateway.jobs.schemas import ENDED
from gateway.webhooks.outbox import tell

_JOB: Final = text(f"SELECT j.account_id, {JOB_COLUMNS} FROM {JOBS} WHERE j.id = :id")  # noqa: S608 - Constants.
_LET_GO: Final = text("""
    UPDATE media SET expires_at = least(expires_at, now()) WHERE id = :medium AND NOT kept AND state = 'ready'
""")
_END_BATCH: Final = text("SELECT end_batch(:batch)")
_BATCH: Final = text("""
    SELECT b.id, b.name, b.total, b.created_at, b.ended_at, b.status, count(j.id) FILTER (WHERE j.status = 'succeeded'),
        count(j.id) FILTER (WHERE j.status = 'failed')
            + (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.error_code IS NOT NULL),
        count(j.id) FILTER (WHERE j.status = 'cancelled')
    FROM batches b LEFT JOIN jobs j ON j.batch_id = b.id WHERE b.id = :batch GROUP BY b.id
""")


class BatchEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A batch whose items have all ended, as it is told."""

    id: UUID
    name: str | None
    status: str
    total: int
    succeeded: int
    failed: int
    cancelled: int
    created_at: datetime
    ended_at: datetime


class Endings:
    """Does what has to be done when a job ends."""

    async def after(self, connection: AsyncConnection, job_id: UUID) -> None:
        """Follow up a job that has ended in this transaction; called once for each job, since a job ends once."""
        row = (await connection.execute(_JOB, {"id": job_id})).one()
        account_id: UUID = row[0]
        job = read_job(row[1:])
        if job.status not in ENDED:
            raise ValueError("the job has not ended")
        # A failed job may be tried again by an admin as long as its medium is there.
        if job.upload_id is not None and job.status != "failed":
            await connection.execute(_LET_GO, {"medium": job.upload_id})
        event = f"job.{job.status}"
        await tell(connection, account_id=account_id, event=event, subject_id=job.id, body=message_body(event, job))
        if job.batch_id is not None:
            await self.batch_after(connection, account_id, job.batch_id)

    async def batch_after(self, connection: AsyncConnection, account_id: UUID, batch_id: UUID) -> None:
        """End a batch and tell of it where its last job has ended in this transaction."""
        if (await connection.execute(_END_BATCH, {"batch": batch_id})).scalar_one():
            await self.tell_batch(connection, account_id, batch_id)

    async def tell_batch(self, connection: AsyncConnection, account_id: UUID, batch_id: UUID) -> None:
        """Tell of a batch that has ended in this transaction. What did not become a job failed, or was cancelled."""
        row = (await connection.execute(_BATCH, {"batch": batch_id})).one()
        end = BatchEnd(
            id=row[0],
            name=row[1],
            total=row[2],
            created_at=row[3],
            ended_at=row[4],
            status=row[5],
            succeeded=row[6],
            failed=row[2] - row[6] if row[5] == "failed" else row[7],
            cancelled=row[2] - row[6] - row[7] if row[5] == "cancelled" else row[8],
        )
        event = "batch.finished"
        await tell(connection, account_id=account_id, event=event, subject_id=batch_id, body=message_body(event, end))


def message_body(event: str, data: Any) -> bytes:
    """What is told of an event, as JSON: its type, when, and the thing itself as the API shows it."""
    return msgspec.json.encode({"type": event, "timestamp": datetime.now(UTC), "data": data})
