"""Hands what happens to jobs to those who follow them: read once from the table, however many streams there are.

Nothing of an event is taken from its notification, which only says that there is something to read. So the first look
at a job, news of it, and the look after a connection was lost are all the same: whatever the table holds behind the
last event that a reader was given.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
import psycopg_pool
import structlog

from gateway.db.engine import Pool
from gateway.errors import UnavailableError
from gateway.live.events import JobEvent
from gateway.live.subscriptions import MOST_WAITING, Ending, Subscription

_JOBS_AT_ONCE: Final = 256
_READ_TIMEOUT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0

_READ: Final[LiteralString] = """
    SELECT e.job_id, e.place, e.kind, (jsonb_build_object('job_id', e.job_id, 'at', e.at) || e.data)::text,
        e.kind IN ('succeeded', 'failed', 'cancelled') AND NOT EXISTS (
            SELECT 1 FROM job_events n WHERE n.job_id = e.job_id AND n.place > e.place
        )
    FROM unnest(%s::uuid[], %s::integer[]) AS w (id, after)
    CROSS JOIN LATERAL (
        SELECT * FROM job_events o WHERE o.job_id = w.id AND o.place > w.after ORDER BY o.place LIMIT %s
    ) e
    ORDER BY e.job_id, e.place
"""

_log = structlog.stdlib.get_logger(__name__)


class Hub:
    """The open streams of this process by the job that they follow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._followed: dict[UUID, set[Subscription]] = {}
        # A dictionary keeps the order in which jobs are to be read.
        self._unread: dict[UUID, None] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return sum(len(readers) for readers in self._followed.values())

    @contextmanager
    def following(self, job_id: UUID, after: int) -> Generator[Subscription]:
        """Follow a job from the event behind `after` on, as long as the context lasts. Raises UnavailableError."""
        if self._stopping:
            raise UnavailableError(retry_after_s=1)
        subscription = Subscription(job_id, after, self._ask)
        self._followed.setdefault(job_id, set()).add(subscription)
        self._ask(job_id)
        try:
            yield subscription
        finally:
            readers = self._followed[job_id]
            readers.discard(subscription)
            if not readers:
                del self._followed[job_id]

    def take_notice(self, payload: str) -> None:
        """Take the news of an event: "`<job id> <place>`". What nobody here follows is left."""
        name, _, place = payload.partition(" ")
        try:
            job_id, at = UUID(name), int(place)
        except ValueError:
            _log.warning("notice_not_understood", payload=payload[:100])
            return
        if any(one.last < at for one in self._followed.get(job_id, ())):
            self._ask(job_id)

    def look_everywhere(self) -> None:
        """Look for news of every job that is followed: some may have been missed."""
        self._unread.update(dict.fromkeys(self._followed))
        self._wake.set()

    def stop(self) -> None:
        """End every stream, and begin none any more. May be called again."""
        self._stopping = True
        for readers in self._followed.values():
            for one in readers:
                one.end(Ending.STOPPING)

    async def read_on(self) -> None:
        """Read what there is to be read, until cancelled. While the database is away it is tried again and again."""
        pause = _FIRST_PAUSE_S
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unread:
                jobs = list(self._unread)[:_JOBS_AT_ONCE]
                for job_id in jobs:
                    del self._unread[job_id]
                try:
                    await self._read(jobs)
                    pause = _FIRST_PAUSE_S
                except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
                    _log.warning("events_not_read", jobs=len(jobs), reason=str(error))
                    self._unread.update(dict.fromkeys(jobs))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _ask(self, job_id: UUID) -> None:
        self._unread[job_id] = None
        self._wake.set()

    async def _read(self, jobs: list[UUID]) -> None:
        """Read what the readers of these jobs have not had, and put it before them."""
        after = {
            job_id: min(places)
            for job_id in jobs
            if (places := [one.last for one in self._followed.get(job_id, ()) if not one.behind])
        }
        if not after:
            return
        parameters = (list(after), list(after.values()), MOST_WAITING)
        async with asyncio.timeout(_READ_TIMEOUT_S), self._pool.connection() as database:
            rows = await (await database.execute(_READ, parameters)).fetchall()
        found: dict[UUID, list[JobEvent]] = {}
        for job_id, *event in rows:
            found.setdefault(job_id, []).append(_event(event))
        for job_id, events in found.items():
            # Meanwhile readers may have come that stand further back: they have asked, and are served next.
            for one in self._followed.get(job_id, ()):
                if one.last >= after[job_id] and not one.behind:
                    one.offer(events)
            if len(events) == MOST_WAITING:
                self._ask(job_id)


def _event(row: Any) -> JobEvent:
    place, kind, data, final = row
    return JobEvent(place=place, kind=kind, data=data, final=final)
