"""The meters of storage: whatever happens at once, they are the sums of the media, and within the allowance."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from gateway.audit.service import SYSTEM
from gateway.db.engine import Database, connection_string
from gateway.detections.admission import Admission
from gateway.detections.orders import Admitted
from gateway.errors import FailureError, NotFoundError
from gateway.settings import GatewaySettings
from gateway.storage.objects import ObjectStore
from gateway.storage.retention import Retention
from gateway.storage.schemas import Clearance
from gateway.storage.service import Storage
from tests.fixtures.admissions import Holder, make_holder, order, verdict
from tests.fixtures.kept import assert_meters_are_exact, rows

pytestmark = pytest.mark.integration

TASKS = 8
TURNS = 25
ROOM = 120
"""Bytes that an account may keep; media have up to 20."""


async def keep_and_delete(
    holders: list[Holder], admission: Admission, storage: Storage, retention: Retention, seed: int
) -> None:
    """Admit, settle, fail, delete, clear, expire: at random, of any account."""
    chance = random.Random(seed)  # noqa: S311 - No secret.
    for _ in range(TURNS):
        holder = chance.choice(holders)
        wanted = order(holder, size=chance.randint(1, 20))
        match chance.randrange(6):
            case 0 | 1 | 2:
                upload = type(wanted.upload)(**{**_fields(wanted.upload), "keep": chance.random() < 0.8})
                admitted = await admission.admit(order(holder, upload=upload), lifetime_s=60)
                if isinstance(admitted, Admitted):
                    if chance.random() < 0.7:
                        assert await admission.settle(admitted, verdict())
                    else:
                        await admission.fail(admitted, FailureError())
            case 3:
                page = await storage.page(holder.account_id, kept=True, modality=None, cursor=None, limit=5)
                for medium in page.data[:2]:
                    with suppress(NotFoundError):  # Another task deleted it meanwhile.
                        await storage.delete(holder.account_id, medium.id)
            case 4:
                await holder.database.execute(
                    "UPDATE media SET expires_at = now() - interval '1 s' WHERE account_id = %s AND random() < 0.3",
                    [holder.account_id],
                )
                await retention.sweep()
            case _:
                if chance.random() < 0.2:
                    await storage.clear(holder.account_id, Clearance(all=True), actor=SYSTEM)


def _fields(upload: Any) -> dict[str, Any]:
    return {name: getattr(upload, name) for name in upload.__slots__}


@pytest.mark.parametrize("seed", range(2))
async def test_the_meters_are_exact_whatever_happens_at_once(
    gateway_settings: GatewaySettings, opened: Database, objects: ObjectStore, retention: Retention, seed: int
) -> None:
    url = connection_string(gateway_settings.database_url.get_secret_value())
    admission, storage = Admission(opened.pool), Storage(opened, objects)
    async with await psycopg.AsyncConnection[Any].connect(url, autocommit=True) as database:
        holders = [await make_holder(database, storage_bytes=ROOM) for _ in range(3)]
        watching = asyncio.create_task(_never_above(url))
        await asyncio.gather(
            *(keep_and_delete(holders, admission, storage, retention, seed * 100 + one) for one in range(TASKS))
        )
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert watching.cancelled(), watching.exception()
        await assert_meters_are_exact(database)
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
