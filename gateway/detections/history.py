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
    confidence_percent,
    view_of_answer,
)
from gateway.errors import NotFoundError

_SUMMARY: Final = """id, status, modality, filename, media_type, size_bytes, created_at, settled_at, verdict, p_fake,
    model, version, error_code, error_message"""
_PAGE: Final = f"""
    SELECT {_SUMMARY} FROM detections
    WHERE account_id = %(account_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s::uuid)
    ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is a constant list of columns.
_ONE: Final = f"""
    SELECT {_SUMMARY}, answer::text FROM detections WHERE account_id = %(account_id)s AND id = %(id)s
"""  # noqa: S608 - The inserted text is a constant list of columns.

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
        async with self._pool.connection() as database:
            cursor = await database.execute(_ONE, {"account_id": account_id, "id": detection_id})
            row = await cursor.fetchone()
        if row is None:
            raise NotFoundError("There is no such detection.")
        summary, answer = _summary(row), row[14]
        if answer is None:
            return DetectionView(**{name: getattr(summary, name) for name in summary.__struct_fields__})
        return view_of_answer(
            _ANSWER.decode(answer),
            detection_id=summary.id,
            filename=summary.filename,
            media_type=summary.media_type,
            size_bytes=summary.size_bytes,
            created_at=summary.created_at,
            settled_at=summary.settled_at,
        )


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
    )
