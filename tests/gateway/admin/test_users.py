import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.fixtures.gateway import PASSWORD, Client, make_account
from tests.fixtures.people import Person, acts

pytestmark = pytest.mark.integration

MakePerson = Callable[..., Awaitable[Person]]
Database = psycopg.AsyncConnection[Any]
USERS = "/v1/admin/users"


async def found(admin: Person, **wanted: Any) -> list[str]:
    answer = await admin.get(USERS, params=wanted)
    assert answer.status_code == 200, answer.text
    return [user["email"] for user in answer.json()["data"]]


async def test_users_are_listed_page_by_page_and_found(admin: Person, person: MakePerson, database: Database) -> None:
    for name in ("ada", "ben", "cleo"):
        await person(f"{name}@example.org")
    await database.execute("UPDATE accounts SET username = 'the_100%_real' WHERE email = 'ben@example.org'")
    await database.execute("UPDATE accounts SET status = 'deleted' WHERE email = 'cleo@example.org'")
    await make_account(database, "dora@example.net")
    everybody = ["dora@example.net", "ben@example.org", "ada@example.org", "admin@example.org"]
    assert await found(admin) == everybody

    first = (await admin.get(USERS, params={"limit": 3})).json()
    second = (await admin.get(USERS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [user["email"] for user in first["data"] + second["data"]] == everybody
    assert second["next_cursor"] is None

    assert await found(admin, search="A@EXAMPLE") == ["dora@example.net", "ada@example.org"]
    assert await found(admin, search="100%_") == ["ben@example.org"]
    assert await found(admin, search="%") == ["ben@example.org"]
    assert await found(admin, search=first["data"][0]["id"]) == ["dora@example.net"]
    assert await found(admin, search=str(first["data"][2]["number"])) == ["ada@example.org"]
    assert await found(admin, status="deleted") == ["cleo@example.org"]
    assert await found(admin, status="suspended") == []
    assert await found(admin, role="super_admin") == ["admin@example.org"]
    assert await found(admin, plan="unlimited") == ["dora@example.net"]


async def test_a_user_is_read_with_what_it_has_used(admin: Person, client: Client) -> None:
    assert (await client.detect()).status_code == 200
    (user,) = (await admin.get(USERS, params={"search": "client@example.org"})).json()["data"]
    assert (user["used_today"], user["used_total"]) == (1, 1)
    assert user["limits"]["daily_limit"] == 100
    assert (await admin.get(f"{USERS}/{user['id']}")).json() == user
    assert "password" not in str(user)
    assert (await admin.get(f"{USERS}/{uuid4()}")).status_code == 404


async def test_suspending_shuts_out_at_once_and_activating_lets_in_again(
    admin: Person, person: MakePerson, anonymous: Client, database: Database
) -> None:
    by_session, by_key = await person("one@example.org"), await person("two@example.org", scopes=["*", "account"])
    for somebody in (by_session, by_key):
        assert (await somebody.get("/v1/account")).status_code == 200
        answer = await admin.send("POST", f"{USERS}/{somebody.id}/suspend", {"reason": "Sells accounts."})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["status_reason"]) == ("suspended", "Sells accounts.")
    assert (await by_session.get("/v1/account")).status_code == 401
    assert (await by_key.get("/v1/account")).json()["code"] == "account_suspended"
    detection = await anonymous.http.post("/v1/detections", headers=by_key.headers, files={"file": ("a.jpg", b"x")})
    assert detection.status_code == 403
    login = await anonymous.http.post("/v1/auth/login", json={"login": "one@example.org", "password": PASSWORD})
    assert login.json()["code"] == "account_suspended"
    again = await admin.send("POST", f"{USERS}/{by_key.id}/suspend", {"reason": "Once more."})
    assert (again.status_code, again.json()["code"]) == (409, "already_suspended")

    for somebody in (by_session, by_key):
        answer = await admin.send("POST", f"{USERS}/{somebody.id}/activate")
        assert (answer.json()["status"], answer.json()["status_reason"]) == ("active", None)
    again = await admin.send("POST", f"{USERS}/{by_key.id}/activate")
    assert (again.status_code, again.json()["code"]) == (409, "not_suspended")
    assert (await by_key.get("/v1/account")).status_code == 200
    assert (await by_session.get("/v1/account")).status_code == 401

    active = {"status": "active", "status_reason": None}
    suspended = {"status": "suspended", "status_reason": "Sells accounts."}
    assert await acts(database, by_session.id) == [
        ("account.suspend", admin.id, active, suspended | {"sessions_closed": 1}),
        ("account.activate", admin.id, suspended, active),
    ]


async def test_role_plan_and_limits_change_from_the_next_request_on(
    admin: Person, person: MakePerson, database: Database
) -> None:
    somebody = await person("somebody@example.org")
    address = f"{USERS}/{somebody.id}"
    assert (await somebody.get("/v1/usage")).json()["day"]["limit"] == 100
    answer = await admin.send("PATCH", address, {"plan": "unlimited", "daily_limit": 7, "burst_limit": 3})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["plan"], answer.json()["limits"]["daily_limit"]) == ("unlimited", 7)
    assert (await somebody.get("/v1/usage")).json()["day"]["limit"] == 7
    await admin.send("PATCH", address, {"daily_limit": None, "burst_limit": 3})
    assert (await somebody.get("/v1/usage")).json()["day"]["limit"] is None

    assert (await somebody.get(USERS)).status_code == 403
    await admin.send("PATCH", address, {"role": "super_admin"})
    assert (await somebody.get(USERS)).status_code == 200
    assert await acts(database, somebody.id) == [
        (
            "account.change",
            admin.id,
            {"plan": "standard", "daily_limit": None, "burst_limit": None},
            {"plan": "unlimited", "daily_limit": 7, "burst_limit": 3},
        ),
        ("account.change", admin.id, {"daily_limit": 7}, {"daily_limit": None}),
        ("account.change", admin.id, {"role": "user"}, {"role": "super_admin"}),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"id": str(uuid4())},
        {"email": "other@example.org"},
        {"status": "active"},
        {"role": "emperor"},
        {"role": None},
        {"plan": None},
        {"plan": "Not A Plan"},
        {"plan": "gold"},
        {"daily_limit": -1},
        {"daily_limit": 2**31},
        {"daily_limit": "seven"},
        {"burst_limit": 0},
        {"burst_period_s": 0},
        {"concurrent_limit": 0},
        {"password_hash": "x"},
    ],
)
async def test_what_is_no_change_is_refused(
    admin: Person, person: MakePerson, database: Database, body: dict[str, Any]
) -> None:
    somebody = await person("somebody@example.org")
    answer = await admin.send("PATCH", f"{USERS}/{somebody.id}", body)
    assert answer.status_code == 400, answer.text
    assert await acts(database, somebody.id) == []


