"""Puts a batch into the queue, so that a worker goes on with it."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queue.deferring import defer

BATCH_TASK: Final = "batch"

_TICKET: Final = text("UPDATE batches SET ticket = :ticket WHERE id = :id")


async def queue_batch(connection: AsyncConnection, batch_id: UUID) -> None:
    """Have a worker go on with a batch, once this transaction is committed; one at a time goes on with it."""
    ticket = await defer(connection, BATCH_TASK, {"batch_id": str(batch_id)}, lock=f"batch {batch_id}")
    await connection.execute(_TICKET, {"id": batch_id, "ticket": ticket})
