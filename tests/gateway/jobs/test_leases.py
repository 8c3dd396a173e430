"""Who has a job, who loses it, and that nothing of a worker is taken that has lost it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bentos.contract import Modality
from gateway.db.engine import Database as Pools
from gateway.db.engine import open_database
from gateway.db.transactions import transaction
from gateway.detections.fakes import Script
from gateway.errors import FailureError
from gateway.jobs.ending import Endings
from gateway.jobs.outcomes import fail_job, retry_job
from gateway.jobs.upkeep import JobUpkeep
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client
from tests.gateway.jobs.conftest import HandOver, reached, read, working

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]


@pytest.fixture
async def opened(gateway_settings: GatewaySettings) -> AsyncGenerator[Pools]:
    """The pools of a process of this test's own."""
    async with open_database(gateway_settings) as database:
        yield database


def upkeep_of(opened: Pools, most_losses: int = 10) -> JobUpkeep:
    return JobUpkeep(opened.engine, Endings(), most_losses=most_losses, retention_days=14)


async def begin(database: Database, job_id: str, lease_s: float) -> tuple[UUID, UUID] | None:
    """The token under which a job was begun, and its detection."""
    query = "SELECT attempt, detection_id FROM begin_job(%s, %s, 'test')"
    row = await (await database.execute(query, (job_id, lease_s))).fetchone()
    return None if row is None else (row[0], row[1])


async def begun(database: Database, job_id: str, lease_s: float = 30) -> tuple[UUID, UUID]:
    taken = await begin(database, job_id, lease_s)
    assert taken is not None
    return taken


async def test_a_job_is_begun_once(hand_over: HandOver, database: Database) -> None:
    job = await hand_over()
    assert await begin(database, job["id"], 30) is not None
    assert await begin(database, job["id"], 30) is None


async def test_a_lapsed_lease_is_not_renewed(hand_over: HandOver, database: Database) -> None:
    job = await hand_over()
    attempt, _ = await begun(database, job["id"], 0)
    row = await (await database.execute("SELECT count(*) FROM renew_leases(%s, 30)", ([attempt],))).fetchone()
    assert row == (0,)


async def test_a_lapsed_job_is_taken_up_again_and_the_late_write_refused(
    client: Client, hand_over: HandOver, database: Database, opened: Pools
) -> None:
    job = await hand_over()
    late, detection_id = await begun(database, job["id"], 0)
    await upkeep_of(opened).take_back()
    assert (await read(client, job["id"]))["status"] == "queued"
    current, _ = await begun(database, job["id"])
    job_id, error = UUID(job["id"]), FailureError()
    before = await (await database.execute("SELECT jobs, d FROM jobs JOIN detections d ON true")).fetchall()
    async with transaction(opened.engine) as connection:
        assert not await fail_job(connection, job_id, detection_id, late, error, dead=False)
        assert not await retry_job(connection, job_id, late, error, pause_s=0, failed=True)
    row = await (await database.execute("SELECT progress_job(%s, %s, '{}')", (job_id, late))).fetchone()
    assert row == (False,)
    assert await (await database.execute("SELECT jobs, d FROM jobs JOIN detections d ON true")).fetchall() == before
    async with transaction(opened.engine) as connection:
        assert await fail_job(connection, job_id, detection_id, current, error, dead=True)


async def test_a_write_past_its_lease_is_refused_though_nobody_took_the_job_yet(
    hand_over: HandOver, database: Database, opened: Pools
) -> None:
    job = await hand_over()
    attempt, detection_id = await begun(database, job["id"], 0)
    async with transaction(opened.engine) as connection:
        assert not await fail_job(connection, UUID(job["id"]), detection_id, attempt, FailureError(), dead=False)


async def test_a_job_that_loses_worker_after_worker_is_given_up_and_refunded(
    client: Client, hand_over: HandOver, database: Database, opened: Pools
) -> None:
    job = await hand_over()
    upkeep = upkeep_of(opened, most_losses=3)
    for _ in range(3):
        assert (await read(client, job["id"]))["status"] == "queued"
        await begun(database, job["id"], 0)
        await upkeep.take_back()
    ended = await read(client, job["id"])
    assert (ended["status"], ended["dead"], ended["error"]["code"]) == ("failed", True, "worker_lost")
    assert await client.used() == 0