@pytest.mark.parametrize("reason", ["", "a" * 501, "two\nlines", "nul\x00", None])
async def test_a_suspension_has_a_reason_of_one_line(admin: Person, person: MakePerson, reason: str | None) -> None:
    somebody = await person("somebody@example.org")
    assert (await admin.send("POST", f"{USERS}/{somebody.id}/suspend", {"reason": reason})).status_code == 400
    assert (await admin.send("POST", f"{USERS}/{somebody.id}/suspend")).status_code == 400
    assert (await admin.get(f"{USERS}/{somebody.id}")).json()["status"] == "active"


@pytest.mark.parametrize("search", ["nul\x00", "a" * 255])
async def test_a_search_for_the_impossible_is_refused(admin: Person, search: str) -> None:
    assert (await admin.get(USERS, params={"search": search})).status_code == 400


async def test_who_is_unknown_or_deleted_cannot_be_changed(
    admin: Person, person: MakePerson, database: Database
) -> None:
    gone = await person("gone@example.org")
    await database.execute("UPDATE accounts SET status = 'deleted' WHERE id = %s", [gone.id])
    for identifier in (gone.id, uuid4()):
        address = f"{USERS}/{identifier}"
        answers = [
            await admin.send("PATCH", address, {"plan": "unlimited"}),
            await admin.send("POST", f"{address}/suspend", {"reason": "No."}),
            await admin.send("POST", f"{address}/activate"),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert (await admin.get(f"{USERS}/{gone.id}")).json()["status"] == "deleted"


async def test_the_last_super_admin_stays(admin: Person, person: MakePerson) -> None:
    async def tries(target: UUID) -> list[tuple[int, str | None]]:
        answers = [
            await admin.send("POST", f"{USERS}/{target}/suspend", {"reason": "Bye."}),
            await admin.send("PATCH", f"{USERS}/{target}", {"role": "user"}),
        ]
        return [(answer.status_code, answer.json().get("code")) for answer in answers]

    assert await tries(admin.id) == [(409, "last_admin")] * 2
    other = await person("other@example.org", role="super_admin")
    assert (await admin.send("POST", f"{USERS}/{other.id}/suspend", {"reason": "Bye."})).status_code == 200
    # A suspended super_admin is none that could help.
    assert await tries(admin.id) == [(409, "last_admin")] * 2
    await admin.send("POST", f"{USERS}/{other.id}/activate")
    assert (await admin.send("PATCH", f"{USERS}/{admin.id}", {"role": "user"})).status_code == 200
    assert (await admin.get(USERS)).status_code == 403


async def test_of_two_super_admins_only_one_can_go_at_once(
    admin: Person, person: MakePerson, database: Database
) -> None:
    other = await person("other@example.org", role="super_admin", scopes=["admin"])
    answers = await asyncio.gather(
        admin.send("PATCH", f"{USERS}/{other.id}", {"role": "user"}),
        other.send("POST", f"{USERS}/{admin.id}/suspend", {"reason": "Me or you."}),
        admin.send("PATCH", f"{USERS}/{admin.id}", {"role": "user"}),
    )
    assert any(answer.status_code == 200 for answer in answers)
    row = await (
        await database.execute("SELECT count(*) FROM accounts WHERE role = 'super_admin' AND status = 'active'")
    ).fetchone()
    assert row == (1,)


async def test_keys_of_a_user_are_listed_and_revoked(admin: Person, person: MakePerson, database: Database) -> None:
    somebody, other = await person("somebody@example.org", scopes=["usage:read"]), await person("other@example.org")
    keys = (await admin.get(f"{USERS}/{somebody.id}/keys")).json()["data"]
    assert [key["name"] for key in keys] == ["", "primary"]
    assert "digest" not in keys[0]
    assert "key" not in keys[0]
    assert (await somebody.get("/v1/usage")).status_code == 200
    elsewhere = await admin.send("DELETE", f"{USERS}/{other.id}/keys/{keys[0]['id']}")
    assert elsewhere.status_code == 404
    assert (await somebody.get("/v1/usage")).status_code == 200
    assert (await admin.send("DELETE", f"{USERS}/{somebody.id}/keys/{keys[0]['id']}")).status_code == 204
    assert (await somebody.get("/v1/usage")).status_code == 401
    left = (await admin.get(f"{USERS}/{somebody.id}/keys")).json()["data"]
    assert [key["name"] for key in left] == ["primary"]
    all_keys = (await admin.get(f"{USERS}/{somebody.id}/keys", params={"revoked": True})).json()["data"]
    assert len(all_keys) == 2
    ((action, actor, *_),) = await acts(database, keys[0]["id"])
    assert (action, actor) == ("key.revoke", admin.id)
    assert (await admin.get(f"{USERS}/{uuid4()}/keys")).status_code == 404
