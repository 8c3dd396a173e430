"""In which order jobs are taken."""

from typing import Any

import psycopg
import pytest

from tests.fixtures.gateway import JPEG, Client, make_account

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]
ALL = ["jobs.interactive", "jobs.api", "jobs.batch"]


async def send(client: Client, count: int, **headers: str) -> list[str]:
    """Hand pictures over; returns their jobs."""
    path = "/v1/detections" if headers else "/v1/jobs"
    answers = [
        await client.http.post(path, headers={**client.headers(), **headers}, files={"file": ("a.jpg", JPEG)})
        for _ in range(count)
    ]
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    return [answer.json()["id"] for answer in answers]


async def take(database: Database, queues: list[str] | None = None) -> str | None:
    """What a worker would begin next."""
    worker = await (await database.execute("SELECT procrastinate_register_worker_v1()")).fetchone()
    assert worker is not None
    query = "SELECT args ->> 'job_id' FROM procrastinate_fetch_job_v2(%s::varchar[], %s)"
    row = await (await database.execute(query, (queues or ALL, worker[0]))).fetchone()
    if row is None or row[0] is None:
        return None
    await database.execute("SELECT begin_job(%s, 60, 'test')", (row[0],))
    return row[0]


async def other(client: Client, database: Database, email: str) -> Client:
    return Client(client.http, await make_account(database, email))


async def test_who_has_one_job_waits_for_one_of_each_other_account(client: Client, database: Database) -> None:
    many = await send(client, 20)
    for _ in range(5):
        assert await take(database) in many
    second, third = await other(client, database, "b@example.org"), await other(client, database, "c@example.org")
    few, one = await send(second, 3), await send(third, 1)
    taken = [await take(database) for _ in range(6)]
    assert taken == [many[5], few[0], one[0], many[6], few[1], many[7]]


async def test_what_is_tried_again_lets_no_newcomer_pass_those_who_wait(client: Client, database: Database) -> None:
    many = await send(client, 6)
    assert await take(database) == many[0]
    token = await (await database.execute("SELECT attempt FROM jobs WHERE id = %s", (many[0],))).fetchone()
    assert token is not None
    await database.execute("SELECT retry_job(%s, %s, 'x', 'x', 60, true)", (many[0], token[0]))
    for _ in range(3):
        await take(database)
    few = await send(await other(client, database, "b@example.org"), 2)
    assert [await take(database) for _ in range(4)] == [many[4], few[0], many[5], few[1]]


async def test_classes_go_one_after_the_other_and_each_lane_has_its_own(client: Client, database: Database) -> None:
    waiting = await send(client, 2)
    urgent = await send(client, 2, prefer="respond-async")
    assert await take(database) == urgent[0]
    assert await take(database, ["jobs.api"]) == waiting[0]
    assert [await take(database) for _ in range(3)] == [urgent[1], waiting[1], None]


async def test_the_position_counts_what_goes_before(client: Client, database: Database) -> None:
    many = await send(client, 3)
    few = await send(await other(client, database, "b@example.org"), 1)
    urgent = await send(client, 1, prefer="respond-async")
    positions = [(await client.get(f"/v1/jobs/{job}")).json()["position"] for job in (*urgent, *many)]
    # The one job of the other account came later than the first of ours, and goes before the second.
    assert positions == [0, 1, 3, 4]
    assert few
