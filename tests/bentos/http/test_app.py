"""The HTTP surface over real connections, with a detector that does what the test says."""

import asyncio
import io
import json
from datetime import timedelta

import aiohttp
import msgspec
import pytest

from bentos.contract import (
    Detection,
    ErrorBody,
    Reference,
    mint_reference,
)
from bentos.errors import DetectionError, InferenceUnavailableError, UnreadableMediaError
from bentos.http.calls import Call
from tests.fixtures.surface import KEY, TOKEN, failing, verdict_on

MIB = 1024 * 1024


async def refused(response: aiohttp.ClientResponse, status: int, code: str) -> None:
    body = msgspec.json.decode(await response.read(), type=ErrorBody)
    assert (response.status, body.code) == (status, code)
    assert body.message.endswith(".")


async def test_a_body_becomes_a_verdict(client):
    async with client.post(
        "/detect", data=b"picture", headers={"x-request-id": "id-1", "x-bonafide-model": "m"}
    ) as response:
        detection = msgspec.json.decode(await response.read(), type=Detection)
    assert response.status == 200
    assert response.headers["x-request-id"] == "id-1"
    assert (detection.evidence.width, detection.model) == (7, "m")


async def test_a_thumbnail_follows_the_verdict_where_it_is_asked_for(client, detector):
    async def with_thumbnail(call: Call) -> Detection:
        if call.thumbnail.wanted:
            call.thumbnail.jpeg = b"\xff\xd8 a picture"
        return verdict_on(call)

    detector.script = with_thumbnail
    async with client.post("/detect", data=b"clip", headers={"x-bonafide-thumbnail": "1"}) as response:
        body, size = await response.read(), int(response.headers["x-bonafide-thumbnail"])
    assert body[-size:] == b"\xff\xd8 a picture"
    assert msgspec.json.decode(body[:-size], type=Detection).evidence.width == 4
    async with client.post("/detect", data=b"clip") as response:
        assert "x-bonafide-thumbnail" not in response.headers
        assert response.content_type == "application/json"
        assert msgspec.json.decode(await response.read(), type=Detection).evidence.width == 4
    async with client.post("/detect", data=b"clip", headers={"x-bonafide-thumbnail": "yes"}) as response:
        await refused(response, 400, "invalid_option")


async def test_a_large_body_comes_through_whole(client):
    async with client.post("/detect", data=io.BytesIO(bytes(2 * MIB))) as response:
        assert (await response.json())["evidence"]["width"] == 2 * MIB


async def test_a_reference_becomes_a_verdict(client, tmp_path):
    (tmp_path / "clip").write_bytes(b"12345")
    token = mint_reference(Reference(name="clip", size=5), key=KEY, lifetime=timedelta(seconds=60))
    async with client.post("/detect", headers={"x-bonafide-reference": token}) as response:
        assert (await response.json())["evidence"]["width"] == 5


@pytest.mark.parametrize("name", ["../secret", "link", "missing"])
async def test_a_reference_that_leads_elsewhere_is_refused(client, tmp_path, name):
    (tmp_path / "link").symlink_to("/etc/hostname")
    token = mint_reference(Reference(name=name, size=5), key=KEY, lifetime=timedelta(seconds=60))
    async with client.post("/detect", headers={"x-bonafide-reference": token}) as response:
        await refused(response, 400, "bad_reference")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
async def test_without_the_token_nothing_is_answered(client, authorization):
    for method, path in (("POST", "/detect"), ("GET", "/models"), ("GET", "/docs.json")):
        async with client.request(method, path, headers={"authorization": authorization}) as response:
            await refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"


async def test_figures_are_open_and_count_what_happened(client, detector):
    async with client.post("/detect", data=b"x"):
        pass
    detector.script = failing(UnreadableMediaError())
    async with client.post("/detect", data=b"x"):
        pass
    async with client.get("/metrics", headers={"authorization": ""}) as response:
        figures = await response.text()
    assert 'bonafide_bento_detections_total{modality="image",outcome="REAL"} 1.0' in figures
    assert 'bonafide_bento_detections_total{modality="image",outcome="unreadable_media"} 1.0' in figures
    assert 'bonafide_bento_step_seconds_count{modality="image",step="inference"} 1.0' in figures
    assert 'bonafide_bento_calls_in_flight{modality="image"} 0.0' in figures


