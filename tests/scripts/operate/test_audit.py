import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from gateway.audit.chain import Chainer
from gateway.db.engine import connection_string, open_database
from gateway.settings import GatewaySettings
from scripts.cli import app

pytestmark = pytest.mark.integration

Bonafide = Callable[..., Result]
EVENTS = 4


@pytest.fixture
def run_command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Bonafide:
    """Runs commands in this process, against this test's database."""
    monkeypatch.setenv("BONAFIDE_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words: str) -> Result:
        answer = CliRunner().invoke(app, ["audit", *words])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer

    return run


@pytest.fixture
def chained(database_url: str, gateway_settings: GatewaySettings) -> psycopg.Connection[tuple[object, ...]]:
    """A database with a chain of some events, and one that waits."""

    async def chain() -> None:
        async with open_database(gateway_settings) as opened:
            assert await Chainer(opened.pool).chain() == EVENTS

    connection = psycopg.connect(connection_string(database_url), autocommit=True)
    statement = """
        INSERT INTO audit_events (actor_kind, action, target_kind, target_id, after)
        VALUES ('system', 'plan.change', 'plan', %s, '{"word": "Grüße", "share": 0.1, "none": null}')
    """
    for number in range(EVENTS):
        connection.execute(statement, [f"plan-{number}"])
    asyncio.run(chain())
    connection.execute(statement, ["waiting"])
    return connection


def tamper(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    connection.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
    connection.execute(statement.encode())
    connection.execute("ALTER TABLE audit_events ENABLE TRIGGER audit_events_append_only")


def test_an_intact_log(run_command: Bonafide, chained: psycopg.Connection[tuple[object, ...]]) -> None:
    with chained:
        answer = run_command("verify")
        assert answer.exit_code == 0, answer.output
        assert f"Intact: {EVENTS} chained events, 1 not chained yet." in answer.stdout
        told = json.loads(run_command("verify", "--json").stdout)
        assert (told["intact"], told["events"], told["unchained"]) == (True, EVENTS, 1)
        assert told["head"] in answer.stdout
        assert run_command("verify", "--head", told["head"]).exit_code == 0


def test_a_tampered_log(run_command: Bonafide, chained: psycopg.Connection[tuple[object, ...]]) -> None:
    with chained:
        head = json.loads(run_command("verify", "--json").stdout)["head"]
        tamper(chained, "UPDATE audit_events SET target_id = 'another' WHERE place = 2")
        answer = run_command("verify")
        assert answer.exit_code == 1
        assert "Event 2: not what was written" in answer.stdout
        tamper(chained, f"DELETE FROM audit_events WHERE place >= {EVENTS - 1}")  # noqa: S608 - A number.
        told = json.loads(run_command("verify", "--json", "--head", head).stdout)
        assert told["findings"] == [
            {"first": 2, "last": 2, "wrong": "changed"},
            {"first": EVENTS - 1, "last": EVENTS, "wrong": "missing"},
        ]


def test_an_export_can_be_checked_by_itself(
    run_command: Bonafide, chained: psycopg.Connection[tuple[object, ...]], tmp_path: Path
) -> None:
    with chained:
        file = tmp_path / "audit.jsonl"
        assert run_command("export", "--output", str(file)).exit_code == 0
        assert run_command("export").stdout == file.read_text()
    lines = file.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["target_id"] for event in events] == [*(f"plan-{number}" for number in range(EVENTS)), "waiting"]
    assert [event["place"] for event in events] == [1, 2, 3, 4, None]
    told = json.loads(run_command("verify", "--json", "--file", str(file)).stdout)
    assert (told["intact"], told["events"], told["unchained"]) == (True, EVENTS, 1)

    file.write_text("\n".join([lines[0], lines[1].replace("plan-1", "plan-9"), lines[3]]))
    answer = run_command("verify", "--json", "--file", str(file))
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["findings"] == [
        {"first": 2, "last": 2, "wrong": "changed"},
        {"first": 3, "last": 3, "wrong": "missing"},
    ]
    file.write_text("\n".join([lines[1], lines[0]]))
    assert run_command("verify", "--file", str(file)).exit_code == 1


@pytest.mark.parametrize("words", [("--head", "7"), ("--head", "x:y"), ("--file", "/nowhere/at/all")])
def test_what_is_no_head_or_export_is_a_usage_error(run_command: Bonafide, words: tuple[str, ...]) -> None:
    assert run_command("verify", *words).exit_code == 2


def test_a_file_of_something_else_is_a_usage_error(run_command: Bonafide, tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text('{"some": "thing"}\n')
    answer = run_command("verify", "--file", str(file))
    assert (answer.exit_code, "Line 1" in answer.output) == (2, True)