async def test_a_job_whose_worker_died_before_it_began_it_waits_in_the_queue_again(
    client: Client, hand_over: HandOver, database: Database, opened: Pools
) -> None:
    job = await hand_over()
    fetch = """
        SELECT id FROM procrastinate_fetch_job_v2(
            '{jobs.interactive,jobs.api}', (SELECT worker_id FROM procrastinate_register_worker_v1())
        )
    """
    taken = await (await database.execute(fetch)).fetchone()
    assert taken is not None
    assert taken[0] is not None
    await upkeep_of(opened).take_back()
    assert await (await database.execute(fetch)).fetchone() == (None,)
    await database.execute("UPDATE procrastinate_events SET at = at - interval '6 seconds' WHERE type = 'started'")
    await upkeep_of(opened).take_back()
    await upkeep_of(opened).take_back()
    again = await (await database.execute(fetch)).fetchone()
    assert again is not None
    assert again[0] > taken[0]
    assert await (await database.execute(fetch)).fetchone() == (None,)
    assert (await read(client, job["id"]))["status"] == "queued"


async def test_a_worker_takes_up_what_another_left_behind_within_the_lease_and_two_seconds(
    client: Client, hand_over: HandOver, database: Database, gateway_settings: GatewaySettings
) -> None:
    async with working(gateway_settings):
        first = await hand_over()
        await reached(client, first["id"], "succeeded")
        lease_s = 2.0
        await database.execute("INSERT INTO queue_pauses (queue) VALUES ('jobs')")
        await asyncio.sleep(2.5)
        job = await hand_over()
        await begun(database, job["id"], lease_s)
        await database.execute("DELETE FROM queue_pauses")
        await asyncio.sleep(lease_s)
        await reached(client, job["id"], "succeeded", within_s=2.5)


async def test_a_queued_job_without_an_entry_in_the_queue_gets_a_new_one(
    client: Client, hand_over: HandOver, database: Database, opened: Pools, gateway_settings: GatewaySettings
) -> None:
    job = await hand_over()
    await database.execute("DELETE FROM procrastinate_jobs")
    assert await upkeep_of(opened).reissue() == 0
    await database.execute("UPDATE jobs SET run_at = now() - interval '1 minute'")
    assert await upkeep_of(opened).reissue() == 1
    async with working(gateway_settings):
        await reached(client, job["id"], "succeeded")


async def test_ended_jobs_are_forgotten_after_their_time_and_their_detections_are_not(
    client: Client, hand_over: HandOver, database: Database, opened: Pools, gateway_settings: GatewaySettings
) -> None:
    old, young = await hand_over(), await hand_over()
    async with working(gateway_settings):
        for job in (old, young):
            await reached(client, job["id"], "succeeded")
    await database.execute("UPDATE jobs SET ended_at = now() - interval '15 days' WHERE id = %s", (old["id"],))
    assert await upkeep_of(opened).forget() == 1
    assert [one["id"] for one in (await client.get("/v1/jobs")).json()["data"]] == [young["id"]]
    assert (await client.get(f"/v1/detections/{old['detection_id']}")).json()["status"] == "succeeded"
    left = await (await database.execute("SELECT count(*) FROM job_events WHERE job_id = %s", (old["id"],))).fetchone()
    assert left == (0,)


async def test_sync_detections_are_swept_but_not_those_of_waiting_jobs(
    hand_over: HandOver, database: Database, bentos: dict[Modality, Script]
) -> None:
    assert bentos
    job = await hand_over()
    row = await (await database.execute("SELECT sweep_detections(100)")).fetchone()
    assert row == (0,)
    state = await (
        await database.execute("SELECT status FROM detections WHERE id = %s", (job["detection_id"],))
    ).fetchone()
    assert state == ("queued",)
