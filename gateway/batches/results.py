"""The items of a batch with what came of them: a page, or all of them as a file that is made while it is sent."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec

from gateway.batches.schemas import ItemPage, ItemView, ResultsFormat
from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.detections.schemas import DetectionFailure, DetectionSummary
from gateway.errors import InvalidCursorError
from gateway.history.export import guard_cell
from gateway.history.rows import SUMMARY_COLUMNS, read_summary
from gateway.jobs.schemas import JobStatus

COLUMNS: Final = (
    *("place", "status", "filename", "client_reference", "tags", "verdict", "p_fake", "confidence", "modality"),
    *("model", "version", "error_code", "error_message", "detection_id", "job_id", "upload_id", "source_url"),
    *("sha256", "size_bytes", "settled_at"),
)
_STEP: Final = 250
_MOST_PLACE: Final = 2**31 - 1
ITEM_STATUS: Final[LiteralString] = """
    coalesce(j.status, CASE WHEN i.error_code IS NOT NULL THEN 'failed' WHEN b.status = 'cancelled' THEN 'cancelled'
        ELSE 'queued' END)
"""
"""The status of an item `i` of a batch `b`, whose job `j` there may be."""
_ITEMS: Final[LiteralString] = f"""
    SELECT i.place, {ITEM_STATUS} AS item_status, i.filename, i.client_reference, i.tags,
        CASE WHEN j.id IS NULL THEN i.medium_id ELSE j.medium_id END, i.source_url, j.id,
        coalesce(j.error_code, i.error_code), coalesce(j.error_message, i.error_message), j.detection_id
    FROM batch_items i JOIN batches b ON b.id = i.batch_id
    LEFT JOIN jobs j ON j.batch_id = i.batch_id AND j.place = i.place
    WHERE i.batch_id = %(batch_id)s AND i.place > %(after)s
        AND (%(status)s::text IS NULL OR {ITEM_STATUS} = %(status)s)
    ORDER BY i.place LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is constant.
_DETECTIONS: Final[LiteralString] = f"""
    SELECT {SUMMARY_COLUMNS} FROM detections WHERE id = ANY(%s) AND status = 'succeeded' AND deleted_at IS NULL
"""  # noqa: S608 - The same.


class Results:
    """Reads items. Whether a batch is the caller's own has been found out before."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, batch_id: UUID, *, status: JobStatus | None, cursor: str | None, limit: int) -> ItemPage:
        """Up to `limit` items, from a cursor on. Raises InvalidCursorError."""
        after = read_cursor(cursor).int if cursor else -1
        if after > _MOST_PLACE:
            raise InvalidCursorError
        items = await self._after(batch_id, after, status=status, limit=limit + 1)
        more = len(items) > limit
        data = tuple(items[:limit])
        return ItemPage(data=data, next_cursor=write_cursor(UUID(int=data[-1].place)) if more else None)

    async def walk(self, batch_id: UUID, *, status: JobStatus | None) -> AsyncGenerator[list[ItemView]]:
        """All items in their order, some at a time; no connection is held in between."""
        after = -1
        while True:
            items = await self._after(batch_id, after, status=status, limit=_STEP)
            if items:
                yield items
            if len(items) < _STEP:
                return
            after = items[-1].place

    async def _after(self, batch_id: UUID, after: int, *, status: JobStatus | None, limit: int) -> list[ItemView]:
        parameters = {"batch_id": batch_id, "after": after, "status": status, "limit": limit}
        async with self._pool.connection() as database:
            rows = await (await database.execute(_ITEMS, parameters)).fetchall()
            judged = [row[10] for row in rows if row[1] == "succeeded"]
            found = await (await database.execute(_DETECTIONS, (judged,))).fetchall() if judged else []
        detections = {row[0]: read_summary(row) for row in found}
        return [_item(row, detections.get(row[10])) for row in rows]


async def write_results(steps: AsyncIterable[Sequence[ItemView]], written_as: ResultsFormat) -> AsyncGenerator[bytes]:
    """The file, a piece for each step."""
    if written_as is ResultsFormat.CSV:
        yield _lines([COLUMNS])
    async for step in steps:
        if written_as is ResultsFormat.CSV:
            yield _lines([_cells(one) for one in step])
        else:
            yield msgspec.json.Encoder().encode_lines(step)


def _item(row: Sequence[Any], detection: DetectionSummary | None) -> ItemView:
    return ItemView(
        place=row[0],
        status=row[1],
        filename=row[2],
        client_reference=row[3],
        tags=tuple(row[4]),
        upload_id=row[5],
        source_url=row[6],
        job_id=row[7],
        error=DetectionFailure(code=row[8], message=row[9]) if row[8] else None,
        detection=detection,
    )


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as RFC 4180 wants them."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cells(one: ItemView) -> tuple[Any, ...]:
    """An item in the order of `COLUMNS`; whatever a client chose is guarded."""
    error, judged = one.error, one.detection
    cells = (
        *(one.place, one.status, one.filename, one.client_reference, ";".join(one.tags)),
        *((judged.verdict, judged.p_fake, judged.confidence, judged.modality) if judged else (None,) * 4),
        *((judged.model, judged.version) if judged else (None, None)),
        *((error.code, error.message) if error else (None, None)),
        *(judged.id if judged else None, one.job_id, one.upload_id, one.source_url),
        *((judged.sha256, judged.size_bytes, judged.settled_at) if judged else (None,) * 3),
    )
    return tuple(_cell(value) for value in cells)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guard_cell(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
