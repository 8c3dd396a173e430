"""What is told arrives, as it was signed, once in effect; what does not arrive is tried again, and given up at last."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.db.engine import Database
from gateway.outbound.addresses import Address
from gateway.outbound.client import Reply
from gateway.settings import GatewaySettings
from gateway.webhooks.delivering import MOST_ANSWER, MOST_RETRY_AFTER_S, PAUSES_S, Courier, retry_after_s
from gateway.webhooks.places import MOST_OF_ACCOUNT, MOST_OF_ENDPOINT
from tests.fixtures.gateway import eventually
from tests.gateway.webhooks.conftest import Hooks, Received, Receiver, courier_of, working

pytestmark = pytest.mark.integration

Receive = Callable[..., Awaitable[Receiver]]


def signatures(call: Received, *secrets: str) -> list[str]:
    """What the specification makes of a call, written anew: for each secret one."""
    content = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    return ["v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]


async def test_an_event_arrives_signed_and_is_logged_as_it_was_sent(
    hooks: Hooks, receive: Receive, worker: Courier
) -> None:
    assert worker
    receiver = await receive(web.Response(status=201, text="thanks\x00"))
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    log = await hooks.ended(delivery_id)
    (call,) = receiver.calls
    assert call.headers["webhook-signature"].split() == signatures(call, endpoint["secret"])
    assert abs(time.time() - int(call.headers["webhook-timestamp"])) < 30
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == {"type": "job.succeeded", "timestamp": "2026-11-21T10:00:00Z", "data": {"id": "é"}}
    assert (log["status"], log["tries"], log["next_try_at"]) == ("delivered", 1, None)
    assert log["message_id"] == call.headers["webhook-id"]
    assert log["body"] == json.loads(call.body)
    (attempt,) = log["attempts"]
    assert (attempt["status"], attempt["answer"], attempt["error"]) == (201, "thanks\ufffd", None)
    assert attempt["headers"]["webhook-signature"] == call.headers["webhook-signature"]
    assert 0 < attempt["duration_ms"] < 500


async def test_a_failure_is_tried_again_under_the_same_id(hooks: Hooks, receive: Receive, worker: Courier) -> None:
    assert worker
    receiver = await receive(500, 503, 200)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    log = await hooks.ended(delivery_id)
    assert [attempt["status"] for attempt in log["attempts"]] == [500, 503, 200]
    assert len(receiver.calls) == 3
    assert set(receiver.ids) == {log["message_id"]}
    assert all(
        call.headers["webhook-signature"].split() == signatures(call, endpoint["secret"]) for call in receiver.calls
    )
    assert len({call.body for call in receiver.calls}) == 1
    view = (await hooks.send("GET", f"endpoints/{endpoint['id']}")).json()
    assert (view["enabled"], view["failing_since"]) == (True, None)


async def test_what_never_arrives_is_given_up(hooks: Hooks, receive: Receive, worker: Courier) -> None:
    assert worker
    receiver = await receive(500)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    log = await hooks.ended(delivery_id)
    assert (log["status"], log["tries"], len(receiver.calls)) == ("failed", 4, 4)
    view = (await hooks.send("GET", f"endpoints/{endpoint['id']}")).json()
    assert view["enabled"]
    assert view["failing_since"]
    assert 60_000 < sum(PAUSES_S) < 86_400


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        pytest.param(2.0, None, "no answer within 0.5 s", id="too slow"),
        pytest.param(web.Response(status=302, headers={"location": "http://127.0.0.1:9/"}), 302, None, id="redirect"),
        pytest.param(404, 404, None, id="nothing there"),
    ],
)
async def test_what_does_not_count_as_arrived(
    hooks: Hooks, receive: Receive, courier: Courier, *, answer: Any, status: int | None, error: str | None
) -> None:
    receiver = await receive(answer)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await hooks.deliver(courier, delivery_id, endpoint)
    log = await hooks.delivery(delivery_id)
    (attempt,) = log["attempts"]
    assert (attempt["status"], attempt["error"]) == (status, error)
    assert log["status"] == "pending"
    assert len(receiver.calls) == 1


async def test_nobody_listens(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive()
    receiver.port = 9
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await hooks.deliver(courier, delivery_id, endpoint)
    (attempt,) = (await hooks.delivery(delivery_id))["attempts"]
    assert attempt["error"] == "the connection was refused"


async def test_only_the_beginning_of_an_answer_is_kept(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive(web.Response(text="a" * 100_000))
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await hooks.deliver(courier, delivery_id, endpoint)
    (attempt,) = (await hooks.delivery(delivery_id))["attempts"]
    assert attempt["answer"] == "a" * MOST_ANSWER


async def test_one_that_is_gone_is_disabled_at_once_and_its_owner_gets_a_mail(
    hooks: Hooks, receive: Receive, worker: Courier, gateway_settings: GatewaySettings
) -> None:
    assert worker
    receiver = await receive(410)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    assert (await hooks.ended(delivery_id))["status"] == "failed"
    view = (await hooks.send("GET", f"endpoints/{endpoint['id']}")).json()
    assert (view["enabled"], view["disabled_reason"]) == (False, "gone")
    assert await hooks.tell() == []
    folder = gateway_settings.mail_folder
    assert folder

    async def mailed() -> bool:
        return folder.exists() and len(list(folder.glob("*.eml"))) == 1

    await eventually(mailed)
    (mail,) = folder.glob("*.eml")
    assert receiver.url in mail.read_text()
    assert "client@example.org" in mail.read_text()


async def test_one_that_fails_for_days_is_disabled_with_a_mail_and_an_entry_in_the_log(
    hooks: Hooks, receive: Receive, worker: Courier, gateway_settings: GatewaySettings
) -> None:
    assert worker
    receiver = await receive(500, 500, 500, 500, 200)
    endpoint = await hooks.endpoint(receiver.url)
    query = "UPDATE webhook_endpoints SET failing_since = now() - %s::interval"
    await hooks.database.execute(query, ["2 days 23 hours"])
    (first,) = await hooks.tell()
    assert (await hooks.ended(first))["tries"] == 4
    await hooks.database.execute(query, ["3 days 1 minute"])
    await hooks.database.execute("UPDATE webhook_endpoints SET rests_until = NULL")
    receiver.answers = [500]
    (second,) = await hooks.tell()
    log = await hooks.ended(second)
    # The try that found it out was the last: the next one skipped it.
    assert (log["status"], log["tries"]) == ("skipped", 1)
    view = (await hooks.send("GET", f"endpoints/{endpoint['id']}")).json()
    assert (view["enabled"], view["disabled_reason"]) == (False, "failing")
    row = await (
        await hooks.database.execute("SELECT actor_kind, target_id FROM audit_events WHERE action = 'webhook.disable'")
    ).fetchall()
    assert row == [("system", endpoint["id"])]
    folder = gateway_settings.mail_folder
    assert folder

    async def mailed() -> bool:
        return folder.exists() and bool(list(folder.glob("*.eml")))

    await eventually(mailed)
    assert len(list(folder.glob("*.eml"))) == 1
    # Enabled again it begins anew, and what was skipped can be sent.
    assert (await hooks.send("POST", f"deliveries/{second}/replay")).json()["code"] == "endpoint_disabled"
    view = (await hooks.send("PATCH", f"endpoints/{endpoint['id']}", {"enabled": True})).json()
    assert (view["enabled"], view["disabled_reason"], view["failing_since"]) == (True, None, None)
    receiver.answers = [200]
    assert (await hooks.send("POST", f"deliveries/{second}/replay")).status_code == 202
    assert (await hooks.ended(second))["status"] == "delivered"


async def test_two_workers_with_the_same_task_send_once(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive(0.2)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await asyncio.gather(*(hooks.deliver(courier, delivery_id, endpoint) for _ in range(5)))
    assert len(receiver.calls) == 1
    await hooks.deliver(courier, delivery_id, endpoint)
    assert len(receiver.calls) == 1
    log = await hooks.delivery(delivery_id)
    assert (log["status"], log["tries"]) == ("delivered", 1)


async def test_a_worker_that_dies_in_the_middle_leads_to_another_try_with_the_same_id(
    hooks: Hooks, receive: Receive, courier: Courier
) -> None:
    receiver = await receive(2.0, 200)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    # The queue's entry is done with, as one of a dead worker that nobody takes up is.
    await hooks.database.execute("DELETE FROM procrastinate_jobs")
    dying = asyncio.create_task(hooks.deliver(courier, delivery_id, endpoint))

    async def called() -> bool:
        return len(receiver.calls) == 1

    await eventually(called)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    log = await hooks.delivery(delivery_id)
    assert (log["status"], log["tries"], log["attempts"][0]["error"]) == ("pending", 1, "interrupted")
    # Its claim holds for a while, in which nobody sends; then the delivery is put into the queue again.
    await hooks.deliver(courier, delivery_id, endpoint)
    assert await courier.reissue() == 0
    assert len(receiver.calls) == 1
    await hooks.database.execute("UPDATE webhook_deliveries SET next_try_at = now() - interval '10 seconds'")
    assert await courier.reissue() == 1
    assert await courier.reissue() == 0
    await hooks.deliver(courier, delivery_id, endpoint)
    assert len(receiver.calls) == 2
    assert len(set(receiver.ids)) == 1
    assert (await hooks.delivery(delivery_id))["status"] == "delivered"


async def test_what_came_of_a_try_is_kept_although_the_session_of_the_database_is_cut(
    hooks: Hooks, receive: Receive, courier: Courier
) -> None:
    receiver = await receive(0.3)
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    sending = asyncio.create_task(hooks.deliver(courier, delivery_id, endpoint))

    async def called() -> bool:
        return len(receiver.calls) == 1

    async def cut() -> bool:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        name = hooks.database.info.dbname
        return (await (await hooks.database.execute(query, [name])).fetchone()) is not None

    await eventually(called)
    with capture_logs() as logs:
        async with hooks.database.transaction():
            await hooks.database.execute("SELECT 1 FROM webhook_deliveries FOR UPDATE")
            await eventually(cut)
        await sending
    assert [one["event"] for one in logs] == ["delivery_not_settled", "webhook_tried"]
    row = await (await hooks.database.execute("SELECT status, tries FROM webhook_deliveries")).fetchone()
    assert row == ("delivered", 1)


async def test_a_name_that_leads_inside_by_the_time_of_the_try_is_not_called(
    hooks: Hooks, receive: Receive, opened: Database, gateway_settings: GatewaySettings
) -> None:
    receiver = await receive()
    endpoint = await hooks.endpoint(receiver.url)
    url = f"http://hooks.example.org:{receiver.port}/hooks"
    await hooks.database.execute("UPDATE webhook_endpoints SET url = %s", [url])
    where = ["127.0.0.1"]
    asked: list[str] = []

    async def resolve(host: str) -> list[Address]:
        asked.append(host)
        return [ip_address(one) for one in where]

    strict = gateway_settings.model_copy(update={"outbound_allowed_networks": [], "outbound_ports": [receiver.port]})
    (delivery_id,) = await hooks.tell()
    async with courier_of(opened, strict, resolve) as courier:
        await hooks.deliver(courier, delivery_id, endpoint)
    log = await hooks.delivery(delivery_id)
    assert log["attempts"][0]["error"] == "url_not_allowed: The host is not on the public internet."
    assert (log["status"], asked, receiver.calls) == ("pending", ["hooks.example.org"], [])


async def test_an_endpoint_that_fails_in_a_row_rests_and_its_deliveries_wait_without_a_try(
    hooks: Hooks, receive: Receive, courier: Courier
) -> None:
    receiver = await receive(500)
    endpoint = await hooks.endpoint(receiver.url)
    await hooks.database.execute("UPDATE webhook_endpoints SET failures = 12, failing_since = now()")
    (first,) = await hooks.tell()
    (second,) = await hooks.tell()
    await hooks.deliver(courier, first, endpoint)
    await hooks.deliver(courier, second, endpoint)
    assert len(receiver.calls) == 1
    log = await hooks.delivery(second)
    assert (log["status"], log["tries"]) == ("pending", 0)
    pause = datetime.fromisoformat(log["next_try_at"]) - datetime.now(UTC)
    assert timedelta(seconds=200) < pause < timedelta(seconds=520)
    # Put off, it waits in the queue for then, and a success lets everything flow again.
    receiver.answers = [200]
    await hooks.database.execute("UPDATE webhook_endpoints SET rests_until = now()")
    await hooks.database.execute("UPDATE webhook_deliveries SET next_try_at = now()")
    await hooks.deliver(courier, second, endpoint)
    row = await (await hooks.database.execute("SELECT failures, rests_until FROM webhook_endpoints")).fetchone()
    assert row == (0, None)


async def test_one_slow_endpoint_leaves_places_to_others(
    hooks: Hooks, receive: Receive, courier: Courier, gateway_settings: GatewaySettings
) -> None:
    slow, quick = await receive(0.4), await receive()
    await hooks.endpoint(slow.url, events=["job.failed"])
    await hooks.endpoint(quick.url, events=["job.succeeded"])
    for _ in range(60):
        await hooks.tell("job.failed")
    async with working(courier, gateway_settings):

        async def busy() -> bool:
            return len(slow.calls) >= MOST_OF_ENDPOINT

        await eventually(busy)
        (delivery_id,) = await hooks.tell("job.succeeded")
        await hooks.ended(delivery_id)
        # Without a bound its turn would come when all the others have had theirs.
        assert len(slow.calls) < 60
    assert slow.most_under_way == MOST_OF_ENDPOINT


async def test_the_slow_endpoints_of_one_account_leave_places_to_other_accounts(
    hooks: Hooks, receive: Receive, courier: Courier, gateway_settings: GatewaySettings
) -> None:
    slow = await receive(0.3)
    for _ in range(3):
        await hooks.endpoint(slow.url, events=["job.failed"])
    for _ in range(15):
        await hooks.tell("job.failed")
    async with working(courier, gateway_settings):

        async def through() -> bool:
            return len(slow.calls) >= 2 * MOST_OF_ACCOUNT

        await eventually(through)
    assert MOST_OF_ENDPOINT < slow.most_under_way <= MOST_OF_ACCOUNT


async def test_a_suspended_account_is_not_told(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive()
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await hooks.database.execute("UPDATE accounts SET status = 'suspended'")
    await hooks.deliver(courier, delivery_id, endpoint)
    row = await (await hooks.database.execute("SELECT status, tries FROM webhook_deliveries")).fetchone()
    assert row == ("skipped", 0)
    assert receiver.calls == []


async def test_a_secret_that_cannot_be_read_any_more_is_said_so(
    hooks: Hooks, receive: Receive, opened: Database, gateway_settings: GatewaySettings
) -> None:
    receiver = await receive()
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    changed = GatewaySettings.model_validate(
        gateway_settings.model_dump() | {"token_key": "another-token-key-of-the-same-gateway"}
    )
    async with courier_of(opened, changed) as courier:
        await hooks.deliver(courier, delivery_id, endpoint)
    (attempt,) = (await hooks.delivery(delivery_id))["attempts"]
    assert attempt["error"] == "the secret cannot be read any more; rotate it"
    assert receiver.calls == []


async def test_a_receiver_may_ask_for_patience(hooks: Hooks, receive: Receive, courier: Courier) -> None:
    receiver = await receive(web.Response(status=429, headers={"Retry-After": "120"}))
    endpoint = await hooks.endpoint(receiver.url)
    (delivery_id,) = await hooks.tell()
    await hooks.deliver(courier, delivery_id, endpoint)
    pause = datetime.fromisoformat((await hooks.delivery(delivery_id))["next_try_at"]) - datetime.now(UTC)
    assert timedelta(seconds=110) < pause <= timedelta(seconds=121)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("30", 30),
        ("999999999999", MOST_RETRY_AFTER_S),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 0),
        (format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), MOST_RETRY_AFTER_S),
    ],
    ids=["seconds", "ages", "past", "word", "nothing", "past_date", "late_date"],
)
def test_how_long_is_read_with_a_bound(said: str, expected: float) -> None:
    assert retry_after_s(Reply(status=503, headers={"Retry-After": said}, body=b"")) == expected
