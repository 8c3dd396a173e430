import asyncio
import random
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from gateway.db.engine import connection_string
from tests.fixtures.admissions import Connection, Holder, make_holder
from tests.fixtures.gateway import eventually
from tests.fixtures.queued_jobs import begin, fail, hand_over, one, store_medium

pytestmark = pytest.mark.integration

STATE = """
    SELECT j.status, j.dead, j.failures, j.losses, j.error_code, j.ended_at, j.ticket IS NOT NULL, d.status, d.refunded,
        d.error_code, d.settled_at
    FROM jobs j JOIN detections d ON d.id = j.detection_id WHERE j.id = %s
"""
QUEUED = ("queued", False, 0, 0, None, None, True, "queued", False, None, None)


async def state(database: Connection, job_id: UUID) -> tuple[Any, ...]:
    row = await (await database.execute(STATE, (job_id,))).fetchone()
    assert row
    return row


async def revive(database: Connection, job_id: UUID) -> str:
    return await one(database, "SELECT revive_job(%s)", job_id)


@pytest.fixture
async def holder(database: Connection) -> Holder:
    return await make_holder(database, daily_limit=3, daily_bytes=30)


async def test_a_dead_job_waits_again_and_is_charged_once_more(database: Connection, holder: Holder) -> None:
    await holder.set_key(daily_limit=5)
    job = await hand_over(holder)
    await fail(database, job)
    assert (await holder.meter())[1:] == (0, 0, 0)
    assert await revive(database, job) == "revived"
    assert await state(database, job) == QUEUED
    assert (await holder.meter())[1:] == (1, 10, 1)
    assert (await holder.meter(holder.key_id))[1:] == (1, 10, 1)
    assert await one(database, "SELECT count(*) FROM detections") == 1
    assert await one(database, "SELECT sum(failed) FROM detection_days") == 0
    # The entry in the queue is one that a worker can take.
    assert await begin(database, job)
    kinds = await one(database, "SELECT array_agg(kind ORDER BY place) FROM job_events WHERE job_id = %s", job)
    assert kinds == ["queued", "running", "failed", "queued", "running"]


async def test_its_second_failure_is_refunded_too(database: Connection, holder: Holder) -> None:
    job = await hand_over(holder)
    for _ in range(3):
        await fail(database, job)
        assert (await holder.meter())[1:] == (0, 0, 0)
        assert await revive(database, job) == "revived"
    assert (await holder.meter())[1:] == (1, 10, 1)
    assert await one(database, "SELECT attempts FROM jobs WHERE id = %s", job) == 3


async def test_a_cancelled_job_waits_again(database: Connection, holder: Holder) -> None:
    job = await hand_over(holder)
    assert await one(database, "SELECT cancel_job(%s, 'No.')", job)
    assert await revive(database, job) == "revived"
    assert await state(database, job) == QUEUED


async def test_of_many_at_once_one_revives(database_url: str, database: Connection, holder: Holder) -> None:
    job = await hand_over(holder)
    await fail(database, job)

    async def attempt() -> str:
        async with await psycopg.AsyncConnection.connect(connection_string(database_url), autocommit=True) as another:
            return await revive(another, job)

    outcomes = await asyncio.gather(*(attempt() for _ in range(8)))
    assert sorted(outcomes) == ["open"] * 7 + ["revived"]
    assert (await holder.meter())[1:] == (1, 10, 1)


