"""Entries of the queue as admins see them, without what they were called with: each is a task for a worker, once."""

from typing import Any, Final, LiteralString
from uuid import UUID

from gateway.admin.schemas import TaskPage, TaskStatus, TaskView
from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.errors import InvalidCursorError, NotFoundError

_WORDS: Final[dict[str, TaskStatus]] = {
    "todo": "waiting",
    "doing": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "aborted": "aborted",
}
"""The queue's words for the state of an entry, and ours."""
_STATES: Final = {ours: theirs for theirs, ours in _WORDS.items()}
_LARGEST: Final = 2**63 - 1

_COLUMNS: Final[LiteralString] = """
    j.id, j.task_name, j.queue_name, j.status::text, j.attempts, j.worker_id, j.scheduled_at,
    (SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = j.id),
    (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = j.id AND e.type = 'started'),
    CASE WHEN j.status NOT IN ('todo', 'doing')
        THEN (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = j.id) END
"""
_PAGE: Final[LiteralString] = f"""
    SELECT {_COLUMNS} FROM procrastinate_jobs j
    WHERE (%(before)s::bigint IS NULL OR j.id < %(before)s)
        AND (%(status)s::text IS NULL OR j.status = %(status)s::text::procrastinate_job_status)
        AND (%(task)s::text IS NULL OR j.task_name = %(task)s)
        AND (%(queue)s::text IS NULL OR j.queue_name = %(queue)s)
    ORDER BY j.id DESC LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is a constant list of columns.
_ONE: Final[LiteralString] = f"SELECT {_COLUMNS} FROM procrastinate_jobs j WHERE j.id = %(id)s"  # noqa: S608 - The same.


class QueueTasks:
    """What workers are to do, do and did: mails, chores, deliveries, and the attempts of jobs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, *, status: TaskStatus | None, task: str | None, queue: str | None, cursor: str | None, limit: int
    ) -> TaskPage:
        """Up to `limit` tasks, newest first, from a cursor on. Raises InvalidCursorError."""
        parameters = {
            "before": None if cursor is None else _read_number(cursor),
            "status": None if status is None else _STATES[status],
            "task": task,
            "queue": queue,
            "limit": limit + 1,
        }
        async with self._pool.connection() as database:
            rows = await (await database.execute(_PAGE, parameters)).fetchall()
        data = tuple(_view(row) for row in rows[:limit])
        following = write_cursor(UUID(int=data[-1].id)) if len(rows) > limit else None
        return TaskPage(data=data, next_cursor=following)

    async def one(self, number: int) -> TaskView:
        """A task. Raises NotFoundError."""
        row = None
        if 0 <= number <= _LARGEST:
            async with self._pool.connection() as database:
                row = await (await database.execute(_ONE, {"id": number})).fetchone()
        if row is None:
            raise NotFoundError("There is no such task.")
        return _view(row)


def _read_number(cursor: str) -> int:
    number = read_cursor(cursor).int
    if number > _LARGEST:
        raise InvalidCursorError
    return number


def _view(row: tuple[Any, ...]) -> TaskView:
    return TaskView(
        id=row[0],
        task=row[1],
        queue=row[2],
        status=_WORDS[row[3]],
        attempts=row[4],
        worker=row[5],
        scheduled_at=row[6],
        created_at=row[7],
        started_at=row[8],
        ended_at=row[9],
    )
