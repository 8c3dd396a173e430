"""Keeps the leases of the jobs that this worker has, and stops the work on those it has lost or that were cancelled."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

import structlog

from gateway.db.engine import Pool

BEAT_S: Final = 1.0
"""How often leases are renewed; also how soon a cancelled job is noticed."""
_BEAT_TIMEOUT_S: Final = 3.0

_RENEW: Final[LiteralString] = "SELECT renew_leases(%s::uuid[], %s)"

_log = structlog.stdlib.get_logger(__name__)


class Leases:
    """The attempts under way in this process."""

    def __init__(self, pool: Pool, *, lease_s: float) -> None:
        self._pool = pool
        self._lease_s = lease_s
        self._held: dict[UUID, asyncio.Task[Any]] = {}

    @contextmanager
    def hold(self, attempt: UUID, work: asyncio.Task[Any]) -> Generator[None]:
        """Renew the lease of an attempt as long as the context lasts; `work` is cancelled once it is lost."""
        self._held[attempt] = work
        try:
            yield
        finally:
            del self._held[attempt]

    async def beat(self) -> int:
        """Renew the leases of all that is under way; returns how many were lost."""
        asked = dict(self._held)
        if not asked:
            return 0
        async with asyncio.timeout(_BEAT_TIMEOUT_S), self._pool.connection() as database:
            rows = await (await database.execute(_RENEW, (list(asked), self._lease_s))).fetchall()
        lost = asked.keys() - {row[0] for row in rows}
        for attempt in lost:
            # Work that has ended since it was asked for has given its lease up itself.
            if attempt in self._held:
                _log.warning("lease_lost", attempt=str(attempt))
                asked[attempt].cancel()
        return len(lost)
