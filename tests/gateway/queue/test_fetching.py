"""The claim of a task: by priority over the queues of a lane, by nobody twice, and as fast whatever waits beside it."""

import asyncio
from typing import Any

import psycopg
import pytest

from gateway.db.engine import connection_string

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]


async def put(database: Database, queue: str, priority: int = 0, *, lock: str | None = None, in_s: float = 0) -> int:
    row = await (
        await database.execute(
            """
            INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, scheduled_at)
            VALUES (%s, 'task', %s, %s, now() + make_interval(secs => %s)) RETURNING id
            """,
            (queue, priority, lock, in_s),
        )
    ).fetchone()
    assert row
    return row[0]


async def fill(database: Database, queue: str, count: int, *, priority: int = 0, in_s: float = 0) -> None:
    await database.execute(
        """
        INSERT INTO procrastinate_jobs (queue_name, task_name, priority, scheduled_at)
        SELECT %s, 'task', %s, now() + make_interval(secs => %s) FROM generate_series(1, %s)
        """,
        (queue, priority, in_s, count),
    )


async def fetch(database: Database, *queues: str) -> int | None:
    query = "SELECT id FROM procrastinate_fetch_job_v2(%s, NULL)"
    row = await (await database.execute(query, (list(queues) or None,))).fetchone()
    assert row
    return row[0]


async def test_highest_priority_of_all_queues_of_the_lane_comes_first(database: Database) -> None:
    low, high, middle = await put(database, "a", 1), await put(database, "b", 3), await put(database, "a", 2)
    await put(database, "elsewhere", 9)
    assert [await fetch(database, "a", "b") for _ in range(4)] == [high, middle, low, None]


async def test_equal_priorities_come_in_the_order_in_which_they_were_put(database: Database) -> None:
    put_in = [await put(database, queue) for queue in ("b", "a", "b", "a")]
    assert [await fetch(database, "a", "b") for _ in put_in] == put_in


async def test_lane_without_queues_takes_from_all(database: Database) -> None:
    put_in = [await put(database, queue, priority) for queue, priority in (("a", 3), ("b", 2), ("c", 1))]
    assert [await fetch(database) for _ in range(4)] == [*put_in, None]


async def test_nothing_is_taken_before_its_time(database: Database) -> None:
    await put(database, "a", 9, in_s=3600)
    now = await put(database, "a")
    assert [await fetch(database, "a"), await fetch(database, "a")] == [now, None]


async def test_tasks_of_a_lock_run_one_after_the_other(database: Database) -> None:
    first, second, free = (
        await put(database, "a", lock="one"),
        await put(database, "a", lock="one"),
        await put(database, "a"),
    )
    assert [await fetch(database, "a") for _ in range(3)] == [first, free, None]
    await database.execute("SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)", (first,))
    assert await fetch(database, "a") == second


async def test_what_another_is_taking_is_left_to_it(database: Database, database_url: str) -> None:
    first, second = await put(database, "a"), await put(database, "a")
    async with await psycopg.AsyncConnection.connect(connection_string(database_url)) as other:
        assert await fetch(other, "a") == first
        assert await fetch(database, "a") == second
        await other.rollback()
    assert await fetch(database, "a") == first


async def test_claimers_at_once_take_each_task_once(database: Database, database_url: str) -> None:
    await fill(database, "a", 200)
    await fill(database, "b", 200)

    async def claim_all() -> list[int]:
        async with await psycopg.AsyncConnection.connect(connection_string(database_url), autocommit=True) as own:
            taken: list[int] = []
            while (task := await fetch(own, "a", "b")) is not None:
                taken.append(task)
            return taken

    taken = [task for each in await asyncio.gather(*(claim_all() for _ in range(8))) for task in each]
    assert len(taken) == len(set(taken)) == 400


@pytest.mark.parametrize("waiting", ["in the lane", "before the lane", "behind the lane"])
async def test_claim_reads_a_few_pages_however_many_wait(database: Database, waiting: str) -> None:
    """No statistics are there, as in a table that was filled this minute."""
    queue, priority = {"in the lane": ("a", 0), "before the lane": ("b", 9), "behind the lane": ("b", -9)}[waiting]
    await database.execute("ALTER TABLE procrastinate_jobs SET (autovacuum_enabled = off)")
    await fill(database, queue, 20_000, priority=priority)
    await put(database, "a", 1)
    pages: list[int] = []
    # The seventh call is run with a plan that was made for any parameters.
    for _ in range(7):
        query = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT procrastinate_fetch_job_v2('{a}', NULL)"
        row = await (await database.execute(query)).fetchone()
        assert row
        plan = row[0][0]["Plan"]
        pages.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    assert max(pages[1:]) < 120, pages


async def test_a_pause_of_jobs_holds_for_their_queues_alone(database: Database) -> None:
    numbers = [await put(database, queue) for queue in ("jobs.batch", "jobs.api", "default", "jobsters")]
    await database.execute("INSERT INTO queue_pauses (queue, reason) VALUES ('jobs', 'Why not.')")
    assert await fetch(database, "jobs.api", "jobs.batch") is None
    assert await fetch(database, "jobs.api", "default") == numbers[2]
    assert await fetch(database) == numbers[3]
    await database.execute("DELETE FROM queue_pauses")
    assert {await fetch(database, "jobs.api", "jobs.batch") for _ in range(2)} == set(numbers[:2])
