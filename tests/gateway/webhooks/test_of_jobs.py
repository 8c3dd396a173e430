"""What is told of jobs and batches: by the worker itself, and proved with the helper of the client."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bentos.contract import ErrorBody, Modality
from bonafide_client.webhooks import verify
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, eventually
from tests.gateway.jobs.conftest import working
from tests.gateway.webhooks.conftest import Hooks, Receiver

pytestmark = pytest.mark.integration

Receive = Callable[..., Awaitable[Receiver]]


def events(receiver: Receiver, secret: str) -> list[dict[str, Any]]:
    return [verify(call.body, call.headers, [secret]) for call in receiver.calls]


async def told(receiver: Receiver, count: int) -> None:
    async def came() -> bool:
        return len(receiver.calls) >= count

    await eventually(came, 30)


async def hand_over(hooks: Hooks, **headers: str) -> dict[str, Any]:
    answer = await hooks.client.http.post(
        "/v1/jobs", headers=hooks.client.headers() | headers, files={"file": ("picture.jpg", JPEG)}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


async def test_the_end_of_a_job_is_told_with_its_verdict(
    hooks: Hooks, receive: Receive, gateway_settings: GatewaySettings
) -> None:
    receiver = await receive()
    endpoint = await hooks.endpoint(receiver.url)
    async with working(gateway_settings):
        job = await hand_over(hooks)
        await told(receiver, 1)
    (event,) = events(receiver, endpoint["secret"])
    assert event["type"] == "job.succeeded"
    shown = (await hooks.client.get(f"/v1/jobs/{job['id']}")).json()
    assert event["data"]["id"] == job["id"]
    assert {name: shown[name] for name in event["data"]} == event["data"]


async def test_failures_and_cancellations_are_told_too(
    hooks: Hooks, receive: Receive, gateway_settings: GatewaySettings, bentos: dict[Modality, Script]
) -> None:
    receiver = await receive()
    endpoint = await hooks.endpoint(receiver.url)
    cancelled = await hand_over(hooks)
    answer = await hooks.client.http.post(f"/v1/jobs/{cancelled['id']}/cancel", headers=hooks.client.headers())
    assert answer.status_code == 200, answer.text
    bentos[Modality.IMAGE].refusal = (400, ErrorBody(code="unreadable_media", message="No."))
    failed = await hand_over(hooks)
    async with working(gateway_settings):
        await told(receiver, 2)
    named = {event["data"]["id"]: event["type"] for event in events(receiver, endpoint["secret"])}
    assert named == {cancelled["id"]: "job.cancelled", failed["id"]: "job.failed"}


async def test_the_end_of_a_batch_is_told_once_after_all_its_jobs(
    hooks: Hooks, receive: Receive, gateway_settings: GatewaySettings
) -> None:
    receiver = await receive()
    endpoint = await hooks.endpoint(receiver.url, events=["batch.finished"])
    items: list[dict[str, Any]] = []
    for _ in range(3):
        kept = await hooks.client.detect(JPEG, store="true")
        items.append({"upload_id": kept.json()["medium_id"]})
    async with working(gateway_settings):
        answer = await hooks.client.http.post(
            "/v1/batches", headers=hooks.client.headers(), json={"name": "three", "items": items}
        )
        assert answer.status_code == 202, answer.text
        await told(receiver, 1)
    (event,) = events(receiver, endpoint["secret"])
    assert event["type"] == "batch.finished"
    assert (event["data"]["id"], event["data"]["total"], event["data"]["succeeded"]) == (answer.json()["id"], 3, 3)