@pytest.mark.parametrize("path", ["/detect", "/models", "/anything"])
async def test_pickled_bodies_are_refused_everywhere(client, path):
    headers = {"content-type": "Application/VND.bentoml+pickle; x=y"}
    async with client.post(path, data=b"\x80\x04.", headers=headers) as response:
        await refused(response, 415, "unsupported_media_type")


async def test_too_large_a_body_is_refused(client):
    async with client.post("/detect", data=io.BytesIO(bytes(2 * MIB + 1))) as response:
        await refused(response, 413, "media_too_large")


async def test_too_large_a_body_without_a_length_is_refused(client):
    async def chunks():
        for _ in range(3):
            yield bytes(MIB)

    async with client.post("/detect", data=chunks()) as response:
        await refused(response, 413, "media_too_large")


async def test_an_empty_body_is_refused(client):
    async with client.post("/detect") as response:
        await refused(response, 400, "empty_file")


async def test_other_paths_and_methods_are_refused(client):
    async with client.get("/nothing") as response:
        await refused(response, 404, "not_found")
    async with client.get("/detect") as response:
        await refused(response, 405, "method_not_allowed")


async def test_models_are_listed(client):
    async with client.get("/models") as response:
        assert await response.json() == {"models": []}


async def test_what_was_counted_is_told_and_a_model_that_is_not_there_is_not(client):
    async with client.get("/models/figures") as response:
        assert (response.status, await response.json()) == (200, {"started": 0, "versions": [], "table": ""})
    async with client.get("/models/nothing") as response:
        await refused(response, 404, "unknown_model")
    async with client.post("/models/nothing") as response:
        await refused(response, 405, "method_not_allowed")


async def test_our_faults_say_when_to_come_back(client, detector):
    detector.script = failing(InferenceUnavailableError())
    async with client.post("/detect", data=b"x") as response:
        assert response.headers["retry-after"] == "2"
        await refused(response, 503, "inference_unavailable")


async def test_an_unexpected_error_tells_nothing_of_itself(client, detector):
    detector.script = failing(RuntimeError("the secret is 42"))
    async with client.post("/detect", data=b"x") as response:
        assert "42" not in await response.text()
        await refused(response, 500, "internal_error")


async def test_every_error_of_ours_has_its_status(client, detector):
    def descend(kind: type[DetectionError]):
        yield kind
        for child in kind.__subclasses__():
            yield from descend(child)

    for kind in descend(DetectionError):
        detector.script = failing(kind())
        async with client.post("/detect", data=b"x") as response:
            assert (response.status, json.loads(await response.text())["code"]) == (kind.status, kind.code)


async def test_a_caller_that_hangs_up_stops_the_work(client, detector):
    detector.script = detector.wait
    call = asyncio.create_task(client.post("/detect", data=b"x").__aenter__())
    await asyncio.wait_for(detector.entered.wait(), 5)
    call.cancel()
    await asyncio.wait_for(detector.cancelled.wait(), 5)
    detector.script = detector.answer
    async with client.post("/detect", data=b"x") as response:
        assert response.status == 200
    async with client.get("/metrics") as response:
        figures = await response.text()
    assert 'outcome="client_gone"} 1.0' in figures
    assert "bonafide_bento_calls_in_flight{" in figures
    assert 'calls_in_flight{modality="image"} 0.0' in figures


async def test_calls_beyond_the_bound_are_told_to_come_back(client, detector, settings):
    detector.script = detector.wait
    waiting = [
        asyncio.create_task(client.post("/detect", data=b"x").__aenter__()) for _ in range(settings.bento_max_calls)
    ]
    async with asyncio.timeout(10):
        while 'calls_in_flight{modality="image"} 80.0' not in await (await client.get("/metrics")).text():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    async with client.post("/detect", data=b"x") as response:
        await refused(response, 503, "overloaded")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
