"""Nobody but a super_admin gets at the admin API: each of its routes, as the OpenAPI document lists them."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.fixtures.gateway import Client
from tests.fixtures.people import Person

pytestmark = pytest.mark.integration

MakePerson = Callable[..., Awaitable[Person]]
Call = tuple[str, str]
PREFIX = "/v1/admin"
FEWEST = 15
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def calls(anonymous: Client) -> list[Call]:
    """Every call of the admin API, with made-up ids; a new route is among them by itself."""
    document = (await anonymous.get("/docs/openapi.json")).json()
    found: list[Call] = []
    for path, item in document["paths"].items():
        if not path.startswith(PREFIX):
            continue
        for method in METHODS & item.keys():
            address = path
            for stated in [*item.get("parameters", ()), *item[method].get("parameters", ())]:
                parameter = resolved(document, stated)
                if parameter["in"] == "path":
                    address = address.replace(f"{{{parameter['name']}}}", made_up(parameter["schema"]))
            assert "{" not in address, address
            found.append((method.upper(), address))
    assert len(found) >= FEWEST
    return found


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or what it refers to."""
    for step in part.get("$ref", "").removeprefix("#").split("/")[1:]:
        document = document[step]
    return document if "$ref" in part else part


def made_up(schema: dict[str, Any]) -> str:
    if schema.get("format") == "uuid":
        return str(uuid4())
    return "1" if schema["type"] == "integer" else "nothing"


async def refusals(person: Person, calls: list[Call]) -> dict[Call, tuple[int, str]]:
    """How each call is refused; its body is none that would be valid, so that nobody may get as far as that."""
    answers: dict[Call, tuple[int, str]] = {}
    for method, path in calls:
        answer = await person.send(method, path, json=None if method == "GET" else {"made": "up"})
        assert answer.headers["content-type"] == "application/problem+json", (method, path, answer.text)
        answers[method, path] = (answer.status_code, answer.json()["code"])
    return answers


async def test_anonymous_callers_are_not_known(anonymous: Client, calls: list[Call]) -> None:
    nobody = Person(anonymous.http, uuid4(), {})
    assert set((await refusals(nobody, calls)).values()) == {(401, "missing_api_key")}
    stranger = Person(anonymous.http, uuid4(), {"authorization": "Bearer sk-live-" + "0" * 48})
    assert set((await refusals(stranger, calls)).values()) == {(401, "invalid_api_key")}


async def test_a_user_s_session_may_not(person: MakePerson, calls: list[Call]) -> None:
    somebody = await person("somebody@example.org")
    assert set((await refusals(somebody, calls)).values()) == {(403, "forbidden")}


@pytest.mark.parametrize("scopes", [["*"], ["*", "account", "keys"]])
@pytest.mark.parametrize("role", ["user", "super_admin"])
async def test_keys_without_the_scope_may_not(
    person: MakePerson, calls: list[Call], role: str, scopes: list[str]
) -> None:
    somebody = await person("somebody@example.org", role=role, scopes=scopes)
    assert set((await refusals(somebody, calls)).values()) == {(403, "missing_scope")}


async def test_a_user_s_key_with_the_scope_may_not(person: MakePerson, calls: list[Call]) -> None:
    """Nobody can give it such a key; should there be one all the same, it opens nothing."""
    somebody = await person("somebody@example.org", scopes=["admin"])
    assert set((await refusals(somebody, calls)).values()) == {(403, "forbidden")}


@pytest.mark.parametrize("role", ["user", "super_admin"])
@pytest.mark.parametrize("scopes", [None, ["admin"]])
async def test_the_suspended_may_not(
    person: MakePerson,
    calls: list[Call],
    database: psycopg.AsyncConnection[Any],
    role: str,
    scopes: list[str] | None,
) -> None:
    somebody = await person("somebody@example.org", role=role, scopes=scopes)
    await database.execute("UPDATE accounts SET status = 'suspended' WHERE id = %s", [somebody.id])
    assert set((await refusals(somebody, calls)).values()) == {(403, "account_suspended")}


async def test_a_revoked_key_and_a_closed_session_may_not(
    person: MakePerson, calls: list[Call], database: psycopg.AsyncConnection[Any]
) -> None:
    by_key = await person("one@example.org", role="super_admin", scopes=["admin"])
    by_session = await person("two@example.org", role="super_admin")
    await database.execute("UPDATE api_keys SET revoked_at = now()")
    await database.execute("UPDATE sessions SET closed_at = now()")
    assert set((await refusals(by_key, calls)).values()) == {(401, "invalid_api_key")}
    assert set((await refusals(by_session, calls)).values()) == {(401, "invalid_token")}


@pytest.mark.parametrize("scopes", [None, ["admin"]])
async def test_a_super_admin_is_let_in_by_session_and_by_key(
    person: MakePerson, calls: list[Call], scopes: list[str] | None
) -> None:
    admin = await person("admin@example.org", role="super_admin", scopes=scopes)
    for method, path in calls:
        answer = await admin.send(method, path, json=None if method == "GET" else {"made": "up"})
        assert answer.status_code in {200, 204, 400, 404}, (method, path, answer.text)
