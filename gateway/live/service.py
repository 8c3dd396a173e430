"""Who may follow a job, how many may do so at once, and for how long."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final, LiteralString
from uuid import UUID

from gateway.access.guard import Caller
from gateway.access.scopes import EVERYTHING_ORDINARY, HISTORY_READ
from gateway.db.engine import Pool
from gateway.errors import NotFoundError, OverloadedError, TooManyStreamsError
from gateway.live.events import JobEvent
from gateway.live.hub import Hub
from gateway.live.subscriptions import Ending, Subscription
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings

RECHECK_S: Final = 10.0
"""How often it is asked whether those who follow may still do so."""
_FULL_RETRY_S: Final = 10

_FIND: Final[LiteralString] = """
    SELECT j.status IN ('succeeded', 'failed', 'cancelled'),
        coalesce((SELECT max(e.place) FROM job_events e WHERE e.job_id = j.id), 0)
    FROM jobs j WHERE j.account_id = %s AND j.id = %s
"""
_STILL_ALLOWED: Final[LiteralString] = """
    SELECT w.nth::integer
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[])
        WITH ORDINALITY AS w (account_id, key_id, session_id, job_id, nth)
    JOIN accounts a ON a.id = w.account_id AND a.status = 'active'
    JOIN jobs j ON j.id = w.job_id AND j.account_id = w.account_id
    WHERE (w.key_id IS NULL OR EXISTS (
            SELECT 1 FROM api_keys k WHERE k.id = w.key_id AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > now()) AND k.scopes && %s::text[]
        ))
        AND (w.session_id IS NULL OR EXISTS (
            SELECT 1 FROM sessions s WHERE s.id = w.session_id AND s.closed_at IS NULL AND s.expires_at > now()
        ))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A wish to follow a job: by whom, and after which event. `over`: the job has ended, and there is nothing left."""

    job_id: UUID
    after: int
    over: bool
    account_id: UUID
    key_id: UUID | None
    session_id: UUID | None
    kind: str


class Live:
    """The open streams of this process, of either kind."""

    def __init__(self, pool: Pool, hub: Hub, metrics: Metrics, settings: GatewaySettings) -> None:
        self._pool = pool
        self._hub = hub
        self._metrics = metrics
        self._most = settings.live_streams
        self._most_of_account = settings.live_streams_per_account
        self._heartbeat_s = settings.live_heartbeat_s
        self._longest_s = settings.live_longest_s
        self._open: dict[Subscription, Request] = {}
        self._by_account: Counter[UUID] = Counter()

    async def find(self, caller: Caller, job_id: UUID, after: int, kind: str) -> Request:
        """What a caller may follow; an event that has not happened yet counts as the latest one.

        Raises:
            NotFoundError: The account has no such job.
        """
        async with self._pool.connection() as database:
            row = await (await database.execute(_FIND, (caller.account_id, job_id))).fetchone()
        if row is None:
            raise NotFoundError("There is no such job.")
        ended, latest = row
        return Request(
            job_id=job_id,
            after=min(after, latest),
            over=ended and after >= latest,
            account_id=caller.account_id,
            key_id=caller.key_id,
            session_id=caller.session_id,
            kind=kind,
        )

    @contextmanager
    def open(self, request: Request) -> Generator[Subscription]:
        """Follow a job as long as the context lasts.

        Raises:
            TooManyStreamsError: The account has as many open streams as it may have on one process.
            UnavailableError: The process has, or it is about to stop.
        """
        if self._by_account[request.account_id] >= self._most_of_account:
            raise TooManyStreamsError(retry_after_s=_FULL_RETRY_S)
        if len(self._open) >= self._most:
            raise OverloadedError("Too many streams are open; try again shortly.", retry_after_s=_FULL_RETRY_S)
        with (
            self._hub.following(request.job_id, request.after) as subscription,
            self._metrics.count_stream(request.kind),
        ):
            self._open[subscription] = request
            self._by_account[request.account_id] += 1
            try:
                yield subscription
            finally:
                del self._open[subscription]
                self._by_account[request.account_id] -= 1
                if not self._by_account[request.account_id]:
                    del self._by_account[request.account_id]

    async def events(self, subscription: Subscription) -> AsyncGenerator[JobEvent | None]:
        """Events up to the final one, with None for every while in which there was none.

        It ends earlier where the subscription has, or when the stream has been open for as long as it may be.
        """
        until = monotonic() + self._longest_s
        while subscription.ended is None and (left := until - monotonic()) > 0:
            event = await subscription.next(min(self._heartbeat_s, left))
            if event is not None or subscription.ended is None:
                yield event
            if event is not None and event.final:
                return

    async def recheck(self) -> int:
        """End the streams of those who may not follow their job any more, or whose job is gone; returns how many.

        One query for all of them: keys and sessions that end, and accounts that are suspended, lose their streams
        within seconds.
        """
        asked = list(self._open.items())
        if not asked:
            return 0
        parameters = (
            [one.account_id for _, one in asked],
            [one.key_id for _, one in asked],
            [one.session_id for _, one in asked],
            [one.job_id for _, one in asked],
            [EVERYTHING_ORDINARY, HISTORY_READ],
        )
        async with self._pool.connection() as database:
            rows = await (await database.execute(_STILL_ALLOWED, parameters)).fetchall()
        allowed = {row[0] - 1 for row in rows}
        ended = [subscription for place, (subscription, _) in enumerate(asked) if place not in allowed]
        for subscription in ended:
            subscription.end(Ending.REFUSED)
        return len(ended)
