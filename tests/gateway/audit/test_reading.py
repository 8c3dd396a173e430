from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from gateway.audit.chain import Chainer
from gateway.db.engine import open_database
from gateway.settings import GatewaySettings
from tests.fixtures.people import Person

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]
AUDIT = "/v1/admin/audit"


@pytest.fixture
async def busy_admin(admin: Person, person: Callable[..., Awaitable[Person]]) -> tuple[Person, Person]:
    """An admin who has suspended somebody, let them in again and made a plan, and that somebody."""
    somebody = await person("somebody@example.org")
    address = f"/v1/admin/users/{somebody.id}"
    answers = [
        await admin.send("POST", f"{address}/suspend", {"reason": "A test."}),
        await admin.send("POST", f"{address}/activate"),
        await admin.send("POST", "/v1/admin/plans", {"name": "gold", "title": "Gold"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 201]
    return admin, somebody


async def actions(admin: Person, **wanted: Any) -> list[str]:
    answer = await admin.get(AUDIT, params=wanted)
    assert answer.status_code == 200, answer.text
    return [event["action"] for event in answer.json()["data"]]


async def test_an_act_tells_who_from_where_and_what(busy_admin: tuple[Person, Person]) -> None:
    admin, somebody = busy_admin
    answer = await admin.http.post(
        f"/v1/admin/users/{somebody.id}/suspend",
        headers=admin.headers | {"x-request-id": "a-request"},
        json={"reason": "Once more."},
    )
    assert answer.status_code == 200
    (event, *_) = (await admin.get(AUDIT)).json()["data"]
    assert event["action"] == "account.suspend"
    assert event["actor_id"] == str(admin.id)
    assert event["actor_kind"] == "key"
    assert event["key_id"]
    assert event["address"] == "127.0.0.1"
    assert event["request_id"] == "a-request"
    assert (event["target_kind"], event["target_id"]) == ("account", str(somebody.id))
    assert event["before"]["status"] == "active"
    assert event["after"] == {"status": "suspended", "status_reason": "Once more.", "sessions_closed": 0}
    assert (event["place"], event["chain_hash"]) == (None, None)


async def test_a_chained_event_shows_its_place(
    busy_admin: tuple[Person, Person], gateway_settings: GatewaySettings
) -> None:
    admin, _ = busy_admin
    async with open_database(gateway_settings) as opened:
        count = await Chainer(opened.pool).chain()
    (event, *_) = (await admin.get(AUDIT)).json()["data"]
    assert event["place"] == count
    assert len(event["chain_hash"]) == 64


async def test_events_are_found(busy_admin: tuple[Person, Person]) -> None:
    admin, somebody = busy_admin
    assert await actions(admin, actor=str(admin.id)) == ["plan.create", "account.activate", "account.suspend"]
    about = await actions(admin, target=str(somebody.id), action="account")
    assert about == ["account.activate", "account.suspend", "account.create"]
    assert await actions(admin, action="plan.create") == ["plan.create"]
    assert await actions(admin, action="plan") == ["plan.create"]
    assert await actions(admin, action="pl") == []
    assert await actions(admin, action="%") == []


async def test_events_are_found_by_time(busy_admin: tuple[Person, Person], database: Database) -> None:
    admin, _ = busy_admin
    row = await (await database.execute("SELECT at FROM audit_events WHERE action = 'account.suspend'")).fetchone()
    assert row
    moment: datetime = row[0]
    later = moment + timedelta(microseconds=1)
    assert await actions(admin, **{"from": later.isoformat()}) == ["plan.create", "account.activate"]
    assert (await actions(admin, to=later.isoformat()))[0] == "account.suspend"
    between = await actions(admin, **{"from": moment.isoformat(), "to": later.isoformat()})
    assert between == ["account.suspend"]
    naive = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    assert len(await actions(admin, **{"from": naive})) == 3
    assert await actions(admin, **{"from": "9999-12-31T23:59:59Z"}) == []
    assert await actions(admin, to="0001-01-01T00:00:00Z") == []


async def test_pages_follow_each_other(busy_admin: tuple[Person, Person]) -> None:
    admin, _ = busy_admin
    everything = await actions(admin, limit=100)
    read: list[str] = []
    cursor: str | None = None
    while True:
        page = (await admin.get(AUDIT, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        read += [event["action"] for event in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert read == everything


async def test_wrong_parameters_are_refused(admin: Person) -> None:
    wrong: list[dict[str, Any]] = [
        {"actor": "me"},
        {"action": "a\x00"},
        {"target": "b\x00"},
        {"from": "yesterday"},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"cursor": "x"},
        {"limit": 101},
    ]
    for parameters in wrong:
        assert (await admin.get(AUDIT, params=parameters)).status_code == 400, parameters
