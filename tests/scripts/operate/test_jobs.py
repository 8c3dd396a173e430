import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from typer.testing import CliRunner, Result

from gateway.db.engine import connection_string
from scripts.cli import app
from tests.fixtures.admissions import Holder, make_holder
from tests.fixtures.queued_jobs import fail, hand_over, one

pytestmark = pytest.mark.integration

Bonafide = Callable[..., Result]
In = Callable[[Callable[[Any], Awaitable[Any]]], Any]


@pytest.fixture
def bonafide(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Bonafide:
    """Runs commands in this process, against this test's database."""
    monkeypatch.setenv("BONAFIDE_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")
    runner = CliRunner()

    def run(*words: str, status: int = 0) -> Result:
        answer = runner.invoke(app, ["admin", *words])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        assert answer.exit_code == status, answer.output
        return answer

    return run


@pytest.fixture
def within(database_url: str) -> In:
    """Does something with this test's database; commands run loops of their own."""

    async def run(work: Callable[[Any], Awaitable[Any]]) -> Any:
        async with await psycopg.AsyncConnection.connect(connection_string(database_url), autocommit=True) as database:
            return await work(database)

    return lambda work: asyncio.run(run(work))


@pytest.fixture
def jobs(within: In) -> tuple[Holder, UUID, UUID]:
    """An account with one job that waits and one that is dead."""

    async def make(database: Any) -> tuple[Holder, UUID, UUID]:
        holder = await make_holder(database)
        waiting, dead = await hand_over(holder), await hand_over(holder)
        await fail(database, dead)
        return holder, waiting, dead

    return within(make)


def actions(within: In) -> list[str]:
    query = "SELECT array_agg(action || ' ' || actor_kind ORDER BY id) FROM audit_events WHERE action !~ '^account'"
    return within(lambda database: one(database, query)) or []


def test_jobs_are_listed_and_shown(bonafide: Bonafide, jobs: tuple[Holder, UUID, UUID]) -> None:
    holder, waiting, dead = jobs
    found = [json.loads(line) for line in bonafide("jobs", "list", "--json").stdout.splitlines()]
    assert [job["id"] for job in found] == [str(dead), str(waiting)]
    assert str(waiting) not in bonafide("jobs", "list", "--dead").stdout
    assert "inference_unavailable" in bonafide("jobs", "list", "--code", "inference_unavailable").stdout
    assert str(dead) in bonafide("jobs", "list", "--account", str(holder.account_id), "-n", "1").stdout
    assert str(dead) not in bonafide("jobs", "list", "--older-than", "1").stdout
    assert "queued, running" in bonafide("jobs", "list", "--status", "odd", status=2).stderr
    shown = bonafide("jobs", "show", str(dead)).stdout
    assert "running" in shown
    assert "failed" in shown
    assert json.loads(bonafide("jobs", "show", str(dead), "--json").stdout)["failures"] == 1
    assert "no such job" in bonafide("jobs", "show", str(uuid4()), status=1).stderr


def test_jobs_are_tried_again_and_cancelled(bonafide: Bonafide, jobs: tuple[Holder, UUID, UUID], within: In) -> None:
    _, waiting, dead = jobs
    assert bonafide("jobs", "retry", str(dead)).stdout == f"{dead}: queued.\n"
    assert "not ended" in bonafide("jobs", "retry", str(dead), status=1).stderr
    assert bonafide("jobs", "cancel", str(waiting)).stdout == f"{waiting}: cancelled.\n"
    assert actions(within) == ["job.retry system", "job.cancel system"]


def test_dead_jobs_are_requeued(bonafide: Bonafide, jobs: tuple[Holder, UUID, UUID], within: In) -> None:
    holder, _, dead = jobs
    assert bonafide("jobs", "requeue-dead", "--code", "another").stdout == "0 jobs wait again.\n"
    assert bonafide("jobs", "requeue-dead", "--account", str(holder.account_id)).stdout == "1 jobs wait again.\n"

    async def lose(database: Any) -> None:
        await fail(database, dead)
        await database.execute("DELETE FROM media")

    within(lose)
    assert bonafide("jobs", "requeue-dead").stdout == f"{dead} stays dead: medium_gone.\n0 jobs wait again.\n"
    assert actions(within) == ["job.requeue_dead system"]


def test_the_queue_is_shown_paused_and_resumed(bonafide: Bonafide, jobs: tuple[Holder, UUID, UUID], within: In) -> None:
    assert jobs
    assert "1 are dead" in bonafide("queue", "show").stdout
    assert "Full disk." in bonafide("queue", "pause", "--reason", "Full disk.").stdout
    assert json.loads(bonafide("queue", "show", "--json").stdout)["paused"] is True
    assert "Paused" not in bonafide("queue", "resume").stdout
    bonafide("queue", "pause", "--reason", "", status=2)
    assert actions(within) == ["queue.pause system", "queue.resume system"]
