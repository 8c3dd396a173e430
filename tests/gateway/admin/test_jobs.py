from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.fixtures.admissions import Holder, make_holder
from tests.fixtures.people import Person, acts
from tests.fixtures.queued_jobs import begin, fail, hand_over, one

pytestmark = pytest.mark.integration

Database = psycopg.AsyncConnection[Any]
JOBS, QUEUE = "/v1/admin/jobs", "/v1/admin/queue"


@pytest.fixture
async def holder(database: Database) -> Holder:
    return await make_holder(database)


async def code_of(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["code"]


async def test_jobs_of_all_accounts_are_listed_and_filtered(admin: Person, database: Database, holder: Holder) -> None:
    another = await make_holder(database)
    batch = await one(
        database,
        "INSERT INTO batches (account_id, status, total, request_id) VALUES (%s, 'running', 1, 'r') RETURNING id",
        holder.account_id,
    )
    waiting = await hand_over(holder, of_class="batch", batch_id=batch, place=0)
    running, dead = await hand_over(holder), await hand_over(another, url="https://media.example.org/a.jpg")
    await begin(database, running, worker="host:7")
    await fail(database, dead)

    async def found(**wanted: Any) -> list[str]:
        answer = await admin.get(JOBS, params=wanted)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["data"]]

    assert await found() == [str(one) for one in (dead, running, waiting)]
    assert await found(account_id=holder.account_id) == [str(running), str(waiting)]
    assert (
        await found(batch_id=batch) == await found(priority="batch") == await found(status="queued") == [str(waiting)]
    )
    assert await found(dead=True) == await found(error_code="inference_unavailable") == [str(dead)]
    assert await found(dead=False, account_id=another.account_id) == []
    assert await found(created_before="2020-01-01T00:00:00") == []
    assert len(await found(created_before="2100-01-01T00:00:00Z")) == 3
    page = (await admin.get(JOBS, params={"limit": 2})).json()
    rest = (await admin.get(JOBS, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [job["id"] for job in page["data"] + rest["data"]] == await found()
    assert rest["next_cursor"] is None
    shown = page["data"][1]
    assert (shown["worker"], shown["attempts"], shown["key_id"]) == ("host:7", 1, str(holder.key_id))
    assert shown["lease_until"] is not None


async def test_a_job_is_looked_into(admin: Person, database: Database, holder: Holder) -> None:
    job = await hand_over(holder)
    await fail(database, job)
    shown = (await admin.get(f"{JOBS}/{job}")).json()
    assert shown["account_id"] == str(holder.account_id)
    assert (shown["status"], shown["dead"], shown["failures"], shown["losses"]) == ("failed", True, 1, 0)
    assert shown["error"] == {"code": "inference_unavailable", "message": "No."}
    assert [event["kind"] for event in shown["events"]] == ["queued", "running", "failed"]
    assert [event["place"] for event in shown["events"]] == [1, 2, 3]
    assert await code_of(await admin.get(f"{JOBS}/{uuid4()}"), 404) == "not_found"


async def test_a_dead_job_is_tried_again_and_that_is_written_down(
    admin: Person, database: Database, holder: Holder
) -> None:
    job = await hand_over(holder)
    await fail(database, job)
    answer = await admin.send("POST", f"{JOBS}/{job}/retry")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["dead"]) == ("queued", False)
    before = {"status": "failed", "dead": True, "error_code": "inference_unavailable"}
    assert await acts(database, job) == [("job.retry", admin.id, before, {"status": "queued"})]
    assert (await holder.meter())[1:] == (1, 10, 1)
    assert await code_of(await admin.send("POST", f"{JOBS}/{job}/retry"), 409) == "job_not_ended"
    assert len(await acts(database, job)) == 1


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("DELETE FROM media", (410, "medium_gone")),
        ("UPDATE detections SET deleted_at = now()", (409, "detection_deleted")),
        ("UPDATE accounts SET status = 'suspended' WHERE role = 'user'", (409, "owner_not_allowed")),
        ("UPDATE accounts SET daily_limit = 0", (409, "owner_over_limit")),
        ("UPDATE jobs SET status = 'succeeded', dead = false", (409, "job_succeeded")),
    ],
)
async def test_what_cannot_be_tried_again_says_why(
    admin: Person, database: Database, holder: Holder, statement: str, refusal: tuple[int, str]
) -> None:
    job = await hand_over(holder)
    await fail(database, job)
    await database.execute(statement.encode())
    status, code = refusal
    assert await code_of(await admin.send("POST", f"{JOBS}/{job}/retry"), status) == code
    assert await acts(database, job) == []


