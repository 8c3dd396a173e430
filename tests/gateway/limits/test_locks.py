"""Many ways into the database at once, over many accounts in every order: nobody waits for each other in a ring."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from bentos.contract import Modality
from gateway.access.credentials import Credentials
from gateway.db.engine import open_database
from gateway.detections.admission import Admission
from gateway.detections.orders import Admitted
from gateway.keys.secrets import make_key
from gateway.settings import MEDIA_MODALITIES, GatewaySettings
from tests.fixtures.admissions import add_key, fail, make_holder, order, verdict

pytestmark = pytest.mark.integration

WAYS = 4
ROUNDS = 12
AT_ONCE = 40
SWEEPS = 6


async def judge(admission: Admission, who: Credentials, modality: Modality, fate: str) -> None:
    """Admit a detection and close it, or leave it to a sweep that is overdue or that comes in between."""
    lifetime_s = 60 if fate in {"settle", "fail"} else -1
    admitted = await admission.admit(order(who, modality=modality), lifetime_s=lifetime_s)
    if not isinstance(admitted, Admitted):
        return
    match fate:
        case "settle" | "settle late":
            await admission.settle(admitted, verdict(modality))
        case "fail":
            await fail(admission, admitted)
        case _:
            return


async def sweep(admission: Admission) -> None:
    """Sweep again and again while others settle."""
    for _ in range(SWEEPS):
        await admission.sweep()


@pytest.mark.parametrize("accounts", [2, 9])
async def test_nothing_deadlocks_and_everything_adds_up(
    database: Any, gateway_settings: GatewaySettings, accounts: int
) -> None:
    callers: list[Credentials] = []
    for _ in range(accounts):
        holder = await make_holder(database, daily_limit=10_000, concurrent_limit=10_000, burst_limit=10_000)
        await holder.set_key(daily_limit=10_000)
        key = make_key()
        await add_key(database, holder.account_id, key, daily_limit=10_000)
        callers += [holder.credentials, replace(holder.credentials, key_digest=key.digest)]
    fates = ("settle", "settle", "settle late", "fail", "leave")
    chance = random.Random(7)  # noqa: S311 - It has to be the same in every run.

    async def way(admission: Admission) -> None:
        for _ in range(ROUNDS):
            work = [
                judge(admission, chance.choice(callers), chance.choice(MEDIA_MODALITIES), chance.choice(fates))
                for _ in range(AT_ONCE)
            ]
            await asyncio.gather(*work, sweep(admission))

    async with AsyncExitStack() as stack:
        pools = [(await stack.enter_async_context(open_database(gateway_settings))).pool for _ in range(WAYS)]
        await asyncio.gather(*(way(Admission(pool)) for pool in pools))
        while await Admission(pools[0]).sweep():
            continue
    row = await (
        await database.execute(
            """
            SELECT pg_stat_force_next_flush(), (SELECT count(*) FROM detections WHERE status = 'running'),
                (SELECT count(*) FROM detections),
                (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())
            """
        )
    ).fetchone()
    assert row[1:] == (0, WAYS * ROUNDS * AT_ONCE, 0)
    counted = """
        SELECT m.subject_id, m.charged, m.bytes, count(d.id), coalesce(sum(d.size_bytes), 0)
        FROM meters m LEFT JOIN detections d ON m.subject_id IN (d.account_id, d.key_id) AND d.status = 'succeeded'
        GROUP BY m.subject_id
    """
    meters = await (await database.execute(counted)).fetchall()
    assert len(meters) == 3 * accounts
    for _, charged, size, succeeded, bytes_judged in meters:
        assert (charged, size) == (succeeded, bytes_judged)
    days = "SELECT sum(succeeded), sum(failed), sum(charged) FROM detection_days"
    closed = """
        SELECT count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
            count(*) FILTER (WHERE status = 'succeeded') FROM detections
    """
    assert await (await database.execute(days)).fetchone() == await (await database.execute(closed)).fetchone()
