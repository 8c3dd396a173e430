"""Lets go of media whose time is over: out of reach, then out of the store, then the row; a proof stays.

Each step is a transaction of its own and can be done again, so that whoever died in between costs nothing: what is
`deleting` is taken up by the next sweep of any worker. Beside that, objects that no row knows are found and removed.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import structlog

from gateway.db.engine import Pool
from gateway.errors import GatewayError
from gateway.storage.keeping import kept_path
from gateway.storage.objects import ObjectStore, Stored

_BATCH: Final = 200
_AT_ONCE: Final = 8
_LONGEST_S: Final = 30.0
_PAUSE_S: Final = 300.0
"""How long after somebody took a medium to remove its object another one may."""
_FRESH: Final = timedelta(days=1)
"""An object that is no older may belong to a row that is about to be written."""
_MOST_SEEN: Final = 1_000_000
_ASKED_AT_ONCE: Final = 1000
_ID: Final = re.compile(r"^(?:incoming|media)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/|$)")

_EXPIRE: Final[LiteralString] = "SELECT expire_media(%s)"
_TAKE: Final[LiteralString] = "SELECT id, object_path FROM take_discarded(%s, %s)"
_FORGET: Final[LiteralString] = "SELECT forget_media(%s::uuid[])"
_UNKNOWN: Final[LiteralString] = """
    SELECT o.path FROM unnest(%s::text[], %s::uuid[]) AS o (path, id)
    WHERE NOT EXISTS (
        SELECT 1 FROM media m WHERE m.id = o.id AND (m.state = 'open' OR o.path NOT LIKE 'incoming/%%')
    )
"""
_EMPTY: Final[LiteralString] = "SELECT empty_bin(%s, %s)"

_log = structlog.stdlib.get_logger(__name__)


class Retention:
    """Sweeps what accounts have in the object store; `batch` media go in one step, none is begun after `longest_s`."""

    def __init__(
        self, pool: Pool, objects: ObjectStore, *, bin_days: int, batch: int = _BATCH, longest_s: float = _LONGEST_S
    ) -> None:
        self._pool = pool
        self._objects = objects
        self._bin_days = bin_days
        self._batch = batch
        self._longest_s = longest_s

    async def sweep(self) -> int:
        """Discard what has had its time, and remove what was discarded; returns how many media are gone.

        What takes too long for now goes the next time.
        """
        until = time.monotonic() + self._longest_s
        while await self.expire() >= self._batch and time.monotonic() < until:
            pass
        gone = 0
        while time.monotonic() < until:
            taken = await self.take()
            if not taken:
                break
            gone += await self.forget(await self.remove(taken))
        return gone

    async def expire(self) -> int:
        """Step one: put a batch of what has had its time out of reach; returns how many were looked at."""
        return await self._count(_EXPIRE, (self._batch,))

    async def take(self) -> list[tuple[Any, ...]]:
        """Step two: take a batch of discarded media, `(id, object_path)`, which are given to nobody else for now."""
        async with self._pool.connection() as database:
            return await (await database.execute(_TAKE, (self._batch, _PAUSE_S))).fetchall()

    async def remove(self, taken: Sequence[tuple[Any, ...]]) -> list[UUID]:
        """Step three: remove their objects; returns the media of which nothing is left in the store.

        What the store does not remove now is tried again by a later sweep.
        """
        permits = asyncio.Semaphore(_AT_ONCE)

        async def one(medium_id: UUID, paths: set[str]) -> UUID | None:
            async with permits:
                try:
                    # Beside the object itself: what was sent for it, and copies of it whose making broke off.
                    for folder in (f"incoming/{medium_id}", f"media/{medium_id}"):
                        async for part in self._objects.list(folder):
                            paths.add(part.path)
                    for path in paths:
                        await self._objects.remove(path)
                except GatewayError as error:
                    _log.warning("object_not_removed", medium_id=str(medium_id), reason=error.message)
                    return None
                return medium_id

        removed = await asyncio.gather(*(one(row[0], {row[1] or kept_path(row[0])}) for row in taken))
        return [medium_id for medium_id in removed if medium_id is not None]

    async def forget(self, medium_ids: Sequence[UUID]) -> int:
        """Step four: forget media whose objects are gone, and leave the proofs; returns how many there were."""
        return await self._count(_FORGET, (list(medium_ids),))

    async def sweep_orphans(self) -> int:
        """Remove objects, a day old or more, that belong to no medium; returns how many there were.

        A process that died between storing an object and writing its row leaves such, and whoever sends something to
        the signed address of a bucket once his upload is complete.
        """
        removed = seen = 0
        before = datetime.now(UTC) - _FRESH
        page: list[Stored] = []
        for prefix in ("incoming", "media"):
            async for stored in self._objects.list(prefix):
                seen += 1
                if stored.at < before:
                    page.append(stored)
                if len(page) >= _ASKED_AT_ONCE:
                    removed += await self._remove_unknown(page)
                    page = []
                if seen >= _MOST_SEEN:
                    _log.warning("orphan_sweep_cut_off", seen=seen)
                    break
        removed += await self._remove_unknown(page)
        if removed:
            _log.warning("orphans_removed", count=removed)
        return removed

    async def empty_bin(self) -> int:
        """Remove detections for good that have been in the bin long enough; returns how many there were."""
        until, count = time.monotonic() + self._longest_s, 0
        while time.monotonic() < until:
            gone = await self._count(_EMPTY, (self._bin_days, self._batch))
            count += gone
            if gone < self._batch:
                break
        return count

    async def _remove_unknown(self, page: Sequence[Stored]) -> int:
        owners = {stored.path: UUID(match[1]) for stored in page if (match := _ID.match(stored.path))}
        async with self._pool.connection() as database:
            rows = await (await database.execute(_UNKNOWN, (list(owners), list(owners.values())))).fetchall()
        for (path,) in rows:
            await self._objects.remove(path)
        return len(rows)

    async def _count(self, statement: LiteralString, parameters: Sequence[object]) -> int:
        async with self._pool.connection() as database:
            row = await (await database.execute(statement, parameters)).fetchone()
        return int(row[0]) if row else 0