async def test_what_has_not_failed_is_left_alone(database: Connection, holder: Holder) -> None:
    assert await revive(database, uuid4()) == "gone"
    job = await hand_over(holder)
    assert await revive(database, job) == "open"
    attempt = await begin(database, job)
    assert await revive(database, job) == "open"
    assert await one(database, "SELECT end_job(%s, %s, 'succeeded', NULL, NULL, false, '{}')", job, attempt)
    assert await revive(database, job) == "succeeded"


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ("UPDATE media SET state = 'deleting', object_path = NULL", "medium_gone"),
        ("DELETE FROM media", "medium_gone"),
        ("UPDATE detections SET deleted_at = now()", "deleted"),
        ("UPDATE accounts SET status = 'suspended'", "suspended"),
        ("UPDATE api_keys SET revoked_at = now()", "key_gone"),
        ("UPDATE api_keys SET scopes = '{detect:audio}'", "scope"),
        ("UPDATE api_keys SET allowed_models = '{another}'", "model"),
        ("UPDATE accounts SET daily_limit = 0", "daily"),
        ("UPDATE accounts SET daily_bytes = 9", "bytes"),
        ("UPDATE api_keys SET daily_limit = 0", "key_daily"),
        ("UPDATE api_keys SET daily_bytes = 9", "key_bytes"),
    ],
)
async def test_what_a_new_one_would_be_refused_for_changes_nothing(
    database: Connection, holder: Holder, statement: str, outcome: str
) -> None:
    job = await hand_over(holder)
    await fail(database, job)
    before = await state(database, job)
    await database.execute(statement.encode())
    assert await revive(database, job) == outcome
    assert await state(database, job) == before
    assert (await holder.meter())[1:] == (0, 0, 0)


async def test_what_came_from_an_address_is_weighed_anew(database: Connection, holder: Holder) -> None:
    job = await hand_over(holder, url="https://media.example.org/a.jpg")
    attempt = await begin(database, job)
    weigh = "SELECT weigh_detection(detection_id, %s, 20, NULL, 'image/jpeg', 'a.jpg') FROM jobs WHERE id = %s"
    assert await one(database, weigh, attempt, job) is None
    assert (await holder.meter())[1:] == (1, 20, 1)
    ended = await one(database, "SELECT end_job(%s, %s, 'failed', 'x', 'No.', true, '{}')", job, attempt)
    assert ended
    await database.execute("SELECT fail_detection(detection_id, %s, 'x', 'No.') FROM jobs", (attempt,))
    assert (await holder.meter())[1:] == (0, 0, 0)
    assert await revive(database, job) == "revived"
    assert (await holder.meter())[1:] == (1, 0, 1)
    attempt = await begin(database, job)
    assert await one(database, weigh, attempt, job) is None
    assert (await holder.meter())[1:] == (1, 20, 1)


async def test_its_batch_runs_again(database: Connection, holder: Holder) -> None:
    batch = await one(
        database,
        "INSERT INTO batches (account_id, status, total, request_id) VALUES (%s, 'running', 1, 'r') RETURNING id",
        holder.account_id,
    )
    job = await hand_over(holder, batch_id=batch, place=0)
    await fail(database, job)
    assert await one(database, "SELECT end_batch(%s)", batch)
    assert await revive(database, job) == "revived"
    running = await one(database, "SELECT (status, ended_at IS NULL) = ('running', true) FROM batches")
    assert running
    assert not await one(database, "SELECT end_batch(%s)", batch)


async def test_dead_jobs_are_revived_by_turns_the_newest_first(database: Connection, holder: Holder) -> None:
    await holder.set_account(daily_limit=None, daily_bytes=None)
    another = await make_holder(database)
    jobs = [await hand_over(holder) for _ in range(3)] + [await hand_over(another)]
    await fail(database, jobs[0], code="worker_lost")
    await fail(database, jobs[1])
    await fail(database, jobs[2], code="unreadable_media", dead=False)
    await fail(database, jobs[3])

    async def revived(*parameters: object) -> dict[UUID, str]:
        found = await database.execute("SELECT * FROM revive_dead_jobs(%s, %s, %s, %s)", parameters)
        return dict(await found.fetchall())

    assert await revived(None, "worker_gone", None, 10) == {}
    assert await revived(holder.account_id, None, jobs[1], 10) == {jobs[0]: "revived"}
    await database.execute("DELETE FROM media WHERE id = (SELECT medium_id FROM jobs WHERE id = %s)", (jobs[1],))
    assert await revived(None, None, None, 1) == {jobs[3]: "revived"}
    assert await revived(None, None, None, 10) == {jobs[1]: "medium_gone"}
    assert await one(database, "SELECT count(*) FROM jobs WHERE dead") == 1


async def test_a_medium_is_not_taken_away_from_under_it(
    database_url: str, database: Connection, holder: Holder
) -> None:
    job = await hand_over(holder)
    await store_medium(holder)
    await fail(database, job)
    async with await psycopg.AsyncConnection.connect(connection_string(database_url)) as another:
        assert await revive(another, job) == "revived"
        await database.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await database.execute("SELECT discard_media(ARRAY(SELECT id FROM media), 'owner')")


