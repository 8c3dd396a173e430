"""What an account used day by day, from the counts that are kept beside the history."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from gateway.db.engine import Pool
from gateway.db.paging import first_identifier, read_cursor, write_cursor
from gateway.errors import InvalidCursorError, RequestError
from gateway.limits.schemas import DayUsage, Grouping, UsageDays

MOST_DAYS: Final = 366
_USUAL_DAYS: Final = 30
_NO_KEY: Final = UUID(int=0)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_SHIFT: Final = 80

_PAGE: Final[LiteralString] = """
    SELECT d.day, %(group_by)s::text AS grouping,
        CASE %(group_by)s::text WHEN 'key' THEN d.key_id::text WHEN 'modality' THEN d.modality ELSE '' END AS label,
        sum(d.charged), sum(d.bytes), sum(d.succeeded), sum(d.failed)
    FROM detection_days d
    WHERE d.account_id = %(account_id)s AND d.day IN (
        SELECT DISTINCT n.day FROM detection_days n
        WHERE n.account_id = %(account_id)s AND n.day BETWEEN %(first)s AND %(last)s
        ORDER BY n.day DESC LIMIT %(days)s
    )
    GROUP BY d.day, label ORDER BY d.day DESC, label
"""


class UsageByDay:
    """Reads what accounts used on each day."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, account_id: UUID, *, first: date, last: date, group_by: Grouping, cursor: str | None, days: int
    ) -> UsageDays:
        """The use of up to `days` days with any, newest first, from `last` back to `first` or from a cursor on.

        Raises:
            InvalidCursorError: The cursor is none of ours.
        """
        parameters: dict[str, Any] = {
            "account_id": account_id,
            "group_by": group_by.value,
            "first": first,
            "last": min(last, _read_day(cursor)) if cursor else last,
            "days": days + 1,
        }
        async with self._pool.connection() as database:
            rows = await (await database.execute(_PAGE, parameters)).fetchall()
        shown = sorted({row[0] for row in rows}, reverse=True)[:days]
        more = bool(rows) and rows[-1][0] != shown[-1]
        return UsageDays(
            first=first,
            last=last,
            group_by=group_by,
            data=tuple(_entry(row) for row in rows if row[0] >= shown[-1]),
            next_cursor=_write_day(rows[-1][0]) if more else None,
        )


def read_range(first: date | None, last: date | None, *, today: date) -> tuple[date, date]:
    """The days asked for, both included: the last 30 where nothing is said.

    Raises:
        RequestError: They are in the wrong order, or more than a year.
    """
    end = last or today
    start = first or date.fromordinal(max(1, end.toordinal() - _USUAL_DAYS + 1))
    if start > end:
        raise RequestError("`from` lies after `to`.", code="invalid_range")
    if (end - start).days >= MOST_DAYS:
        raise RequestError(f"At most {MOST_DAYS} days are told at once.", code="invalid_range")
    return start, end


def _entry(row: tuple[Any, ...]) -> DayUsage:
    day, grouping, label, charged, size, succeeded, failed = row
    key_id = UUID(label) if grouping == Grouping.KEY else _NO_KEY
    return DayUsage(
        day=day,
        key_id=None if key_id == _NO_KEY else key_id,
        modality=label if grouping == Grouping.MODALITY else None,
        charged=charged,
        bytes=int(size),
        succeeded=succeeded,
        failed=failed,
    )


def _write_day(day: date) -> str:
    """The cursor of the page that begins with a day: an identifier of its first millisecond."""
    return write_cursor(first_identifier(datetime.combine(day, time(), UTC)))


def _read_day(cursor: str) -> date:
    """The day that a page begins with. Raises InvalidCursorError."""
    milliseconds = read_cursor(cursor).int >> _MILLISECONDS_SHIFT
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise InvalidCursorError from error
    if moment.time() != time():
        raise InvalidCursorError
    return moment.date()
