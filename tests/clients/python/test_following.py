"""Following jobs with both clients, over streams that end and break off."""

import time
from typing import Any

import pytest
from aiohttp import web

from bonafide_client import ApiError, CallTimeoutError, ConnectionLostError, MalformedAnswerError
from bonafide_client.schemas.jobs import JobEvent
from tests.fixtures.clients import Either, Reply, Wayward, answer, problem

JOB = "019aa000-0000-7000-8000-000000000001"
VIEW = {
    "id": JOB,
    "status": "running",
    "priority": "api",
    "detection_id": JOB,
    "batch_id": None,
    "upload_id": None,
    "source_url": None,
    "modality": "video",
    "filename": "a.mp4",
    "size_bytes": 4,
    "client_reference": None,
    "tags": [],
    "verdict": None,
    "p_fake": None,
    "attempts": 1,
    "dead": False,
    "error": None,
    "progress": None,
    "created_at": "2026-11-21T06:00:00Z",
    "run_at": "2026-11-21T06:00:00Z",
    "started_at": None,
    "ended_at": None,
}


def told(number: int, event: str = "progress") -> bytes:
    return f'id: {number}\nevent: {event}\ndata: {{"job_id": "{JOB}", "n": {number}}}\n\n'.encode()


def stream(*pieces: bytes, broken: bool = False) -> Reply:
    """A stream of events that ends well, or breaks off."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in (b"retry: 2000\n\n", *pieces):
            await response.write(piece)
        if broken:
            assert request.transport is not None
            request.transport.abort()
        return response

    return reply


async def nothing_more(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


def asked(server: Wayward) -> list[tuple[str, str]]:
    return [query for one in server.received for query in one.query]


async def all_events(either: Either, server: Wayward, **options: Any) -> list[JobEvent]:
    return await either.all(either.client(server.url).jobs.follow(JOB, **options))


async def test_events_come_in_order_up_to_the_last(either: Either, wayward: Wayward) -> None:
    wayward.will(stream(told(1, "queued"), told(2, "running") + b": still here\n\n", told(3, "succeeded"), told(4)))

    events = await all_events(either, wayward)

    assert [(one.id, one.event) for one in events] == [(1, "queued"), (2, "running"), (3, "succeeded")]
    assert events[-1].ended
    assert events[-1].data["n"] == 3
    assert (wayward.received[0].method, wayward.received[0].path) == ("GET", f"/v1/jobs/{JOB}/events")


async def test_a_stream_that_ends_or_breaks_off_is_gone_on_with_where_it_did(either: Either, wayward: Wayward) -> None:
    half = told(3)[:-6]
    wayward.will(stream(told(1)), stream(told(2), half, broken=True), problem(503, "overloaded"))
    wayward.will(stream(told(3), told(4, "failed")))

    events = await all_events(either, wayward)

    assert [one.id for one in events] == [1, 2, 3, 4]
    assert asked(wayward) == [("last_event_id", str(after)) for after in (0, 1, 2, 2)]


async def test_following_goes_on_after_an_event_of_an_earlier_run_and_ends_where_there_is_none(
    either: Either, wayward: Wayward
) -> None:
    wayward.will(nothing_more)

    assert await all_events(either, wayward, after=7) == []
    assert asked(wayward) == [("last_event_id", "7")]


async def test_a_stream_that_never_tells_anything_is_given_up(either: Either, wayward: Wayward) -> None:
    wayward.otherwise = stream()

    with pytest.raises(ConnectionLostError, match="again and again"):
        await all_events(either, wayward)
    assert len(wayward.received) == 4


async def test_a_quiet_stream_with_signs_of_life_is_not(either: Either, wayward: Wayward) -> None:
    wayward.will(*[stream(b": still here\n\n")] * 6, stream(told(1, "cancelled")))

    assert [one.event for one in await all_events(either, wayward)] == ["cancelled"]


@pytest.mark.parametrize("wrong", [b"id: x\nevent: progress\ndata: {}\n\n", b"id: 1\nevent: progress\ndata: [\n\n"])
async def test_what_is_no_event_of_this_api_is_said_so(either: Either, wayward: Wayward, wrong: bytes) -> None:
    wayward.will(stream(wrong))

    with pytest.raises(MalformedAnswerError):
        await all_events(either, wayward)


async def test_a_refusal_is_raised(either: Either, wayward: Wayward) -> None:
    wayward.will(problem(404, "not_found"))

    with pytest.raises(ApiError) as refusal:
        await all_events(either, wayward)
    assert refusal.value.code == "not_found"


async def test_waiting_ends_with_the_job(either: Either, wayward: Wayward) -> None:
    wayward.will(answer(VIEW), answer(VIEW), answer(VIEW | {"status": "cancelled"}))

    job = await either(either.client(wayward.url).jobs.wait, JOB)

    assert job.status == "cancelled"


async def test_waiting_ends_in_time(either: Either, wayward: Wayward) -> None:
    wayward.otherwise = answer(VIEW)
    begun = time.monotonic()

    with pytest.raises(CallTimeoutError):
        await either(either.client(wayward.url).jobs.wait, JOB, timeout=0.4)
    assert 0.3 < time.monotonic() - begun < 3
