"""The meters of storage: whatever happens at once, they are the sums of the media, and within the allowance."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from gateway.audit.service import SYSTEM
from gateway.db.engine import Database, connection_string
from gateway.detections.admission import Admission
from gateway.detections.orders import Admitted
from gateway.errors import FailureError, NotFoundError
from gateway.history.changes import Changes
from gateway.settings import GatewaySettings
from gateway.storage.objects import ObjectStore
from gateway.storage.retention import Retention
from gateway.storage.schemas import Clearance, StorageChange
from gateway.storage.service import Storage
from tests.fixtures.admissions import Holder, make_holder, order, verdict
from tests.fixtures.history import assert_counts_are_exact
from tests.fixtures.kept import assert_meters_are_exact, rows

pytestmark = pytest.mark.integration

TASKS = 8
TURNS = 25
ROOM = 120
"""Bytes that an account may keep; media have up to 20."""


_ANY_JUDGED = "SELECT id FROM detections WHERE account_id = %s AND status = 'succeeded' ORDER BY random() LIMIT 1"

_SOME_DUE = """
    UPDATE media SET expires_at = now() - interval '1 s' WHERE account_id = %s AND state = 'ready' AND random() < 0.3
"""


@dataclass
class Turmoil:
    """What may happen to what accounts keep, one thing after the other, at random; many of these run at once."""

    opened: Database
    objects: ObjectStore
    holders: list[Holder]
    seed: int

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - No secret.
        self.admission = Admission(self.opened.pool)
        self.storage = Storage(self.opened, self.objects)
        self.changes = Changes(self.opened.engine)
        self.retention = Retention(self.opened.pool, self.objects, bin_days=30)

    async def run(self) -> None:
        things = [self.judge, self.judge, self.judge, self.delete, self.expire, self.retain, self.forget, self.clear]
        for _ in range(TURNS):
            await self.chance.choice(things)(self.chance.choice(self.holders))

    async def judge(self, holder: Holder) -> None:
        wanted = order(holder, size=self.chance.randint(1, 20))
        wanted = replace(wanted, upload=replace(wanted.upload, keep=self.chance.random() < 0.8))
        admitted = await self.admission.admit(wanted, lifetime_s=60)
        if isinstance(admitted, Admitted):
            if self.chance.random() < 0.7:
                assert await self.admission.settle(admitted, verdict())
            else:
                await self.admission.fail(admitted, FailureError())

    async def delete(self, holder: Holder) -> None:
        page = await self.storage.page(holder.account_id, kept=True, modality=None, cursor=None, limit=2)
        for medium in page.data:
            with suppress(NotFoundError):  # Another one deleted it meanwhile.
                await self.storage.delete(holder.account_id, medium.id)

    async def expire(self, holder: Holder) -> None:
        await holder.database.execute(_SOME_DUE, [holder.account_id])
        await self.retention.sweep()

    async def retain(self, holder: Holder) -> None:
        change = StorageChange(retention_days=self.chance.choice([None, 1, 2]))
        await self.storage.change(holder.account_id, change, actor=SYSTEM)

    async def forget(self, holder: Holder) -> None:
        for row in await rows(holder.database, _ANY_JUDGED, holder.account_id):
            await self.changes.delete(holder.account_id, row[0])

    async def clear(self, holder: Holder) -> None:
        if self.chance.random() < 0.2:
            await self.storage.clear(holder.account_id, Clearance(all=True), actor=SYSTEM)


@pytest.mark.parametrize("seed", range(2))
async def test_the_meters_are_exact_whatever_happens_at_once(
    gateway_settings: GatewaySettings, opened: Database, objects: ObjectStore, retention: Retention, seed: int
) -> None:
    url = connection_string(gateway_settings.database_url.get_secret_value())
    async with await psycopg.AsyncConnection[Any].connect(url, autocommit=True) as database:
        holders = [await make_holder(database, storage_bytes=ROOM) for _ in range(3)]
        watching = asyncio.create_task(_never_above(url))
        all_at_once = [Turmoil(opened, objects, holders, seed * 100 + one) for one in range(TASKS)]
        await asyncio.gather(*(one.run() for one in all_at_once))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert watching.cancelled(), watching.exception()
        await assert_meters_are_exact(database)
        await assert_counts_are_exact(database)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await rows(database, deadlocks) == [(0,)]
        await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
        await retention.sweep()
        await database.execute("UPDATE media SET expires_at = now() - interval '1 second'")
        await retention.sweep()
        assert await rows(database, "SELECT sum(kept_bytes + passing_bytes + kept_count) FROM storage_meters") == [(0,)]
        # Each medium that was ready has its proof, and none has two.
        judged = "SELECT count(*) FROM detections WHERE status = 'succeeded' AND media_digest IS NOT NULL"
        assert (await rows(database, judged))[0][0] >= (await rows(database, "SELECT count(*) FROM deletion_proofs"))[
            0
        ][0]


async def _never_above(url: str) -> None:
    """Look again and again whether an account has more than it may."""
    async with await psycopg.AsyncConnection[Any].connect(url, autocommit=True) as database:
        while True:
            most = await rows(database, "SELECT max(kept_bytes) FROM storage_meters")
            assert (most[0][0] or 0) <= ROOM
            await asyncio.sleep(0.005)
