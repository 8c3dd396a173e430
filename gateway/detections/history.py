"""Reads back what was judged: one detection, or page by page, always within one account."""

from typing import Any, Final
from uuid import UUID

import msgspec

from bentos.contract import Detection, Modality, Verdict
from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.detections.schemas import (
    DetectionFailure,
    DetectionPage,
    DetectionSummary,
    DetectionView,
    Feedback,
    confidence_percent,
    view_of_answer,
)
from gateway.errors import NotFoundError

_SUMMARY: Final = """id, status, modality, filename, media_type, size_bytes, created_at, settled_at, verdict, p_fake,
    model, version, error_code, error_message, media_digest, client_reference, tags, key_id, cached_from, feedback,
    feedback_note, feedback_at, deleted_at, number"""
_PAGE: Final = f"""
    SELECT {_SUMMARY} FROM detections
    WHERE account_id = %(account_id)s AND deleted_at IS NULL AND (%(after)s::uuid IS NULL OR id < %(after)s::uuid)
    ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is a constant list of columns.
_ONE: Final = f"""
    SELECT {_SUMMARY}, answer::text FROM detections
    WHERE account_id = %(account_id)s AND id = %(id)s AND (deleted_at IS NULL OR %(even_deleted)s)
"""  # noqa: S608 - The inserted text is a constant list of columns.

_NUMBER: Final = 23
_ANSWER_TEXT: Final = 24
_ANSWER = msgspec.json.Decoder(Detection)


class History:
    """The detections of accounts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, account_id: UUID, *, cursor: str | None, limit: int) -> DetectionPage:
        """Up to `limit` detections of an account, newest first, from a cursor on.

        Raises:
            InvalidCursorError: The cursor is none of ours.
        """
        after = read_cursor(cursor) if cursor else None
        parameters = {"account_id": account_id, "after": after, "limit": limit + 1}
        async with self._pool.connection() as database:
            rows = await (await database.execute(_PAGE, parameters)).fetchall()
        data = tuple(_summary(row) for row in rows[:limit])
        return DetectionPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, account_id: UUID, detection_id: UUID) -> DetectionView:
        """One detection of an account.

        Raises:
            NotFoundError: The account has none with this id, whoever else may.
        """
        return _view(await self._row(account_id, detection_id, even_deleted=False))

    async def replay(self, account_id: UUID, detection_id: UUID) -> tuple[DetectionView, int]:
        """A detection once more for the call that made it, though it was deleted since; with its number.

        Raises:
            NotFoundError: The account has none with this id.
        """
        row = await self._row(account_id, detection_id, even_deleted=True)
        return _view(row), row[_NUMBER]

    async def _row(self, account_id: UUID, detection_id: UUID, *, even_deleted: bool) -> tuple[Any, ...]:
        parameters = {"account_id": account_id, "id": detection_id, "even_deleted": even_deleted}
        async with self._pool.connection() as database:
            row = await (await database.execute(_ONE, parameters)).fetchone()
        if row is None:
            raise NotFoundError("There is no such detection.")
        return row


def _view(row: tuple[Any, ...]) -> DetectionView:
    summary, answer = _summary(row), row[_ANSWER_TEXT]
    if answer is None:
        return DetectionView(**msgspec.structs.asdict(summary))
    return view_of_answer(_ANSWER.decode(answer), summary)


def _summary(row: tuple[Any, ...]) -> DetectionSummary:
    p_fake: float | None = row[9]
    return DetectionSummary(
        id=row[0],
        status=row[1],
        modality=Modality(row[2]),
        filename=row[3],
        media_type=row[4],
        size_bytes=row[5],
        created_at=row[6],
        settled_at=row[7],
        verdict=Verdict(row[8]) if row[8] else None,
        p_fake=p_fake,
        confidence=None if p_fake is None else confidence_percent(p_fake),
        model=row[10],
        version=row[11],
        error=DetectionFailure(code=row[12], message=row[13]) if row[12] else None,
        sha256=row[14].hex() if row[14] else None,
        client_reference=row[15],
        tags=tuple(row[16]),
        key_id=row[17],
        cached_from=row[18],
        feedback=Feedback(label=row[19], note=row[20], at=row[21]) if row[19] else None,
        deleted_at=row[22],
    )