async def test_a_job_is_cancelled_and_refunded(admin: Person, database: Database, holder: Holder) -> None:
    job = await hand_over(holder)
    await begin(database, job)
    for _ in range(2):
        answer = await admin.send("POST", f"{JOBS}/{job}/cancel")
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "cancelled"
    assert (await holder.meter())[1:] == (0, 0, 0)
    assert [act[0] for act in await acts(database, job)] == ["job.cancel"]
    failed = await hand_over(holder)
    await fail(database, failed)
    assert await code_of(await admin.send("POST", f"{JOBS}/{failed}/cancel"), 409) == "job_ended"
    for act in ("retry", "cancel"):
        assert await code_of(await admin.send("POST", f"{JOBS}/{uuid4()}/{act}"), 404) == "not_found"


async def test_dead_jobs_are_requeued_by_turns(admin: Person, database: Database, holder: Holder) -> None:
    dead = [await hand_over(holder) for _ in range(5)]
    for job in dead:
        await fail(database, job)
    await database.execute("DELETE FROM media WHERE id = (SELECT medium_id FROM jobs WHERE id = %s)", (dead[3],))
    first = (await admin.send("POST", f"{JOBS}/requeue-dead", {"limit": 2})).json()
    assert first["requeued"] == 1
    assert first["refused"] == [{"job_id": str(dead[3]), "code": "medium_gone"}]
    rest = (await admin.send("POST", f"{JOBS}/requeue-dead", {"cursor": first["next_cursor"]})).json()
    assert rest == {"requeued": 3, "refused": [], "next_cursor": None}
    assert await one(database, "SELECT count(*) FROM jobs WHERE status = 'queued'") == 4
    told = await one(database, "SELECT count(*) FROM audit_events WHERE action = 'job.requeue_dead'")
    assert told == 2
    for wrong in ({"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"error_code": "A b"}, {"more": 1}):
        assert (await admin.send("POST", f"{JOBS}/requeue-dead", wrong)).status_code == 400, wrong


async def test_the_queue_is_paused_and_resumed(admin: Person, database: Database, holder: Holder) -> None:
    await hand_over(holder)
    fetch = "SELECT id FROM procrastinate_fetch_job_v2('{jobs.api}', NULL)"
    view = (await admin.get(QUEUE)).json()
    assert [one["queued"] for one in view["classes"]] == [0, 1, 0]
    assert (view["paused"], view["paused_at"], view["reason"]) == (False, None, None)
    for reason in ("Full disk.", "Full disk.", "Still full."):
        answer = await admin.send("POST", f"{QUEUE}/pause", {"reason": reason})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["paused"], answer.json()["reason"]) == (True, reason)
    assert await one(database, fetch) is None
    for _ in range(2):
        assert (await admin.send("POST", f"{QUEUE}/resume")).json()["paused"] is False
    assert await one(database, fetch) is not None
    assert await acts(database, "jobs") == [
        ("queue.pause", admin.id, None, {"reason": "Full disk."}),
        ("queue.pause", admin.id, {"reason": "Full disk."}, {"reason": "Still full."}),
        ("queue.resume", admin.id, {"reason": "Still full."}, None),
    ]
    for wrong in ({"reason": ""}, {"reason": "a\nb"}, {}):
        assert (await admin.send("POST", f"{QUEUE}/pause", wrong)).status_code == 400


async def test_figures_are_scraped(admin: Person, holder: Holder) -> None:
    await hand_over(holder)
    text = (await admin.http.get("/metrics")).text
    assert 'bonafide_jobs_queued{priority="api"} 1.0' in text
    assert "bonafide_http_request_seconds" in text


async def test_others_reach_none_of_it(
    person: Callable[..., Awaitable[Person]], holder: Holder, database: Database
) -> None:
    user = await person("user@example.org", scopes=["*"])
    job: UUID = await hand_over(holder)
    for method, path in (
        ("GET", JOBS),
        ("GET", f"{JOBS}/{job}"),
        ("POST", f"{JOBS}/{job}/cancel"),
        ("POST", f"{JOBS}/requeue-dead"),
        ("GET", QUEUE),
        ("POST", f"{QUEUE}/pause"),
    ):
        assert (await user.send(method, path, {} if method == "POST" else None)).status_code == 403, path
    assert await one(database, "SELECT status FROM jobs") == "queued"
