"""Who is told: made, changed, rotated and removed through the API, and never anything inside."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from gateway.accounts.endings import delete_account
from gateway.audit.service import SYSTEM
from gateway.webhooks.delivering import Courier
from gateway.webhooks.outbox import tell
from gateway.webhooks.schemas import EVENTS
from tests.fixtures.gateway import Client
from tests.gateway.webhooks.conftest import Hooks, Receiver
from tests.gateway.webhooks.test_delivering import signatures

pytestmark = pytest.mark.integration

Receive = Callable[..., Awaitable[Receiver]]
INSIDE = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://[::ffff:10.0.0.1]/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "https://user:secret@example.org/",
    "https://no-such-name.invalid/",
    "ftp://example.org/",
]


async def secret_of(hooks: Hooks) -> bytes:
    row = await (await hooks.database.execute("SELECT secret FROM webhook_endpoints")).fetchone()
    assert row
    return row[0]


async def test_the_secret_is_shown_once_and_kept_encrypted(hooks: Hooks) -> None:
    made = await hooks.endpoint("http://127.0.0.1:9/hooks", description="mine")
    assert made["secret"].startswith("whsec_")
    raw = base64.b64decode(made["secret"].removeprefix("whsec_"))
    assert len(raw) == 32
    kept = await secret_of(hooks)
    assert raw not in kept
    assert made["events"] == list(EVENTS)
    shown = (await hooks.send("GET", f"endpoints/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (await hooks.send("GET", "endpoints")).json() == {"data": [shown], "next_cursor": None}
    told = await (await hooks.database.execute("SELECT before::text || after::text FROM audit_events")).fetchall()
    assert made["secret"] not in str(told)


@pytest.mark.parametrize("url", INSIDE)
async def test_what_leads_inside_is_refused_when_it_is_made_and_when_it_is_changed(hooks: Hooks, url: str) -> None:
    answer = await hooks.send("POST", "endpoints", {"url": url})
    assert (answer.status_code, answer.json()["code"]) == (400, "url_not_allowed")
    assert (await hooks.send("GET", "endpoints")).json()["data"] == []
    made = await hooks.endpoint("http://127.0.0.1:9/hooks")
    answer = await hooks.send("PATCH", f"endpoints/{made['id']}", {"url": url, "description": "changed"})
    assert (answer.status_code, answer.json()["code"]) == (400, "url_not_allowed")
    shown = (await hooks.send("GET", f"endpoints/{made['id']}")).json()
    assert (shown["url"], shown["description"]) == ("http://127.0.0.1:9/hooks", None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "http://127.0.0.1:9/", "events": []},
        {"url": "http://127.0.0.1:9/", "events": ["job.exploded"]},
        {"url": "http://127.0.0.1:9/", "events": ["webhook.test"]},
        {"url": "http://127.0.0.1:9/", "description": "a\x00b"},
        {"url": "http://127.0.0.1:9/", "secret": "whsec_mine"},
        {"url": 7},
    ],
)
async def test_a_body_that_is_wrong_makes_nothing(hooks: Hooks, body: dict[str, Any]) -> None:
    answer = await hooks.send("POST", "endpoints", body)
    assert answer.status_code == 400, answer.text
    assert (await hooks.send("GET", "endpoints")).json()["data"] == []


async def test_an_account_has_only_so_many_also_when_they_come_at_once(hooks: Hooks) -> None:
    calls = (hooks.send("POST", "endpoints", {"url": f"http://127.0.0.1:9/{i}"}) for i in range(14))
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 4
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"too_many_endpoints"}
    first = (await hooks.send("GET", "endpoints?limit=6")).json()
    second = (await hooks.send("GET", f"endpoints?limit=6&cursor={first['next_cursor']}")).json()
    assert len({one["id"] for one in first["data"] + second["data"]}) == 10
    assert second["next_cursor"] is None


async def test_a_repeated_call_gets_the_same_endpoint_and_secret(hooks: Hooks) -> None:
    body = {"url": "http://127.0.0.1:9/hooks"}
    first, second = [await hooks.send("POST", "endpoints", body, **{"idempotency-key": "one"}) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len((await hooks.send("GET", "endpoints")).json()["data"]) == 1


async def test_after_a_rotation_both_secrets_sign_until_the_former_expires(
    hooks: Hooks, receive: Receive, courier: Courier
) -> None:
    receiver = await receive()
    made = await hooks.endpoint(receiver.url)
    answer = await hooks.send("POST", f"endpoints/{made['id']}/rotate")
    assert answer.status_code == 200, answer.text
    rotated = answer.json()
    assert rotated["secret"] != made["secret"]
    assert rotated["former_secret_expires_at"]

    async def signed() -> tuple[list[str], list[str], list[str]]:
        (delivery_id,) = await hooks.tell()
        await hooks.deliver(courier, delivery_id, made)
        call = receiver.calls[-1]
        both = call.headers["webhook-signature"].split()
        return both, signatures(call, rotated["secret"]), signatures(call, made["secret"])

    both, new, former = await signed()
    assert both == new + former
    await hooks.database.execute("UPDATE webhook_endpoints SET former_expires_at = now()")
    both, new, former = await signed()
    assert both == new
    shown = (await hooks.send("GET", f"endpoints/{made['id']}")).json()
    assert shown["former_secret_expires_at"] is None
    # Not a moment of both, where it is asked for.
    last = (await hooks.send("POST", f"endpoints/{made['id']}/rotate", {"overlap_s": 0})).json()
    await signed()
    assert receiver.calls[-1].headers["webhook-signature"].split() == signatures(receiver.calls[-1], last["secret"])


async def test_an_endpoint_is_told_of_what_it_wants_while_it_is_enabled(
    hooks: Hooks, receive: Receive, worker: Courier
) -> None:
    assert worker
    receiver = await receive()
    made = await hooks.endpoint(receiver.url, events=["job.failed", "job.failed"])
    assert made["events"] == ["job.failed"]
    assert await hooks.tell("job.succeeded") == []
    (delivery_id,) = await hooks.tell("job.failed")
    assert (await hooks.ended(delivery_id))["event"] == "job.failed"
    shown = (await hooks.send("PATCH", f"endpoints/{made['id']}", {"enabled": False})).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "owner")
    assert await hooks.tell("job.failed") == []
    answer = await hooks.send("POST", f"endpoints/{made['id']}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "endpoint_disabled")
    await hooks.send("PATCH", f"endpoints/{made['id']}", {"enabled": True, "events": ["job.cancelled"]})
    assert await hooks.tell("job.failed") == []
    assert len(await hooks.tell("job.cancelled")) == 1


async def test_what_waits_for_one_that_is_disabled_is_skipped(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive(500)
    made = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await hooks.deliver(courier, delivery_id, made)
    await hooks.send("PATCH", f"endpoints/{made['id']}", {"enabled": False})
    await hooks.database.execute("UPDATE webhook_deliveries SET next_try_at = now()")
    await hooks.deliver(courier, delivery_id, made)
    log = await hooks.delivery(delivery_id)
    assert (log["status"], log["tries"], len(receiver.calls)) == ("skipped", 1, 1)


async def test_a_subject_has_each_event_once_and_a_rollback_tells_nobody(hooks: Hooks, receive: Receive) -> None:
    receiver = await receive()
    await hooks.endpoint(receiver.url)
    await hooks.endpoint(receiver.url)
    subject = uuid4()
    assert len(await hooks.tell("job.failed", subject)) == 2
    assert await hooks.tell("job.failed", subject) == []
    assert len(await hooks.tell("job.succeeded", subject)) == 2
    async with hooks.opened.engine.connect() as connection:
        account_id = await hooks.account_id()
        told = await tell(connection, account_id=account_id, event="job.failed", subject_id=uuid4(), body=b"{}")
        assert len(told) == 2
        await connection.rollback()
    count = await (await hooks.database.execute("SELECT count(*) FROM procrastinate_jobs")).fetchone()
    assert count == (4,)


async def test_what_happens_many_times_at_once_is_told_once(hooks: Hooks) -> None:
    await hooks.endpoint("http://127.0.0.1:9/")
    subject = uuid4()
    told = await asyncio.gather(*(hooks.tell("job.failed", subject) for _ in range(6)))
    assert sorted(len(one) for one in told) == [0] * 5 + [1]


async def test_a_test_is_sent_at_once_whatever_the_endpoint_wants(
    hooks: Hooks, receive: Receive, worker: Courier
) -> None:
    assert worker
    receiver = await receive()
    made = await hooks.endpoint(receiver.url, events=["batch.finished"])
    answer = await hooks.send("POST", f"endpoints/{made['id']}/test")
    assert answer.status_code == 202, answer.text
    assert answer.json()["event"] == "webhook.test"
    log = await hooks.ended(answer.json()["id"])
    assert log["status"] == "delivered"
    assert log["body"]["data"] == {"endpoint_id": made["id"], "url": receiver.url}


async def test_a_delivery_is_replayed_under_its_id_and_with_new_tries(
    hooks: Hooks, receive: Receive, worker: Courier
) -> None:
    assert worker
    receiver = await receive(500, 500, 500, 500, 500, 200)
    made = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    assert (await hooks.ended(delivery_id))["status"] == "failed"
    answer = await hooks.send("POST", f"deliveries/{delivery_id}/replay")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    log = await hooks.ended(delivery_id)
    assert [one["number"] for one in log["attempts"]] == [1, 2, 3, 4, 5, 6]
    assert log["status"] == "delivered"
    assert len(set(receiver.ids)) == 1
    # What was delivered can be sent again, too; what is being tried cannot.
    receiver.answers = [500]
    assert (await hooks.send("POST", f"deliveries/{delivery_id}/replay")).status_code == 202
    again = await hooks.send("POST", f"deliveries/{delivery_id}/replay")
    assert (again.status_code, again.json()["code"]) == (409, "delivery_pending")
    assert made


async def test_the_log_is_filtered_and_paged(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive()
    one, other = await hooks.endpoint(receiver.url), await hooks.endpoint(receiver.url, events=["job.failed"])
    deliveries = [await hooks.tell("job.failed") for _ in range(3)]
    deliveries.append(await hooks.tell("job.succeeded"))
    await hooks.deliver(courier, deliveries[3][0], one)

    async def listed(query: str) -> list[dict[str, Any]]:
        answer = await hooks.send("GET", f"deliveries?{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    assert len(await listed("")) == 7
    assert len(await listed(f"endpoint_id={other['id']}")) == 3
    assert [row["id"] for row in await listed("status=delivered")] == [str(deliveries[3][0])]
    assert len(await listed("event=job.failed")) == 6
    assert len(await listed(f"endpoint_id={one['id']}&event=job.failed&status=pending")) == 3
    seen: list[str] = []
    cursor = ""
    while True:
        answer = (await hooks.send("GET", f"deliveries?limit=3{cursor}")).json()
        seen += [row["id"] for row in answer["data"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)
    for query in ("status=lost", "event=job.exploded", "endpoint_id=x", "limit=0", "cursor=x"):
        assert (await hooks.send("GET", f"deliveries?{query}")).status_code in {400, 404}


async def test_one_that_is_removed_takes_its_log_along(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive()
    made = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    assert (await hooks.send("DELETE", f"endpoints/{made['id']}")).status_code == 204
    await hooks.deliver(courier, delivery_id, made)
    assert receiver.calls == []
    for path in (f"endpoints/{made['id']}", f"deliveries/{delivery_id}"):
        assert (await hooks.send("GET", path)).status_code == 404


async def test_a_key_needs_the_scope(hooks: Hooks, client: Client) -> None:
    await hooks.database.execute("UPDATE api_keys SET scopes = '{detect:image}'")
    answer = await hooks.send("GET", "endpoints")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    await hooks.database.execute("UPDATE api_keys SET scopes = '{webhooks}'")
    assert (await hooks.send("GET", "endpoints")).status_code == 200
    assert client.key


async def test_a_deleted_account_is_not_told_any_more(hooks: Hooks, receive: Receive) -> None:
    receiver = await receive()
    await hooks.endpoint(receiver.url)
    await hooks.tell()
    async with hooks.opened.engine.begin() as connection:
        await delete_account(connection, await hooks.account_id(), actor=SYSTEM)
    for table in ("webhook_endpoints", "webhook_messages", "webhook_deliveries"):
        count = await (await hooks.database.execute(f"SELECT count(*) FROM {table}")).fetchone()  # noqa: S608 - Constants.
        assert count == (0,), table
