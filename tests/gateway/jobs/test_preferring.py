"""Calls that take a job for an answer."""

from typing import Any

import httpx
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.queue.runner import Runner
from tests.fixtures.gateway import JPEG, Client
from tests.gateway.jobs.conftest import reached

pytestmark = pytest.mark.integration

Bentos = dict[Modality, Script]


async def detect(client: Client, prefer: str, **headers: str) -> httpx.Response:
    return await client.http.post(
        "/v1/detections",
        headers={**client.headers(), "prefer": prefer, **headers},
        files={"file": ("picture.jpg", JPEG)},
    )


async def test_a_job_is_answered_at_once(client: Client, worker: Runner) -> None:
    assert worker
    answer = await detect(client, "respond-async")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    assert job["priority"] == "interactive"
    await reached(client, job["id"], "succeeded")


async def test_a_verdict_that_comes_in_time_is_answered_as_ever(client: Client, worker: Runner) -> None:
    assert worker
    answer = await detect(client, "handling=strict, respond-async, wait=20")
    assert answer.status_code == 200
    assert answer.json()["verdict"] == "REAL"
    assert answer.headers["preference-applied"] == "respond-async, wait=20"
    assert await client.used() == 1


async def test_a_call_that_takes_too_long_becomes_a_job_that_goes_on(
    client: Client, worker: Runner, bentos: Bentos
) -> None:
    assert worker
    bentos[Modality.IMAGE].delay_s = 3
    answer = await detect(client, "respond-async, wait=1")
    assert answer.status_code == 202
    assert answer.json()["status"] in {"queued", "running"}
    ended = await reached(client, answer.json()["id"], "succeeded")
    assert ended["verdict"] == "REAL"
    assert await client.used() == 1


async def test_a_failure_that_comes_in_time_is_answered_as_ever(client: Client, worker: Runner, bentos: Bentos) -> None:
    assert worker
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="The file is damaged."))
    answer = await detect(client, "respond-async, wait=20")
    assert (answer.status_code, answer.json()["code"]) == (400, "unreadable_media")
    assert await client.used() == 0


async def test_waiting_alone_changes_nothing(client: Client) -> None:
    answer = await detect(client, "wait=5")
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers
    jobs: list[Any] = (await client.get("/v1/jobs")).json()["data"]
    assert jobs == []


async def test_the_same_key_leads_to_the_same_job_as_a_job_and_to_no_detection(client: Client, worker: Runner) -> None:
    assert worker
    first = await detect(client, "respond-async", **{"idempotency-key": "k"})
    second = await detect(client, "respond-async", **{"idempotency-key": "k"})
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotency-replayed"] == "true"
    assert await client.used() == 1


async def test_nobody_is_handed_nothing(anonymous: Client) -> None:
    assert (await detect(anonymous, "respond-async")).status_code == 401
