"""How much waits in the queue of jobs and for how long, what runs, and how long the last jobs took."""

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.detections.schemas import Schema
from gateway.jobs.schemas import JobClass
from gateway.queue.heartbeat import FRESH_S
from gateway.queue.lanes import lanes_of

JOBS: Final = "jobs"
"""What an admin pauses: the queues whose names begin so. Mails, webhooks and chores go on."""
_LANES: Final = len(lanes_of(1))

_CLASSES: Final = text("""
    SELECT c.class, count(j.id), count(j.id) FILTER (WHERE j.run_at <= now()),
        greatest(coalesce(extract(epoch FROM now() - min(j.run_at)), 0), 0)::float8
    FROM unnest(ARRAY['interactive', 'api', 'batch']) WITH ORDINALITY AS c (class, nth)
    LEFT JOIN jobs j ON j.class = c.class AND j.status = 'queued'
    GROUP BY c.class, c.nth ORDER BY c.nth
""")
_REST: Final = text("""
    SELECT (SELECT count(*) FROM jobs WHERE status = 'running'),
        (SELECT count(*) FROM jobs WHERE status = 'running' AND lease_until <= now()),
        (SELECT count(*) FROM jobs WHERE dead),
        (SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :fresh_s)),
        p.paused_at, p.reason
    FROM (SELECT 1) one LEFT JOIN queue_pauses p ON p.queue = :queue
""")
_RECENT: Final = text("""
    SELECT class, status, count(*),
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - run_at)::float8)
            FILTER (WHERE started_at >= run_at),
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - started_at)::float8)
            FILTER (WHERE started_at >= run_at)
    FROM jobs WHERE ended_at > now() - make_interval(mins => :minutes) GROUP BY class, status
""")
RECENT_MIN: Final = 5


class ClassLoad(Schema, frozen=True):
    """What waits in a class: how many, how many of them may run by now, and seconds since the oldest of those may."""

    priority: JobClass
    queued: int
    due: int
    oldest_s: float


class QueueView(Schema, frozen=True):
    """The queue of jobs, as it stands; ages in seconds.

    `lapsed` are running jobs whose lease has passed and that nobody has taken back yet. `workers` have beaten lately.
    """

    classes: tuple[ClassLoad, ...]
    running: int
    lapsed: int
    dead: int
    workers: int
    paused: bool
    paused_at: datetime | None
    reason: str | None


class Ended(Schema, frozen=True):
    """Jobs of a class that lately ended in a way, and the median and 95th percentile of how long they waited and ran.

    Seconds; empty where there are none. Those that were tried more than once are not in them.
    """

    priority: JobClass
    status: str
    count: int
    waited: tuple[float, ...]
    ran: tuple[float, ...]


async def read_queue(engine: AsyncEngine) -> QueueView:
    """The queue as it stands. It counts all that waits: ask every few seconds at most."""
    async with engine.connect() as connection:
        classes = (await connection.execute(_CLASSES)).all()
        rest = (await connection.execute(_REST, {"fresh_s": FRESH_S, "queue": JOBS})).one()
    return QueueView(
        classes=tuple(ClassLoad(priority=row[0], queued=row[1], due=row[2], oldest_s=row[3]) for row in classes),
        running=rest[0],
        lapsed=rest[1],
        dead=rest[2],
        # Each lane of a worker beats for itself; one that is being started anew is not missed.
        workers=-(-rest[3] // _LANES),
        paused=rest[4] is not None,
        paused_at=rest[4],
        reason=rest[5],
    )


async def read_ended(engine: AsyncEngine) -> tuple[Ended, ...]:
    """What ended in the last `RECENT_MIN` minutes, by class and how."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_RECENT, {"minutes": RECENT_MIN})).all()
    return tuple(
        Ended(priority=row[0], status=row[1], count=row[2], waited=tuple(row[3] or ()), ran=tuple(row[4] or ()))
        for row in rows
    )
