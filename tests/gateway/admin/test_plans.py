from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from tests.fixtures.people import Person, acts

pytestmark = pytest.mark.integration

MakePerson = Callable[..., Awaitable[Person]]
Database = psycopg.AsyncConnection[Any]
PLANS = "/v1/admin/plans"
GOLD = {
    "title": "Gold",
    "daily_limit": 5000,
    "daily_bytes": 10**12,
    "storage_bytes": 10**13,
    "burst_limit": 50,
    "burst_period_s": 10,
    "concurrent_limit": 8,
}


async def test_a_plan_is_made_given_changed_and_removed(admin: Person, person: MakePerson, database: Database) -> None:
    made = await admin.send("POST", PLANS, {"name": "gold", **GOLD})
    assert made.status_code == 201, made.text
    assert made.json() | {"created_at": None} == {"name": "gold", **GOLD, "accounts": 0, "created_at": None}
    taken = await admin.send("POST", PLANS, {"name": "gold", "title": "Another"})
    assert (taken.status_code, taken.json()["code"]) == (409, "plan_taken")
    listed = (await admin.get(PLANS)).json()["data"]
    assert [plan["name"] for plan in listed] == ["gold", "standard", "unlimited"]

    somebody = await person("somebody@example.org")
    await admin.send("PATCH", f"/v1/admin/users/{somebody.id}", {"plan": "gold"})
    assert (await somebody.get("/v1/usage")).json()["day"]["limit"] == 5000
    changed = await admin.send("PUT", f"{PLANS}/gold", GOLD | {"daily_limit": None})
    assert (changed.json()["daily_limit"], changed.json()["accounts"]) == (None, 1)
    assert (await somebody.get("/v1/usage")).json()["day"]["limit"] is None
    in_use = await admin.send("DELETE", f"{PLANS}/gold")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "plan_in_use")

    await admin.send("PATCH", f"/v1/admin/users/{somebody.id}", {"plan": "standard"})
    assert (await admin.send("DELETE", f"{PLANS}/gold")).status_code == 204
    assert (await admin.get(f"{PLANS}/gold")).status_code == 404
    after = GOLD | {"daily_limit": None}
    assert await acts(database, "gold") == [
        ("plan.create", admin.id, None, {"name": "gold", **GOLD}),
        ("plan.change", admin.id, GOLD, after),
        ("plan.remove", admin.id, after, None),
    ]


async def test_the_plan_of_new_accounts_stays(admin: Person) -> None:
    answer = await admin.send("DELETE", f"{PLANS}/standard")
    assert (answer.status_code, answer.json()["code"]) == (409, "plan_in_use")


async def test_an_unchanged_plan_is_no_act(admin: Person, database: Database) -> None:
    await admin.send("POST", PLANS, {"name": "gold", **GOLD})
    assert (await admin.send("PUT", f"{PLANS}/gold", GOLD)).status_code == 200
    assert [action for action, *_ in await acts(database, "gold")] == ["plan.create"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Gold!"},
        {"name": ""},
        {"name": "a" * 65},
        {"title": ""},
        {"title": None},
        {"daily_limit": -1},
        {"daily_bytes": 2**60},
        {"burst_limit": 0},
        {"burst_period_s": None},
        {"concurrent_limit": 0},
        {"accounts": 3},
        {"created_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_what_is_no_plan_is_refused(admin: Person, change: dict[str, Any]) -> None:
    assert (await admin.send("POST", PLANS, {"name": "gold", **GOLD} | change)).status_code == 400
    assert (await admin.get(f"{PLANS}/gold")).status_code == 404


@pytest.mark.parametrize("name", ["silver", "GOLD", "%00", "a" * 65])
async def test_an_unknown_plan_is_not_found(admin: Person, name: str) -> None:
    answers = [
        await admin.get(f"{PLANS}/{name}"),
        await admin.send("PUT", f"{PLANS}/{name}", GOLD),
        await admin.send("DELETE", f"{PLANS}/{name}"),
    ]
    assert {answer.status_code for answer in answers} <= {400, 404}
