import json
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner, Result

from gateway.db.engine import connection_string
from scripts.cli import app

pytestmark = pytest.mark.integration

Bonafide = Callable[..., Result]
PASSWORD = "correct horse battery"


@pytest.fixture
def bonafide(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Bonafide:
    """Runs commands in this process, against this test's database."""
    monkeypatch.setenv("BONAFIDE_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")
    runner = CliRunner()

    def run(*words: str, typed: str | None = None) -> Result:
        answer = runner.invoke(app, words, input=typed)
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer

    return run


@pytest.fixture
def opened(database_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(connection_string(database_url), autocommit=True) as connection:
        yield connection


def acts(opened: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return opened.execute("SELECT action, actor_kind, before, after FROM audit_events ORDER BY id").fetchall()


def listed(bonafide: Bonafide, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bonafide("admin", "list", "--json", *words).stdout.splitlines()]


def test_the_first_super_admin_is_made_with_a_password_and_a_key(
    bonafide: Bonafide, opened: psycopg.Connection[Any]
) -> None:
    words = ("admin", "create", "ada@example.org", "--username", "ada", "--password-stdin", "--key")
    answer = bonafide(*words, typed=f"{PASSWORD}\n")
    assert answer.exit_code == 0, answer.output
    key = answer.stdout.strip()
    assert key.startswith("sk-live-")
    row = opened.execute("SELECT role, plan, password_hash, email_verified_at FROM accounts").fetchone()
    assert row
    assert row[:2] == ("super_admin", "standard")
    assert PasswordHasher().verify(row[2], PASSWORD)
    assert row[3] is not None
    scopes = opened.execute("SELECT name, scopes FROM api_keys ORDER BY name").fetchall()
    assert scopes == [("admin", ["*", "account", "keys", "admin"]), ("primary", ["*"])]
    told = acts(opened)
    assert [(action, kind) for action, kind, *_ in told] == [
        ("account.create", "system"),
        ("account.change", "system"),
        ("key.create", "system"),
    ]
    assert told[1][2:] == ({"role": "user"}, {"role": "super_admin"})
    assert key not in str(told)


def test_a_user_s_key_lacks_the_scope_of_admins(bonafide: Bonafide, opened: psycopg.Connection[Any]) -> None:
    answer = bonafide("admin", "create", "ben@example.org", "--role", "user", "--no-password", "--key")
    assert answer.exit_code == 0, answer.output
    row = opened.execute("SELECT scopes FROM api_keys WHERE name = 'admin'").fetchone()
    assert row == (["*", "account", "keys"],)
    assert opened.execute("SELECT password_hash, role FROM accounts").fetchone() == (None, "user")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nobody", "--no-password"), 1, "e-mail address is not valid"),
        (("a@example.org", "--username", "x", "--no-password"), 1, "username is"),
        (("taken@example.org", "--no-password"), 1, "exists already"),
        (("a@example.org", "--username", "TAKEN", "--no-password"), 1, "exists already"),
        (("a@example.org", "--plan", "gold", "--no-password"), 1, "no plan"),
        (("a@example.org", "--role", "emperor", "--no-password"), 2, "no role emperor"),
        (("a@example.org", "--password-stdin"), 1, "8 to 256"),
        (("a@example.org",), 2, "no terminal"),
    ],
)
def test_who_cannot_be_made_is_told(
    bonafide: Bonafide, opened: psycopg.Connection[Any], words: tuple[str, ...], code: int, said: str
) -> None:
    opened.execute("INSERT INTO accounts (email, username) VALUES ('taken@example.org', 'taken')")
    answer = bonafide("admin", "create", *words, typed="short\n")
    assert answer.exit_code == code, answer.output
    assert said in answer.output
    assert opened.execute("SELECT count(*) FROM accounts").fetchone() == (1,)
    assert acts(opened) == []


def test_users_are_listed_and_found(bonafide: Bonafide, opened: psycopg.Connection[Any]) -> None:
    for number in range(5):
        opened.execute("INSERT INTO accounts (email) VALUES (%s)", [f"user-{number}@example.org"])
    opened.execute("UPDATE accounts SET status = 'suspended' WHERE email = 'user-1@example.org'")
    assert len(listed(bonafide)) == 5
    assert [user["email"] for user in listed(bonafide, "-n", "2")] == ["user-4@example.org", "user-3@example.org"]
    assert [user["email"] for user in listed(bonafide, "USER-2")] == ["user-2@example.org"]
    assert [user["email"] for user in listed(bonafide, "--status", "suspended")] == ["user-1@example.org"]
    assert bonafide("admin", "list", "--status", "asleep").exit_code == 2
    table = bonafide("admin", "list").stdout
    assert "user-4@example.org" in table
    assert "suspended" in table


def test_users_are_suspended_activated_and_given_roles_and_plans(
    bonafide: Bonafide, opened: psycopg.Connection[Any]
) -> None:
    opened.execute("INSERT INTO accounts (email, username) VALUES ('ada@example.org', 'Ada')")
    assert "suspended" in bonafide("admin", "suspend", "ADA@example.org", "--reason", "A test.").stdout
    assert bonafide("admin", "suspend", "ada", "--reason", "A test.").exit_code == 1
    assert "active" in bonafide("admin", "activate", "ada").stdout
    assert "super_admin" in bonafide("admin", "role", "ada", "super_admin").stdout
    last = bonafide("admin", "role", "ada", "user")
    assert (last.exit_code, "last active super_admin" in last.output) == (1, True)
    assert "plan unlimited" in bonafide("admin", "plan", "give", "ada", "unlimited").stdout
    assert bonafide("admin", "plan", "give", "ada", "gold").exit_code == 1
    unknown = bonafide("admin", "activate", "nobody@example.org")
    assert (unknown.exit_code, "no user" in unknown.output) == (1, True)
    told = [(action, after) for action, _, _, after in acts(opened)]
    assert told == [
        ("account.suspend", {"status": "suspended", "status_reason": "A test.", "sessions_closed": 0}),
        ("account.activate", {"status": "active", "status_reason": None}),
        ("account.change", {"role": "super_admin"}),
        ("account.change", {"plan": "unlimited"}),
    ]


def test_plans_are_made_changed_listed_and_removed(bonafide: Bonafide, opened: psycopg.Connection[Any]) -> None:
    assert bonafide("admin", "plan", "set", "gold", "--title", "Gold", "--daily-limit", "5000").exit_code == 0
    assert bonafide("admin", "plan", "set", "gold", "--burst-limit", "5", "--burst-period", "1").exit_code == 0
    plans = {
        one["name"]: one for one in map(json.loads, bonafide("admin", "plan", "list", "--json").stdout.splitlines())
    }
    assert plans.keys() == {"gold", "standard", "unlimited"}
    gold = plans["gold"]
    assert (gold["title"], gold["daily_limit"], gold["burst_limit"], gold["burst_period_s"]) == ("gold", None, 5, 1)
    assert "5 in 1 s" in bonafide("admin", "plan", "list").stdout
    assert bonafide("admin", "plan", "set", "Gold!").exit_code == 2
    assert bonafide("admin", "plan", "set", "gold", "--daily-limit", "-1").exit_code == 2
    assert bonafide("admin", "plan", "remove", "gold").exit_code == 0
    assert bonafide("admin", "plan", "remove", "gold").exit_code == 1
    assert bonafide("admin", "plan", "remove", "standard").exit_code == 1
    assert [action for action, *_ in acts(opened)] == ["plan.create", "plan.change", "plan.remove"]


def test_a_database_that_is_away_or_empty_is_told(
    bonafide: Bonafide, monkeypatch: pytest.MonkeyPatch, gateway_template: Any
) -> None:
    monkeypatch.setenv("BONAFIDE_DATABASE_URL", gateway_template.url("bonafide"))
    empty = bonafide("admin", "list")
    assert (empty.exit_code, "no tables yet" in empty.output) == (4, True)
    monkeypatch.setenv("BONAFIDE_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    away = bonafide("admin", "list")
    assert (away.exit_code, "does not answer" in away.output) == (4, True)
    assert bonafide("audit", "verify").exit_code == 4


def test_without_a_platform_it_is_said_how_to_get_one(
    bonafide: Bonafide, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("BONAFIDE_DATABASE_URL")
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
    answer = bonafide("admin", "list")
    assert (answer.exit_code, "bonafide up" in answer.output) == (4, True)
