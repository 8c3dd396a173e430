"""What an account may change in its history: into the bin and back, labels of its own, what it says the medium was."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.tables import DetectionRow, table_of
from gateway.detections.forms import read_client_reference, read_tags
from gateway.errors import ConflictError, InvalidBodyError, NotFoundError
from gateway.history.counts import Counted, recount
from gateway.history.schemas import DetectionUpdate, NewFeedback

_DETECTIONS = table_of(DetectionRow)
_UNSETTLED: Final = ("queued", "running")
_DISCARD: Final = text("""
    SELECT discard_media(ARRAY[d.medium_id], 'owner') FROM detections d
    WHERE d.id = :id AND d.medium_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM detections o WHERE o.medium_id = d.medium_id AND o.id <> d.id AND o.deleted_at IS NULL
    )
""")
"""The medium of a detection goes with it, unless another one has it too."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A detection that nobody else changes until the transaction ends."""

    connection: AsyncConnection
    id: UUID
    status: str
    counted: Counted

    async def change(self, values: dict[str, Any], **counted: Any) -> None:
        """Set columns; `counted` is what that changes of how it is counted."""
        await self.connection.execute(update(_DETECTIONS).where(_DETECTIONS.c.id == self.id).values(values))
        await recount(self.connection, self.counted, replace(self.counted, **counted))


class Changes:
    """Changes the detections of accounts, and the counts of their days with them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def delete(self, account_id: UUID, detection_id: UUID) -> None:
        """Put a detection into the bin; one that is there stays there. What was kept of its medium goes for good.

        Raises:
            NotFoundError: The account has none with this id.
            ConflictError: It is still running, or waits to.
        """
        async with self._hold(account_id, detection_id, even_deleted=True) as held:
            if held.status in _UNSETTLED:
                raise ConflictError("The detection is still running.", code="detection_running")
            if not held.counted.deleted:
                await held.connection.execute(_DISCARD, {"id": detection_id})
                await held.change({"deleted_at": func.now()}, deleted=True)

    async def restore(self, account_id: UUID, detection_id: UUID) -> None:
        """Take a detection out of the bin; one that is not there stays as it is.

        Raises:
            NotFoundError: The account has none with this id.
        """
        async with self._hold(account_id, detection_id, even_deleted=True) as held:
            if held.counted.deleted:
                await held.change({"deleted_at": None}, deleted=False)

    async def update(self, account_id: UUID, detection_id: UUID, wanted: DetectionUpdate) -> None:
        """Set the client's own labels; what is not named stays.

        Raises:
            NotFoundError: The account has none with this id outside of the bin.
            InvalidBodyError: A label cannot be printed.
        """
        values: dict[str, Any] = {}
        if wanted.client_reference is not msgspec.UNSET:
            values["client_reference"] = read_client_reference((wanted.client_reference or "").strip()) or None
        if wanted.tags is not msgspec.UNSET:
            values["tags"] = read_tags(wanted.tags)
        async with self._hold(account_id, detection_id) as held:
            if values:
                await held.change(values)

    async def rate(self, account_id: UUID, detection_id: UUID, feedback: NewFeedback) -> None:
        """Note what the account says that the medium really is, instead of what it said before.

        Raises:
            NotFoundError: The account has none with this id outside of the bin.
            ConflictError: It has no verdict.
            InvalidBodyError: The note holds a character that cannot be kept.
        """
        if "\0" in (feedback.note or ""):
            raise InvalidBodyError("The note must not hold NUL characters.")
        async with self._hold(account_id, detection_id) as held:
            if held.counted.verdict is None:
                raise ConflictError("The detection has no verdict.", code="no_verdict")
            values = {"feedback": feedback.label, "feedback_note": feedback.note or None, "feedback_at": func.now()}
            await held.change(values, feedback=feedback.label)

    async def withdraw_rating(self, account_id: UUID, detection_id: UUID) -> None:
        """Forget the feedback on a detection, where there is any.

        Raises:
            NotFoundError: The account has none with this id outside of the bin.
        """
        async with self._hold(account_id, detection_id) as held:
            await held.change({"feedback": None, "feedback_note": None, "feedback_at": None}, feedback=None)

    @asynccontextmanager
    async def _hold(self, account_id: UUID, detection_id: UUID, *, even_deleted: bool = False) -> AsyncGenerator[_Held]:
        """Lock a detection for a transaction, which is committed at the end of the block."""
        columns = _DETECTIONS.c
        query = (
            select(
                columns.status,
                columns.charged_on,
                columns.modality,
                columns.key_id,
                columns.verdict,
                columns.p_fake,
                columns.feedback,
                columns.deleted_at,
            )
            .where(columns.account_id == account_id, columns.id == detection_id)
            .with_for_update(key_share=True)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None or (row.deleted_at is not None and not even_deleted):
                raise NotFoundError("There is no such detection.")
            counted = Counted(
                account_id=account_id,
                charged_on=row.charged_on,
                modality=row.modality,
                key_id=row.key_id,
                succeeded=row.status == "succeeded",
                verdict=row.verdict,
                p_fake=row.p_fake,
                feedback=row.feedback,
                deleted=row.deleted_at is not None,
            )
            yield _Held(connection, detection_id, row.status, counted)
