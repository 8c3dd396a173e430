import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from gateway.db.engine import Database, connection_string, open_database
from gateway.logs import library_logs
from gateway.queue.deferring import defer
from gateway.queue.heartbeat import is_beating, last_worker
from gateway.queue.lanes import WEBHOOK_QUEUE, Lane
from gateway.queue.runner import Runner
from gateway.queue.tasks import HopelessError, Patience, Task, pause_s
from gateway.queue.upkeep import Upkeep
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import eventually

pytestmark = pytest.mark.integration

AT_ONCE = Patience(attempts=3, first_pause_s=0)
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def opened(gateway_settings: GatewaySettings) -> AsyncGenerator[Database]:
    async with open_database(gateway_settings) as database:
        yield database


@asynccontextmanager
async def running(settings: GatewaySettings, *tasks: Task) -> AsyncGenerator[Runner]:
    """A runner of these tasks, stopped at the end."""
    lane = Lane(name="one", queues=("default",), places=settings.worker_concurrency)
    runner = Runner(tasks, settings, [lane])
    work = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.stop()
        await asyncio.wait_for(work, 30)


async def call(opened: Database, task: str, **arguments: Any) -> int:
    async with opened.engine.begin() as connection:
        return await defer(connection, task, arguments)


async def job(database: Connection, number: int) -> tuple[Any, ...]:
    query = "SELECT status::text, attempts, args FROM procrastinate_jobs WHERE id = %s"
    row = await (await database.execute(query, [number])).fetchone()
    assert row
    return row


