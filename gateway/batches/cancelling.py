"""Cancels what is left of a batch, some jobs in each transaction."""

import asyncio
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.transactions import transaction
from gateway.jobs.ending import Endings

_STEP: Final = 50
_PAUSE_S: Final = 0.1
_MESSAGE: Final = "The batch was cancelled. Nothing was charged."

# All of them are locked before anything else is: whoever ends one of them holds it while it waits for the batch.
_OPEN: Final = text("""
    SELECT id FROM jobs WHERE batch_id = :id AND status IN ('queued', 'running')
    ORDER BY status DESC LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
""")
_LEFT: Final = text("SELECT EXISTS (SELECT 1 FROM jobs WHERE batch_id = :id AND status IN ('queued', 'running'))")
# What came out of an archive and never became a job is nobody's upload: it goes, and the archive with it.
_DROP: Final = text("""
    WITH b AS (SELECT id, archive_id FROM batches WHERE id = :id AND archive_id IS NOT NULL AND status = 'cancelled')
    UPDATE media m SET kept = m.kept AND m.id = b.archive_id, expires_at = CASE
        WHEN m.kept AND m.id = b.archive_id THEN m.expires_at ELSE now() END
    FROM b WHERE m.state = 'ready' AND (m.id = b.archive_id OR m.id IN (
        SELECT i.medium_id FROM batch_items i LEFT JOIN jobs j ON j.batch_id = i.batch_id AND j.place = i.place
        WHERE i.batch_id = b.id AND j.id IS NULL
    ))
""")
# In the order in which settling counts days; all jobs of a batch are of one account and one key.
_CANCEL: Final = text("""
    SELECT count(cancel_job(o.id, :message)) FROM (
        SELECT j.id FROM jobs j JOIN detections d ON d.id = j.detection_id WHERE j.id = ANY(CAST(:ids AS uuid[]))
        ORDER BY d.charged_on, d.modality, j.id OFFSET 0
    ) o
""")


class Cancelling:
    """Goes on with the cancelling of batches."""

    def __init__(self, engine: AsyncEngine, endings: Endings) -> None:
        self._engine = engine
        self._endings = endings

    async def step(self, account_id: UUID, batch_id: UUID) -> bool:
        """Cancel some more jobs of a cancelled batch, running ones first; false where all have ended.

        A job that somebody is ending right now is waited for a moment: it may be on its way back into the queue.
        """
        async with transaction(self._engine) as connection:
            ids = (await connection.execute(_OPEN, {"id": batch_id, "most": _STEP})).scalars().all()
            await connection.execute(_CANCEL, {"ids": list(ids), "message": _MESSAGE})
            for one in ids:
                await self._endings.after(connection, one)
            if not ids:
                await self._endings.batch_after(connection, account_id, batch_id)
            left: bool = (await connection.execute(_LEFT, {"id": batch_id})).scalar_one()
        if left and not ids:
            await asyncio.sleep(_PAUSE_S)
        return left

    async def drop(self, batch_id: UUID) -> None:
        """Let go of what a cancelled batch never made into jobs; of any other batch, of nothing.

        Whoever ends the last job of a batch ends the batch, so this cannot wait for the last step: the worker does it
        first of all, in a transaction of its own, for media come before batches.
        """
        async with transaction(self._engine) as connection:
            await connection.execute(_DROP, {"id": batch_id})
