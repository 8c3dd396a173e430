"""Making and rotating keys under an idempotency key, over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Holder, make_holder
from tests.fixtures.gateway import JPEG, Client
from tests.fixtures.keys import Keyring, sign_in

pytestmark = pytest.mark.integration


@pytest.fixture
async def holder(database: Any) -> Holder:
    return await make_holder(database)


@pytest.fixture
async def keyring(anonymous: Client, holder: Holder, gateway_settings: GatewaySettings) -> Keyring:
    return Keyring(anonymous.http, await sign_in(holder.database, gateway_settings, holder.account_id))


async def make(keyring: Keyring, call: str = "call-1", path: str = "", **fields: Any) -> httpx.Response:
    """Send a POST to `/v1/keys` under an idempotency key; it makes a key where no path is given."""
    headers = {"authorization": f"Bearer {keyring.credential}", "idempotency-key": call}
    body = fields if path else {"name": "a key"} | fields
    return await keyring.http.post(f"/v1/keys{path}", headers=headers, json=body)


async def count(holder: Holder, table: str = "api_keys") -> int:
    queries = {"api_keys": "SELECT count(*) FROM api_keys", "audit_events": "SELECT count(*) FROM audit_events"}
    return (await (await holder.database.execute(queries[table])).fetchone())[0]


async def test_a_key_is_made_once_and_its_text_is_answered_to_whoever_made_it(keyring: Keyring, holder: Holder) -> None:
    first = await make(keyring)
    again = await make(keyring)
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (await Keyring(keyring.http, again.json()["key"]).detect()).status_code == 200
    assert await count(holder) == 2
    assert await count(holder, "audit_events") == 1
    kept = await (await holder.database.execute("SELECT response FROM idempotency_keys")).fetchone()
    assert first.json()["key"].encode() not in kept[0]


async def test_a_rotation_that_is_repeated_names_the_same_successor(keyring: Keyring, holder: Holder) -> None:
    made = (await make(keyring)).json()
    path = f"/{made['id']}/rotate"
    first = await make(keyring, "rotate-1", path, overlap_s=60)
    assert (await make(keyring, "rotate-1", path, overlap_s=60)).content == first.content
    assert first.status_code == 201
    assert (await make(keyring, "rotate-1", path, overlap_s=61)).status_code == 422
    assert (await make(keyring, "rotate-2", path, overlap_s=60)).status_code == 409
    assert await count(holder) == 3


async def test_another_call_under_the_same_key_is_422(keyring: Keyring, holder: Holder) -> None:
    assert (await make(keyring, made_up="x")).status_code == 400
    assert (await make(keyring)).status_code == 201
    headers = {"authorization": f"Bearer {keyring.credential}", "idempotency-key": "call-1"}
    others = [
        await keyring.http.post("/v1/keys", headers=headers, json={"name": "other key"}),
        await keyring.http.post("/v1/keys?x=1", headers=headers, json={"name": "a key"}),
        await keyring.http.post("/v1/detections", headers=headers, files={"file": ("a", JPEG)}),
    ]
    for other in others:
        assert other.status_code == 422
        assert other.json()["code"] == "idempotency_mismatch"
    assert await count(holder) == 2


async def test_a_detections_key_makes_no_key(keyring: Keyring, holder: Holder) -> None:
    headers = {"authorization": f"Bearer {keyring.credential}", "idempotency-key": "call-1"}
    answer = await keyring.http.post("/v1/detections", headers=headers, files={"file": ("a", JPEG)})
    assert answer.status_code == 200
    assert (await make(keyring)).status_code == 422
    assert await count(holder) == 1


async def test_what_was_answered_to_one_key_is_not_for_another(keyring: Keyring) -> None:
    wide = await keyring.make_ring(scopes=["*", "keys"])
    narrow = await keyring.make_ring(scopes=["keys"])
    assert (await make(wide)).status_code == 201
    answer = await make(narrow)
    assert answer.status_code == 422
    assert "sk-live" not in answer.text
    assert (await make(wide)).headers["idempotency-replayed"] == "true"


async def test_a_call_that_was_refused_leaves_its_key_free(keyring: Keyring, holder: Holder) -> None:
    made = (await make(keyring, "first")).json()
    await keyring.ask("DELETE", f"/{made['id']}")
    assert (await make(keyring, "call-1", f"/{made['id']}/rotate")).status_code == 409
    assert (await make(keyring, "call-1")).status_code == 201
    assert await count(holder) == 3


async def test_of_many_at_once_one_key_comes(keyring: Keyring, holder: Holder) -> None:
    answers = await asyncio.gather(*(make(keyring) for _ in range(10)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await count(holder) == 2


async def test_a_name_that_is_none_is_400(keyring: Keyring, holder: Holder) -> None:
    answer = await make(keyring, "a b")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert await count(holder) == 1