async def revive_some(mine: Connection, job: UUID) -> str | None:
    return "revived" if await revive(mine, job) == "revived" else None


async def revive_dead(mine: Connection, _: UUID) -> str | None:
    found = await (await mine.execute("SELECT * FROM revive_dead_jobs(NULL, NULL, NULL, 5)")).fetchall()
    return "revived" if any(outcome == "revived" for _, outcome in found) else None


async def cancel(mine: Connection, job: UUID) -> str | None:
    cancelled = await one(mine, "SELECT cancel_job(%s, 'No.')", job)
    await mine.execute("SELECT end_batch(batch_id) FROM jobs WHERE id = %s", (job,))
    return "cancelled" if cancelled else None


async def run_and_fail(mine: Connection, job: UUID) -> str | None:
    row = await (await mine.execute("SELECT attempt FROM begin_job(%s, 60, 'w')", (job,))).fetchone()
    if row is None:
        return None
    assert await one(mine, "SELECT end_job(%s, %s, 'failed', 'x', 'No.', true, '{}')", job, row[0])
    assert await one(mine, "SELECT fail_detection(detection_id, %s, 'x', 'No.') FROM jobs WHERE id = %s", row[0], job)
    await mine.execute("SELECT end_batch(batch_id) FROM jobs WHERE id = %s", (job,))
    return "failed"


async def test_nothing_deadlocks_and_everything_adds_up(database_url: str, database: Connection) -> None:
    holders = [await make_holder(database) for _ in range(3)]
    batch = "INSERT INTO batches (account_id, status, total, request_id) VALUES (%s, 'running', 4, 'r') RETURNING id"
    for holder in holders:
        await holder.set_key(daily_limit=10_000)
        number = await one(database, batch, holder.account_id)
        for place in range(4):
            await fail(database, await hand_over(holder, batch_id=number, place=place))
            await hand_over(holder)
    jobs = await one(database, "SELECT array_agg(id) FROM jobs")
    until = asyncio.get_running_loop().time() + 3
    done: Counter[str | None] = Counter()

    async def disturb(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - So that a run can be repeated.
        async with await psycopg.AsyncConnection.connect(connection_string(database_url), autocommit=True) as mine:
            while asyncio.get_running_loop().time() < until:
                act = chance.choice((revive_some, revive_dead, cancel, run_and_fail))
                async with mine.transaction():
                    done[await act(mine, chance.choice(jobs))] += 1

    await asyncio.gather(*(disturb(seed) for seed in range(8)))
    assert all(done[act] > 10 for act in ("revived", "cancelled", "failed")), done
    for holder in holders:
        query = "SELECT count(*) FROM jobs WHERE account_id = %s AND status IN ('queued', 'running')"
        waiting = await one(database, query, holder.account_id)
        for subject in (holder.account_id, holder.key_id):
            assert (await holder.meter(subject))[1:] == (waiting, 10 * waiting, waiting)
        failed = await one(database, "SELECT sum(failed) FROM detection_days WHERE account_id = %s", holder.account_id)
        assert failed == 8 - waiting


async def test_another_job_of_the_same_medium_may_end_meanwhile(
    database_url: str, database: Connection, holder: Holder
) -> None:
    dead, other = await hand_over(holder), await hand_over(holder)
    await fail(database, dead)
    medium = await one(database, "SELECT medium_id FROM jobs WHERE id = %s", dead)
    await database.execute("UPDATE jobs SET medium_id = %s WHERE id = %s", (medium, other))
    async with (
        await psycopg.AsyncConnection.connect(connection_string(database_url), autocommit=True) as reviving,
        await psycopg.AsyncConnection.connect(connection_string(database_url)) as ending,
    ):
        # A job that ends holds the meters when it lets go of its medium.
        await ending.execute("SELECT cancel_job(%s, 'No.')", (other,))
        revived = asyncio.create_task(revive(reviving, dead))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def waiting() -> bool:
            return await one(database, waits) > 0

        await eventually(waiting)
        await ending.execute("UPDATE media SET expires_at = now() WHERE id = %s", (medium,))
        await ending.commit()
        assert await revived == "revived"