def has(database: Connection, number: int, *statuses: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return (await job(database, number))[0] in statuses

    return check


async def test_a_job_is_run_with_its_arguments_and_then_they_are_forgotten(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    seen: list[str] = []

    async def work(word: str) -> None:
        seen.append(word)

    number = await call(opened, "note", word="hello")
    async with running(gateway_settings, Task(name="note", work=work)):
        await eventually(has(database, number, "succeeded"))
    assert seen == ["hello"]
    assert await job(database, number) == ("succeeded", 1, {})


async def test_no_more_jobs_run_at_once_than_the_setting_says(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    settings = gateway_settings.model_copy(update={"worker_concurrency": 2})
    busy, most, gate = 0, 0, asyncio.Event()

    async def work() -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await gate.wait()
        busy -= 1

    numbers = [await call(opened, "wait") for _ in range(5)]

    async def two_run() -> bool:
        return busy == 2

    async with running(settings, Task(name="wait", work=work)):
        await eventually(two_run)
        gate.set()
        for number in numbers:
            await eventually(has(database, number, "succeeded"))
    assert most == 2


async def test_a_job_that_fails_is_tried_as_often_as_its_task_says(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("not today")

    number = await call(opened, "fail")
    async with running(gateway_settings, Task(name="fail", work=work, patience=AT_ONCE)):
        await eventually(has(database, number, "failed"))
    assert tries == 3
    assert await job(database, number) == ("failed", 3, {})


async def test_a_hopeless_job_is_tried_once_and_keeps_its_arguments(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    async def work(word: str) -> None:
        raise HopelessError(word)

    number = await call(opened, "fail", word="never")
    async with running(gateway_settings, Task(name="fail", work=work, patience=AT_ONCE)):
        await eventually(has(database, number, "failed"))
    assert await job(database, number) == ("failed", 1, {"word": "never"})


async def test_what_a_job_is_called_with_is_not_logged(
    gateway_settings: GatewaySettings, opened: Database, database: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    levels = {name: logger["level"] for name, logger in library_logs("debug")["loggers"].items() if "level" in logger}
    for name, level in levels.items():
        if name.startswith("procrastinate"):
            caplog.set_level(level, logger=name)
    caplog.set_level(logging.DEBUG)

    async def work(word: str) -> None:
        if word != "open sesame":
            raise RuntimeError("no")

    task = Task(name="whisper", work=work, patience=Patience(attempts=1))
    right, wrong = await call(opened, "whisper", word="open sesame"), await call(opened, "whisper", word="abracadabra")
    async with running(gateway_settings, task):
        await eventually(has(database, right, "succeeded"))
        await eventually(has(database, wrong, "failed"))
    assert "sesame" not in caplog.text
    assert "abracadabra" not in caplog.text


async def test_a_runner_that_stops_lets_its_job_finish_and_takes_no_other(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    settings = gateway_settings.model_copy(update={"worker_concurrency": 1})
    begun, gate = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await gate.wait()

    numbers = [await call(opened, "wait") for _ in range(2)]
    async with running(settings, Task(name="wait", work=work)) as runner:
        await asyncio.wait_for(begun.wait(), 15)
        runner.stop()
        asyncio.get_running_loop().call_later(0.2, gate.set)
    assert [(await job(database, number))[0] for number in numbers] == ["succeeded", "todo"]


async def test_a_job_that_outlasts_the_drain_goes_back_into_the_queue(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    settings = gateway_settings.model_copy(update={"drain_timeout_s": 0.1})
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    number = await call(opened, "wait")
    task = Task(name="wait", work=work, patience=Patience(attempts=1))
    async with running(settings, task):
        await asyncio.wait_for(begun.wait(), 15)
    assert (await job(database, number))[:2] == ("todo", 1)


async def test_a_runner_beats_and_the_next_one_is_told_from_it(
    gateway_settings: GatewaySettings, database: Connection
) -> None:
    conninfo = connection_string(gateway_settings.database_url.get_secret_value())
    assert not await is_beating(conninfo)
    before = await last_worker(conninfo)
    async with running(gateway_settings):
        await eventually(lambda: is_beating(conninfo, after=before))
        first = await last_worker(conninfo)
        assert not await is_beating(conninfo, after=first)
        await database.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
        assert not await is_beating(conninfo)
    assert not await is_beating(conninfo)


async def test_a_runner_outlives_its_database_connections(
    gateway_settings: GatewaySettings, opened: Database, database: Connection
) -> None:
    async def work() -> None:
        """Do nothing."""

    conninfo = connection_string(gateway_settings.database_url.get_secret_value())
    async with running(gateway_settings, Task(name="nothing", work=work)):
        await eventually(lambda: is_beating(conninfo))
        await database.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )
        number = await call(opened, "nothing")
        await eventually(has(database, number, "succeeded"), 30)


@pytest.mark.parametrize(("attempts", "status"), [(0, "todo"), (2, "failed")])
async def test_the_job_of_a_dead_worker_is_taken_up_or_given_up(
    opened: Database, database: Connection, attempts: int, status: str
) -> None:
    number = await call(opened, "work")
    await database.execute(
        """
        WITH dead AS (
            INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '5 minutes') RETURNING id
        )
        UPDATE procrastinate_jobs SET status = 'doing', attempts = %s, worker_id = dead.id FROM dead
        """,
        [attempts],
    )
    upkeep = Upkeep(opened.pool, [_task()], stalled_after_s=60, retention_days=1)
    assert await upkeep.take_up_stalled() == 1
    assert (await job(database, number))[:2] == (status, attempts + 1)
    assert await upkeep.take_up_stalled() == 0


async def test_the_job_of_a_living_worker_is_left_alone(opened: Database, database: Connection) -> None:
    number = await call(opened, "work")
    await database.execute(
        """
        WITH alive AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)
        UPDATE procrastinate_jobs SET status = 'doing', worker_id = alive.id FROM alive
        """
    )
    upkeep = Upkeep(opened.pool, [_task()], stalled_after_s=60, retention_days=1)
    assert await upkeep.take_up_stalled() == 0
    assert (await job(database, number))[0] == "doing"


async def test_finished_jobs_are_removed_in_time_and_failed_ones_forget_sooner(
    opened: Database, database: Connection
) -> None:
    numbers = {age: await call(opened, "work", word="secret") for age in (1, 30, 60)}
    await database.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    await database.execute("UPDATE procrastinate_jobs SET status = 'failed'")
    for age, number in numbers.items():
        await database.execute(
            "UPDATE procrastinate_events SET at = at - make_interval(hours => %s) WHERE job_id = %s", [age, number]
        )
    upkeep = Upkeep(opened.pool, [_task()], stalled_after_s=60, retention_days=2)
    assert await upkeep.forget_finished() == 1
    rows = await (await database.execute("SELECT id, args FROM procrastinate_jobs ORDER BY id")).fetchall()
    assert rows == [(numbers[1], {"word": "secret"}), (numbers[30], {})]


def test_pauses_grow_to_an_hour() -> None:
    patience = Patience(attempts=30, first_pause_s=10)
    pauses = [pause_s(patience, failures).total_seconds() for failures in range(20)]
    assert 7.5 <= pauses[0] <= 12.5
    assert 15 <= pauses[1] <= 25
    assert all(2700 <= pause <= 4500 for pause in pauses[10:])


def _task() -> Task:
    async def work(word: str = "") -> None:
        """Do nothing."""

    return Task(name="work", work=work, patience=AT_ONCE)


async def test_what_takes_long_in_one_lane_holds_up_no_other(
    gateway_settings: GatewaySettings, opened: Database
) -> None:
    begun, gate, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def judge() -> None:
        begun.set()
        await gate.wait()

    async def tell() -> None:
        told.set()

    tasks = [Task(name="judge", work=judge, queue="jobs.batch"), Task(name="tell", work=tell, queue=WEBHOOK_QUEUE)]
    runner = Runner(tasks, gateway_settings.model_copy(update={"worker_concurrency": 1}))
    work = asyncio.create_task(runner.run())
    try:
        async with opened.engine.begin() as connection:
            for _ in range(5):
                await defer(connection, "judge", {}, queue="jobs.batch")
        await asyncio.wait_for(begun.wait(), 15)
        async with opened.engine.begin() as connection:
            await defer(connection, "tell", {}, queue=WEBHOOK_QUEUE)
        await asyncio.wait_for(told.wait(), 15)
    finally:
        gate.set()
        runner.stop()
        await asyncio.wait_for(work, 30)


async def test_a_task_that_no_lane_takes_is_an_error_at_once(gateway_settings: GatewaySettings) -> None:
    async def work() -> None: ...

    with pytest.raises(ValueError, match="no lane takes"):
        Runner([Task(name="lost", work=work, queue="nowhere")], gateway_settings)
