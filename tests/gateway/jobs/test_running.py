"""Jobs from the request to the verdict, over a real Postgres, a real queue and a worker."""

import asyncio
import time
from typing import Any

import psycopg
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.jobs import running
from gateway.queue import runner
from gateway.queue.runner import Runner
from gateway.queue.tasks import Patience
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, MP4, Client, eventually
from tests.gateway.jobs.conftest import HandOver, cancel, reached, read, working

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]
Bentos = dict[Modality, Script]

UNREADABLE = (400, ErrorBody(code="unreadable_media", message="The file is damaged."))
AWAY = (503, ErrorBody(code="inference_unavailable", message="Not now."))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are tried again at once, three times, by a worker that looks for them often."""
    monkeypatch.setattr(runner, "_POLL_S", 0.1)
    for name in ("JOB_PATIENCE", "OUTAGE_PATIENCE"):
        monkeypatch.setattr(running, name, Patience(attempts=3, first_pause_s=0.1))


async def events(database: Database, job_id: str) -> list[str]:
    query = "SELECT kind FROM job_events WHERE job_id = %s ORDER BY place"
    return [row[0] for row in await (await database.execute(query, (job_id,))).fetchall()]


async def test_a_job_is_judged_and_charged_once(
    client: Client, hand_over: HandOver, worker: Runner, database: Database
) -> None:
    assert worker
    job = await hand_over(client_reference="order-7", tags="night,door")
    assert job["status"] == "queued"
    ended = await reached(client, job["id"], "succeeded")
    assert (ended["verdict"], ended["attempts"], ended["position"]) == ("REAL", 1, None)
    assert ended["detection"]["id"] == ended["detection_id"]
    assert ended["detection"]["client_reference"] == "order-7"
    assert ended["detection"]["tags"] == ["night", "door"]
    assert await client.used() == 1
    assert await events(database, job["id"]) == ["queued", "running", "succeeded"]
    listed = (await client.get("/v1/detections")).json()["data"]
    assert [(one["id"], one["status"]) for one in listed] == [(ended["detection_id"], "succeeded")]
    counted = await (await database.execute("SELECT sum(succeeded), sum(charged) FROM detection_days")).fetchone()
    assert counted == (1, 1)


async def test_a_bento_is_told_the_same_caller_by_a_call_and_by_a_job(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos, database: Database
) -> None:
    assert worker
    await reached(client, (await hand_over())["id"], "succeeded")
    assert (await client.detect()).status_code == 200
    accounts = await (await database.execute("SELECT DISTINCT account_id FROM detections")).fetchall()
    assert bentos[Modality.IMAGE].callers == [str(account) for (account,) in accounts] * 2


async def test_what_is_not_kept_goes_once_it_is_judged(
    client: Client, hand_over: HandOver, worker: Runner, database: Database
) -> None:
    assert worker
    job = await hand_over()
    await reached(client, job["id"], "succeeded")
    row = await (await database.execute("SELECT kept, expires_at <= now() FROM media")).fetchone()
    assert row in {(False, True), None}


async def test_a_job_whose_medium_is_at_fault_fails_for_good_and_is_refunded(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos, database: Database
) -> None:
    assert worker
    bentos[Modality.IMAGE].refusal = UNREADABLE
    job = await hand_over()
    assert await client.used() == 1
    ended = await reached(client, job["id"], "failed")
    assert (ended["error"]["code"], ended["dead"], ended["attempts"]) == ("unreadable_media", False, 1)
    assert await client.used() == 0
    detection = (await client.get(f"/v1/detections/{ended['detection_id']}")).json()
    assert (detection["status"], detection["error"]["code"]) == ("failed", "unreadable_media")
    assert await events(database, job["id"]) == ["queued", "running", "failed"]


@pytest.mark.usefixtures("hasty")
async def test_a_job_is_tried_again_when_the_bento_is_away(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos, database: Database
) -> None:
    assert worker
    script = bentos[Modality.IMAGE]
    script.refusal, script.refuse_every = AWAY, 2
    script.calls.append(0)
    job = await hand_over()
    ended = await reached(client, job["id"], "succeeded")
    assert ended["attempts"] == 2
    assert ended["error"] is None
    assert await client.used() == 1
    assert await events(database, job["id"]) == ["queued", "running", "retrying", "running", "succeeded"]


@pytest.mark.usefixtures("hasty")
async def test_a_job_that_fails_by_our_fault_again_and_again_is_dead_and_refunded(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos
) -> None:
    assert worker
    bentos[Modality.IMAGE].refusal = AWAY
    job = await hand_over()
    ended = await reached(client, job["id"], "failed", within_s=30)
    assert (ended["dead"], ended["attempts"], ended["error"]["code"]) == (True, 3, "inference_unavailable")
    assert await client.used() == 0


@pytest.mark.usefixtures("hasty")
async def test_an_outage_kills_no_job_that_an_error_would(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker
    monkeypatch.setattr(running, "JOB_PATIENCE", Patience(attempts=2, first_pause_s=0.1))
    monkeypatch.setattr(running, "OUTAGE_PATIENCE", Patience(attempts=40, first_pause_s=0.05))
    script = bentos[Modality.IMAGE]
    script.refusal = AWAY
    job = await hand_over()

    async def tried_often() -> bool:
        return (await read(client, job["id"]))["attempts"] > 3

    await eventually(tried_often, 30)
    script.refusal = None
    await reached(client, job["id"], "succeeded", within_s=30)
    script.refusal = (500, ErrorBody(code="detection_failed", message="It broke."))
    ended = await reached(client, (await hand_over())["id"], "failed", within_s=30)
    assert (ended["attempts"], ended["dead"]) == (2, True)


async def test_a_running_job_is_cancelled_within_two_seconds(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos, database: Database
) -> None:
    assert worker
    bentos[Modality.IMAGE].delay_s = 30
    job = await hand_over()
    await reached(client, job["id"], "running")
    started = time.monotonic()
    assert (await cancel(client, job["id"])).json()["status"] == "cancelled"
    bentos[Modality.IMAGE].delay_s = 0

    async def is_free() -> bool:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'job' AND status = 'doing'"
        row = await (await database.execute(query)).fetchone()
        return row == (0,)

    await eventually(is_free, 5)
    assert time.monotonic() - started < 2.5
    assert (await read(client, job["id"]))["status"] == "cancelled"
    assert await client.used() == 0
    assert (await cancel(client, job["id"])).status_code == 200


async def test_a_queued_job_is_cancelled_and_never_begun(
    client: Client, hand_over: HandOver, gateway_settings: GatewaySettings, bentos: Bentos
) -> None:
    job = await hand_over()
    assert (await read(client, job["id"]))["position"] == 0
    assert (await cancel(client, job["id"])).json()["error"]["code"] == "cancelled"
    other = await hand_over()
    async with working(gateway_settings):
        await reached(client, other["id"], "succeeded")
    assert len(bentos[Modality.IMAGE].calls) == 1
    assert (await read(client, job["id"]))["attempts"] == 0


async def test_cancelling_under_a_key_answers_what_it_has_done(client: Client, hand_over: HandOver) -> None:
    job = await hand_over()
    headers = {**client.headers(), "idempotency-key": "cancel"}
    for _ in range(2):
        answer = await client.http.post(f"/v1/jobs/{job['id']}/cancel", headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_a_job_that_has_ended_cannot_be_cancelled(client: Client, hand_over: HandOver, worker: Runner) -> None:
    assert worker
    job = await hand_over()
    await reached(client, job["id"], "succeeded")
    refused = await cancel(client, job["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "job_ended")


async def test_a_worker_that_is_stopped_gives_its_job_back_at_once(
    client: Client, hand_over: HandOver, gateway_settings: GatewaySettings, bentos: Bentos
) -> None:
    bentos[Modality.IMAGE].delay_s = 60
    job = await hand_over()
    async with working(gateway_settings.model_copy(update={"drain_timeout_s": 0.5})):
        await reached(client, job["id"], "running")
    given_back = await read(client, job["id"])
    assert given_back["status"] == "queued"
    bentos[Modality.IMAGE].delay_s = 0
    started = time.monotonic()
    async with working(gateway_settings):
        ended = await reached(client, job["id"], "succeeded")
    assert ended["attempts"] == 2
    assert time.monotonic() - started < gateway_settings.job_lease_s


async def test_a_stopping_worker_lets_its_job_finish(
    client: Client, hand_over: HandOver, gateway_settings: GatewaySettings, bentos: Bentos
) -> None:
    bentos[Modality.IMAGE].delay_s = 2
    job = await hand_over()
    async with working(gateway_settings):
        await reached(client, job["id"], "running")
    ended = await read(client, job["id"])
    assert (ended["status"], ended["attempts"]) == ("succeeded", 1)


async def test_the_same_key_leads_to_the_same_job(
    client: Client, hand_over: HandOver, worker: Runner, database: Database
) -> None:
    assert worker
    key = {"idempotency-key": "once"}
    first, second = await hand_over(headers=key), await hand_over(headers=key)
    assert first["id"] == second["id"]
    await reached(client, first["id"], "succeeded")
    assert (await hand_over(headers=key))["id"] == first["id"]
    assert await client.used() == 1
    other = await client.http.post(
        "/v1/jobs", headers={**client.headers(), **key}, files={"file": ("b.jpg", JPEG + b"x")}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    row = await (await database.execute("SELECT count(*) FROM jobs")).fetchone()
    assert row == (1,)


async def test_many_at_once_under_one_key_are_one_job(client: Client, hand_over: HandOver) -> None:
    answers = await asyncio.gather(
        *(
            client.http.post(
                "/v1/jobs",
                headers={**client.headers(), "idempotency-key": "once"},
                files={"file": ("picture.jpg", JPEG)},
            )
            for _ in range(8)
        )
    )
    assert hand_over
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert await client.used() == 1


async def test_over_the_daily_limit_nothing_is_handed_over(client: Client, database: Database) -> None:
    await database.execute("UPDATE accounts SET daily_limit = 0")
    refused = await client.http.post("/v1/jobs", headers=client.headers(), files={"file": ("a.jpg", JPEG)})
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    left = await (
        await database.execute("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM detections)")
    ).fetchone()
    assert left == (0, 0)


async def test_jobs_are_not_counted_against_bursts_and_what_runs_at_once(
    client: Client, hand_over: HandOver, database: Database
) -> None:
    await database.execute("UPDATE accounts SET burst_limit = 2, concurrent_limit = 1")
    for _ in range(4):
        await hand_over()
    assert (await client.detect()).status_code == 200


async def test_a_video_waits_its_turn_like_a_picture(client: Client, worker: Runner, hand_over: HandOver) -> None:
    assert worker
    job = await hand_over(MP4)
    ended = await reached(client, job["id"], "succeeded")
    assert (ended["modality"], ended["detection"]["modality"]) == ("video", "video")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_body"),
        (b"{}", 400, "invalid_body"),
        (b'{"upload_id": "no"}', 400, "invalid_body"),
        (b'{"upload_id": "00000000-0000-7000-8000-000000000000"}', 404, "not_found"),
        (b'{"upload_id": "00000000-0000-7000-8000-000000000000", "url": "http://a"}', 400, "invalid_body"),
        (b'{"url": "http://example.org/a.jpg"}', 403, "urls_not_allowed"),
        (b'{"url": "http://example.org/a.jpg", "colour": 1}', 400, "invalid_body"),
        (b"[" * 70_000, 413, "body_too_large"),
    ],
)
async def test_a_bad_description_is_refused(client: Client, body: bytes, status: int, code: str) -> None:
    headers = {**client.headers(), "content-type": "application/json"}
    answer = await client.http.post("/v1/jobs", headers=headers, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_jobs_of_others_are_not_there(client: Client, hand_over: HandOver, database: Database) -> None:
    job = await hand_over()
    other = Client(client.http)
    await other.sign_up("other@example.org")
    assert (await other.get(f"/v1/jobs/{job['id']}")).status_code == 404
    assert (await cancel(other, job["id"])).status_code == 404
    assert (await other.get("/v1/jobs")).json()["data"] == []
    assert [one["id"] for one in (await client.get("/v1/jobs")).json()["data"]] == [job["id"]]
    assert database


@pytest.mark.usefixtures("hasty")
async def test_what_the_database_does_not_take_fails_the_job_instead_of_keeping_it_running(
    client: Client, hand_over: HandOver, worker: Runner, bentos: Bentos
) -> None:
    assert worker
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="Damaged at \0."))
    job = await hand_over()
    ended = await reached(client, job["id"], "failed", within_s=30)
    assert (ended["dead"], ended["error"]["code"]) == (True, "internal_error")
    assert await client.used() == 0


async def test_what_waits_is_not_judged_for_a_suspended_account(
    client: Client, hand_over: HandOver, gateway_settings: GatewaySettings, bentos: Bentos, database: Database
) -> None:
    job = await hand_over()
    await database.execute("UPDATE accounts SET status = 'suspended'")
    query = "SELECT status, error_code, dead FROM jobs WHERE id = %s"

    async def ended() -> bool:
        return await (await database.execute(query, (job["id"],))).fetchone() == ("failed", "account_suspended", False)

    async with working(gateway_settings):
        await eventually(ended)
    assert bentos[Modality.IMAGE].calls == []
    await database.execute("UPDATE accounts SET status = 'active'")
    assert await client.used() == 0
