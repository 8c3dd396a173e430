"""What admins do to jobs and their queue, with a worker at work."""

import asyncio
import time
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bentos.contract import ErrorBody, Modality
from gateway.admin.job_schemas import Requeueing
from gateway.admin.jobs import JobAdministration
from gateway.admin.queue import QueueControl
from gateway.audit.service import SYSTEM
from gateway.detections.fakes import Script
from gateway.jobs import running
from gateway.jobs.ending import Endings
from gateway.queue.tasks import Patience
from tests.fixtures.gateway import Client
from tests.gateway.jobs.conftest import HandOver, reached, read

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("worker")]

Database = psycopg.AsyncConnection[Any]
Bentos = dict[Modality, Script]
AWAY = (503, ErrorBody(code="inference_unavailable", message="Not now."))
SOON_S = 4.0
"""A queue that is resumed is looked at within two seconds; the rest is for busy machines."""


@pytest.fixture
async def engine(database_url: str) -> Any:
    engine = create_async_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def administration(engine: AsyncEngine) -> JobAdministration:
    return JobAdministration(engine, Endings())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are tried once."""
    for name in ("JOB_PATIENCE", "OUTAGE_PATIENCE"):
        monkeypatch.setattr(running, name, Patience(attempts=1))


async def test_a_pause_holds_what_waits_and_lets_go_on_what_runs(
    client: Client, hand_over: HandOver, bentos: Bentos, engine: AsyncEngine
) -> None:
    control = QueueControl(engine)
    bentos[Modality.IMAGE].delay_s = 2
    running_job = await hand_over()
    await reached(client, running_job["id"], "running")
    paused = await control.pause("A test.", actor=SYSTEM)
    assert (paused.running, paused.workers) == (1, 1)
    bentos[Modality.IMAGE].delay_s = 0
    waiting = await hand_over()
    assert (await reached(client, running_job["id"], "succeeded", "failed"))["status"] == "succeeded"
    await asyncio.sleep(3)
    assert (await read(client, waiting["id"]))["status"] == "queued"
    await control.resume(actor=SYSTEM)
    began = time.monotonic()
    assert (await reached(client, waiting["id"], "succeeded", "failed"))["status"] == "succeeded"
    assert time.monotonic() - began < SOON_S


@pytest.mark.usefixtures("impatient")
async def test_what_died_while_the_detector_was_away_is_requeued_and_judged(
    client: Client, hand_over: HandOver, bentos: Bentos, administration: JobAdministration, database: Database
) -> None:
    bentos[Modality.IMAGE].refusal = AWAY
    jobs = [await hand_over(tags="night") for _ in range(3)]
    for job in jobs:
        assert (await reached(client, job["id"], "failed"))["dead"] is True
    assert await client.used() == 0
    bentos[Modality.IMAGE].refusal = None
    requeued = await administration.requeue_dead(Requeueing(error_code="inference_unavailable"), actor=SYSTEM)
    assert (requeued.requeued, requeued.next_cursor) == (3, None)
    for job in jobs:
        ended = await reached(client, job["id"], "succeeded", "failed")
        assert (ended["status"], ended["attempts"], ended["detection_id"]) == ("succeeded", 2, job["detection_id"])
        assert ended["detection"]["tags"] == ["night"]
    assert await client.used() == 3
    counted = await (
        await database.execute("SELECT sum(succeeded), sum(failed), sum(charged) FROM detection_days")
    ).fetchone()
    assert counted == (3, 0, 3)


async def test_a_cancelled_job_is_dropped_by_its_worker_within_two_seconds(
    client: Client, hand_over: HandOver, bentos: Bentos, administration: JobAdministration
) -> None:
    bentos[Modality.IMAGE].delay_s = 30
    job = await hand_over()
    await reached(client, job["id"], "running")
    assert (await administration.cancel(job["id"], actor=SYSTEM)).status == "cancelled"
    began = time.monotonic()
    bentos[Modality.IMAGE].delay_s = 0
    # Its place is free again: as many as a worker runs at once are judged.
    others = [await hand_over() for _ in range(4)]
    for other in others:
        assert (await reached(client, other["id"], "succeeded", "failed"))["status"] == "succeeded"
    assert time.monotonic() - began < SOON_S + 2
    assert (await read(client, job["id"]))["status"] == "cancelled"
    assert await client.used() == 4
