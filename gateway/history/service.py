"""Reads back what was judged, always within one account: one detection, a page, or all of them bit by bit.

A walk along an account's index looks at a bounded number of rows in one statement, however few of them pass the
filters, so that no query of a large account runs into the statement time-out.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final, LiteralString
from uuid import UUID

from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.detections.schemas import DetectionPage, DetectionSummary, DetectionView
from gateway.errors import NotFoundError
from gateway.history.filters import Conditions, Filters, conditions
from gateway.history.rows import ID, NUMBER, SUMMARY_COLUMNS, VIEW_COLUMNS, read_summary, read_view

_ONE: Final[LiteralString] = f"""
    SELECT {VIEW_COLUMNS} FROM detections
    WHERE account_id = %(account_id)s AND id = %(id)s AND (deleted_at IS NULL OR %(even_deleted)s)
"""  # noqa: S608 - The inserted text is a constant list of columns.
_THUMBNAIL: Final[LiteralString] = """
    SELECT thumbnail FROM detections WHERE account_id = %(account_id)s AND id = %(id)s AND deleted_at IS NULL
"""

_WINDOW: Final = 5000
_MOST_WINDOWS: Final = 10
_BATCH: Final = 250

Row = tuple[Any, ...]


class History:
    """The detections of accounts."""

    def __init__(self, pool: Pool, *, window: int = _WINDOW) -> None:
        self._pool = pool
        self._window = window

    async def page(self, account_id: UUID, filters: Filters, *, cursor: str | None, limit: int) -> DetectionPage:
        """Up to `limit` detections of an account that pass the filters, newest first, from a cursor on.

        A cursor is a place in the history, whatever filters it came from. Where few detections pass, a page may be
        short, and even empty, and name a cursor all the same.

        Raises:
            InvalidCursorError: The cursor is none of ours.
        """
        before = read_cursor(cursor) if cursor else None
        rows: list[Row] = []
        for _ in range(_MOST_WINDOWS):
            found, before = await self._step(account_id, filters, before, limit + 1 - len(rows))
            rows += found
            if before is None or len(rows) > limit:
                break
        data = tuple(read_summary(row) for row in rows[:limit])
        if len(rows) > limit:
            before = data[-1].id
        return DetectionPage(data=data, next_cursor=write_cursor(before) if before else None)

    async def walk(self, account_id: UUID, filters: Filters) -> AsyncGenerator[list[DetectionSummary]]:
        """All detections of an account that pass the filters, newest first; no connection is held in between."""
        before: UUID | None = None
        while True:
            rows, before = await self._step(account_id, filters, before, _BATCH)
            if rows:
                yield [read_summary(row) for row in rows]
            if before is None:
                return

    async def one(self, account_id: UUID, detection_id: UUID) -> DetectionView:
        """One detection of an account.

        Raises:
            NotFoundError: The account has none with this id, whoever else may.
        """
        return read_view(await self._row(account_id, detection_id, even_deleted=False))

    async def replay(self, account_id: UUID, detection_id: UUID) -> tuple[DetectionView, int]:
        """A detection once more for the call that made it, though it was deleted since; with its number.

        Raises:
            NotFoundError: The account has none with this id.
        """
        row = await self._row(account_id, detection_id, even_deleted=True)
        return read_view(row), row[NUMBER]

    async def thumbnail(self, account_id: UUID, detection_id: UUID) -> bytes:
        """The small JPEG of a detection.

        Raises:
            NotFoundError: There is none, or the account has no such detection.
        """
        row = await self._fetch_one(_THUMBNAIL, {"account_id": account_id, "id": detection_id})
        if row is None or row[0] is None:
            raise NotFoundError("There is no such thumbnail.")
        return row[0]

    async def _row(self, account_id: UUID, detection_id: UUID, *, even_deleted: bool) -> Row:
        row = await self._fetch_one(_ONE, {"account_id": account_id, "id": detection_id, "even_deleted": even_deleted})
        if row is None:
            raise NotFoundError("There is no such detection.")
        return row

    async def _step(
        self, account_id: UUID, filters: Filters, before: UUID | None, limit: int
    ) -> tuple[list[Row], UUID | None]:
        """Up to `limit` rows of the next window, and the id before which to go on; None at the end of the history."""
        where = conditions(filters, account_id=account_id, before=before)
        parameters = where.parameters | {"limit": limit, "window": self._window}
        async with self._pool.connection() as database:
            rows = await (await database.execute(_next(where), parameters)).fetchall()
        if len(rows) == limit:
            return rows, rows[-1][ID]
        if not where.sieve:
            return rows, None
        last = await self._fetch_one(_window_end(where), where.parameters | {"skipped": self._window - 1})
        return rows, last[0] if last else None

    async def _fetch_one(self, statement: LiteralString, parameters: dict[str, Any]) -> Row | None:
        async with self._pool.connection() as database:
            return await (await database.execute(statement, parameters)).fetchone()


def _next(where: Conditions) -> LiteralString:
    """The next rows; with a sieve, of one window, which is read no further than until there are enough."""
    if not where.sieve:
        return f"SELECT {SUMMARY_COLUMNS} FROM detections WHERE {where.narrow} ORDER BY id DESC LIMIT %(limit)s"  # noqa: S608 - Conditions are constant texts.
    return f"""
        SELECT {SUMMARY_COLUMNS} FROM (
            SELECT * FROM detections WHERE {where.narrow} ORDER BY id DESC LIMIT %(window)s
        ) AS seen WHERE {where.sieve} ORDER BY id DESC LIMIT %(limit)s
    """  # noqa: S608 - Conditions are constant texts.


def _window_end(where: Conditions) -> LiteralString:
    """The last row of the window."""
    return f"SELECT id FROM detections WHERE {where.narrow} ORDER BY id DESC OFFSET %(skipped)s LIMIT 1"  # noqa: S608 - Conditions are constant texts.
