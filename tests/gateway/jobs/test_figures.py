import asyncio
from collections.abc import AsyncGenerator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import open_database
from gateway.jobs.figures import QueueFigures
from gateway.jobs.load import read_ended, read_queue
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Connection, make_holder
from tests.fixtures.queued_jobs import begin, fail, hand_over, one

pytestmark = pytest.mark.integration


@pytest.fixture
async def engine(gateway_settings: GatewaySettings) -> AsyncGenerator[AsyncEngine]:
    async with open_database(gateway_settings) as opened:
        yield opened.engine


@pytest.fixture
async def busy(database: Connection) -> None:
    """Three jobs wait, one of them for later; one runs, one's lease has passed; one is dead, one succeeded."""
    holder = await make_holder(database)
    waiting = [await hand_over(holder), await hand_over(holder), await hand_over(holder, of_class="batch")]
    await database.execute("UPDATE jobs SET run_at = now() + interval '1 hour' WHERE id = %s", (waiting[1],))
    await database.execute("UPDATE jobs SET run_at = now() - interval '90 s' WHERE id = %s", (waiting[2],))
    await begin(database, await hand_over(holder))
    await begin(database, await hand_over(holder), lease_s=-1)
    await fail(database, await hand_over(holder))
    done = await hand_over(holder)
    await database.execute("UPDATE jobs SET run_at = now() - interval '3 s' WHERE id = %s", (done,))
    attempt = await begin(database, done)
    assert await one(database, "SELECT end_job(%s, %s, 'succeeded', NULL, NULL, false, '{}')", done, attempt)
    await database.execute("UPDATE jobs SET ended_at = started_at + interval '2 s' WHERE id = %s", (done,))


async def test_the_queue_is_counted(engine: AsyncEngine, database: Connection, busy: None) -> None:
    assert busy is None
    queue = await read_queue(engine)
    assert [(one.priority, one.queued, one.due) for one in queue.classes] == [
        ("interactive", 0, 0),
        ("api", 2, 1),
        ("batch", 1, 1),
    ]
    assert queue.classes[0].oldest_s == 0
    assert queue.classes[2].oldest_s == pytest.approx(90, abs=30)
    assert (queue.running, queue.lapsed, queue.dead, queue.workers, queue.paused) == (2, 1, 1, 0, False)
    await database.execute("INSERT INTO queue_pauses (queue, reason) VALUES ('jobs', 'Why not.')")
    await database.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    queue = await read_queue(engine)
    assert (queue.workers, queue.paused, queue.reason) == (1, True, "Why not.")


async def test_what_ended_lately_is_measured(engine: AsyncEngine, busy: None) -> None:
    assert busy is None
    ended = {one.status: one for one in await read_ended(engine)}
    assert {status: one.count for status, one in ended.items()} == {"failed": 1, "succeeded": 1}
    assert ended["succeeded"].waited[1] == pytest.approx(3, abs=1)
    assert ended["succeeded"].ran == pytest.approx((2, 2))


async def test_figures_are_in_prometheus_format_and_asked_for_once(
    engine: AsyncEngine, database: Connection, busy: None
) -> None:
    assert busy is None
    figures = QueueFigures(engine, fresh_s=60)
    first, second = await asyncio.gather(figures.exposition(), figures.exposition())
    assert first == second
    samples: dict[tuple[str, ...], float] = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(first.decode())
        for sample in family.samples
    }
    assert samples["bonafide_jobs_queued", "api"] == 2
    assert samples["bonafide_jobs_oldest_seconds", "batch"] >= 90
    assert samples["bonafide_jobs_dead",] == 1
    assert samples["bonafide_jobs_lapsed",] == 1
    assert samples["bonafide_job_run_seconds", "api", "0.95", "succeeded"] == pytest.approx(2)
    await database.execute("DELETE FROM jobs")
    assert await figures.exposition() == first
    assert await QueueFigures(engine).exposition() != first


async def test_without_a_database_there_are_none(engine: AsyncEngine, database: Connection) -> None:
    await database.execute("ALTER TABLE jobs RENAME TO lost")
    assert await QueueFigures(engine).exposition() == b""
