"""The worker as the platform starts it: a process that is ready when it beats, and stops when it is asked to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.db.engine import connection_string
from gateway.settings import GatewaySettings
from scripts.stack import services
from scripts.stack.running import running

pytestmark = pytest.mark.integration

START_DEADLINE_S = 60
Database = psycopg.Connection[Any]


@pytest.fixture
def environment(gateway_settings: GatewaySettings, tmp_path: Path) -> dict[str, str]:
    """The environment of a worker of this test's own."""
    values = gateway_settings.model_dump() | {"mail_folder": tmp_path / "mail"}
    settings = {
        f"BONAFIDE_{name.upper()}": getattr(value, "get_secret_value", lambda value=value: str(value))()
        for name, value in values.items()
        if isinstance(value, str | int | float | Path) or hasattr(value, "get_secret_value")
    }
    return os.environ | settings


@pytest.fixture
def opened(database_url: str) -> Generator[Database]:
    with psycopg.connect(connection_string(database_url), autocommit=True) as connection:
        yield connection


@contextmanager
def worker(environment: dict[str, str], log: Path) -> Generator["subprocess.Popen[bytes]"]:
    program = services.worker(
        connection_string(environment["BONAFIDE_DATABASE_URL"]), environment, grace_s=START_DEADLINE_S
    )
    with running(program, log=log, run_id=log.stem, deadline_s=START_DEADLINE_S) as process:
        yield process


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it has not come to pass in time"
        time.sleep(0.05)


def check(environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", "gateway.worker", "--check"]
    return subprocess.run(command, env=environment, check=False, capture_output=True, timeout=60).returncode


def post(opened: Database, subject: str) -> None:
    arguments = {"id": "a" * 32, "to": "a@example.org", "subject": subject, "text": "A link with a secret."}
    opened.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('mail', 'send_mail', %s)",
        [json.dumps(arguments)],
    )


def test_it_sends_mail_chains_the_log_sweeps_and_stops_when_asked(
    environment: dict[str, str], opened: Database, tmp_path: Path
) -> None:
    opened.execute("INSERT INTO sign_in_failures VALUES ('login:a', 3, now() - interval '8 days')")
    opened.execute("INSERT INTO sign_in_failures VALUES ('login:b', 3, now())")
    opened.execute(
        "INSERT INTO audit_events (actor_kind, action, target_kind) VALUES ('system', 'plan.change', 'plan')"
    )
    log = tmp_path / "worker.log"
    assert check(environment) == 1
    with worker(environment, log) as process:
        assert check(environment) == 0
        post(opened, "Hello")
        wait_until(lambda: len(list((tmp_path / "mail").glob("*.eml"))) == 1)
        wait_until(lambda: opened.execute("SELECT place FROM audit_events").fetchall() == [(1,)])
        wait_until(lambda: opened.execute("SELECT subject FROM sign_in_failures").fetchall() == [("login:b",)])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert check(environment) == 1
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "worker_started"
    assert {"job_succeeded", "audit_chained"} <= set(events)
    assert events[-1] == "worker_stopped"
    assert "secret" not in log.read_text()
    assert "a@example.org" not in log.read_text()


def test_one_that_is_started_again_is_not_taken_for_its_dead_predecessor(
    environment: dict[str, str], opened: Database, tmp_path: Path
) -> None:
    with worker(environment, tmp_path / "first.log") as process:
        process.kill()
        process.wait(10)
    left = opened.execute("SELECT max(id) FROM procrastinate_workers").fetchone()
    with worker(environment, tmp_path / "second.log"):
        now = opened.execute("SELECT max(id) FROM procrastinate_workers").fetchone()
    assert left
    assert now
    assert now[0] > left[0]


def test_it_does_not_start_without_a_database(environment: dict[str, str]) -> None:
    there_is_none = {"BONAFIDE_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/nothing"}
    assert check(environment | there_is_none) == 1


def test_it_lets_go_of_media_and_leaves_a_proof(
    environment: dict[str, str], opened: Database, tmp_path: Path, gateway_settings: GatewaySettings
) -> None:
    opened.execute("INSERT INTO accounts (email) VALUES ('a@example.org')")
    made = """
        INSERT INTO media (id, account_id, state, path, object_path, filename, size_bytes, kept, completed_at,
            expires_at)
        SELECT n.id, a.id, 'ready', n.id::text, 'media/' || n.id, 'a.jpg', 5, true, now(), now() + n.left
        FROM accounts a, (VALUES (uuidv7(), interval '-1 s'), (uuidv7(), interval '1 h')) AS n (id, "left")
        RETURNING object_path
    """
    folder = gateway_settings.spool.parent / "media"
    (folder / "media").mkdir(parents=True)
    due, kept = [folder / row[0] for row in opened.execute(made).fetchall()]
    for path in (due, kept):
        path.write_text("bytes")
    with worker(environment, tmp_path / "worker.log"):
        wait_until(lambda: not due.exists())
        wait_until(lambda: opened.execute("SELECT reason FROM deletion_proofs").fetchall() == [("retention",)])
    assert kept.exists()
    assert opened.execute("SELECT kept_bytes, kept_count, passing_count FROM storage_meters").fetchall() == [(5, 1, 0)]
