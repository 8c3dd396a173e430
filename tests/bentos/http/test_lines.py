"""Answers in lines, over real connections."""

import asyncio

import aiohttp
import msgspec
import pytest

from bentos.contract import (
    Detection,
    ErrorBody,
    FailureLine,
    FrameScore,
    Line,
    ProgressLine,
    StretchScore,
    VerdictLine,
)
from bentos.errors import InferenceUnavailableError, UnreadableMediaError
from bentos.http import lines as module
from bentos.http.calls import Call
from tests.fixtures.surface import failing, verdict_on

ASKING = {"x-bonafide-progress": "1"}


def score(number: int) -> StretchScore:
    return StretchScore(start_s=number, end_s=number + 1, p_fake=0.5, frames=(FrameScore(time_s=number, p_fake=0.5),))


async def three_steps(call: Call) -> Detection:
    call.course.begin(3)
    for step in range(3):
        await asyncio.sleep(0.2)
        call.course.advance(step + 1, [score(step)])
    await asyncio.sleep(0.7)
    if call.thumbnail.wanted:
        call.thumbnail.jpeg = b"\xff\xd8 a picture"
    return verdict_on(call)


async def lines_of(response: aiohttp.ClientResponse) -> list[Line]:
    assert (response.status, response.content_type) == (200, "application/x-ndjson")
    return [msgspec.json.decode(line, type=Line) for line in (await response.read()).splitlines()]


async def test_progress_comes_in_lines_and_the_verdict_is_the_last(client, detector):
    detector.script = three_steps
    async with client.post("/detect", data=b"clip", headers={**ASKING, "x-bonafide-thumbnail": "1"}) as response:
        *told, last = await lines_of(response)
        assert response.headers["x-request-id"]
    assert all(isinstance(line, ProgressLine) for line in told)
    done = [line.progress.done for line in told]
    assert done == sorted(done)
    assert (done[-1], told[-1].progress.total, told[-1].progress.unit) == (3, 3, "frames")
    scores = [each for line in told for each in line.progress.scores]
    assert scores == [score(step) for step in range(3)]
    # At most two a second: what was new between them came together.
    assert len(told) <= 3

    assert isinstance(last, VerdictLine)
    assert msgspec.json.decode(last.detection, type=Detection).evidence.width == 4
    assert last.thumbnail == b"\xff\xd8 a picture"


async def test_what_is_new_at_the_end_is_told_before_the_verdict(client, detector):
    async def end_at_once(call: Call) -> Detection:
        call.course.begin(2)
        await asyncio.sleep(0.2)
        call.course.advance(2, [score(0), score(1)])
        return verdict_on(call)

    detector.script = end_at_once
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        *told, last = await lines_of(response)
    assert isinstance(last, VerdictLine)
    assert told[-1].progress.scores == (score(0), score(1))


async def test_without_the_header_nothing_is_told(client, detector, monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 0.05)

    async def two_steps(call: Call) -> Detection:
        call.course.begin(2)
        for step in range(2):
            await asyncio.sleep(0.15)
            call.course.advance(step + 1, [score(step)])
        return verdict_on(call)

    detector.script = two_steps
    async with client.post("/detect", data=b"clip") as response:
        assert response.content_type == "application/json"
        assert msgspec.json.decode(await response.read(), type=Detection).evidence.width == 4


async def test_what_is_decided_at_once_is_answered_as_a_whole(client, detector):
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        assert response.content_type == "application/json"
    detector.script = failing(UnreadableMediaError())
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        assert response.status == 400
        assert msgspec.json.decode(await response.read(), type=ErrorBody).code == "unreadable_media"


async def test_somebody_who_waits_for_long_hears_that_it_goes_on(client, detector, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(module, "PAUSE_S", 0.1)

    async def silent(call: Call) -> Detection:
        await asyncio.sleep(0.7)
        return verdict_on(call)

    detector.script = silent
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        *told, last = await lines_of(response)
    assert len(told) >= 2
    assert {(line.progress.done, line.progress.total, line.progress.remaining_s) for line in told} == {(0, 0, None)}
    assert isinstance(last, VerdictLine)


@pytest.mark.parametrize(
    ("error", "told_of_it"),
    [
        (UnreadableMediaError("Torn."), (400, "unreadable_media", None)),
        (InferenceUnavailableError(), (503, "inference_unavailable", 2)),
        (RuntimeError("the secret is 42"), (500, "internal_error", None)),
    ],
)
async def test_an_error_in_the_middle_keeps_its_status_and_code(client, detector, error, told_of_it):
    async def break_off(call: Call) -> Detection:
        call.course.begin(3)
        await asyncio.sleep(0.1)
        raise error

    detector.script = break_off
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        *told, last = await lines_of(response)
    assert told
    assert isinstance(last, FailureLine)
    assert (last.status, last.error.code, last.retry_after_s) == told_of_it
    assert "42" not in last.error.message
    async with client.get("/metrics") as response:
        assert f'outcome="{told_of_it[1]}"}} 1.0' in await response.text()


async def test_hanging_up_between_two_lines_stops_the_work(client, detector):
    async def begin_and_wait(call: Call) -> Detection:
        call.course.begin(3)
        return await detector.wait(call)

    detector.script = begin_and_wait
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        assert b'"progress"' in await response.content.readline()
        response.close()
        await asyncio.wait_for(detector.cancelled.wait(), 2)
    detector.script = detector.answer
    async with client.post("/detect", data=b"clip", headers=ASKING) as response:
        assert response.status == 200
    async with client.get("/metrics") as response:
        figures = await response.text()
    assert 'outcome="client_gone"} 1.0' in figures
    assert 'calls_in_flight{modality="image"} 0.0' in figures
