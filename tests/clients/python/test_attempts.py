"""What both clients do when calls fail: which they make again, when they give up, and what they raise."""

import asyncio
import time

import httpx
import pytest

from bonafide_client import (
    AsyncBonafide,
    BadRequestError,
    CallTimeoutError,
    ConnectionLostError,
    IdempotencyMismatchError,
    InProgressError,
    MalformedAnswerError,
    NotFoundError,
    QuotaExceededError,
    Retries,
    ServerError,
    Timeouts,
    TooLargeError,
    UnavailableError,
    UnreachableError,
    wire,
)
from scripts.stack.ports import free_port
from tests.fixtures.clients import DETECTION, answer, break_off, early_refusal, hang_up, problem, text

ID = DETECTION["id"]


@pytest.mark.parametrize(
    "failure",
    [
        hang_up,
        break_off,
        problem(503, "overloaded", Retry_After="0"),
        problem(503, "unavailable"),
        problem(429, "burst_exceeded", Retry_After="0"),
        problem(408, "upload_timeout"),
        problem(409, "idempotency_in_progress", Retry_After="0"),
        problem(500, "internal_error"),
        problem(504, "deadline_exceeded"),
        text("<h1>Bad gateway</h1>", 502),
    ],
    ids=["hangs up", "breaks off", "503 with a wait", "503", "429", "408", "409 in progress", "500", "504", "a proxy"],
)
async def test_a_passing_failure_is_repeated_with_the_same_key_and_the_whole_file(either, wayward, failure, tmp_path):
    file = tmp_path / "clip.wav"
    file.write_bytes(b"RIFF" * 200_000)
    wayward.will(failure, failure, answer())

    detection = await either(either.client(wayward.url).detections.create, file, modality="audio")

    assert detection.verdict == "FAKE"
    assert len(wayward.received) == 3
    assert len({call.headers["idempotency-key"] for call in wayward.received}) == 1
    assert len({call.body for call in wayward.received}) == 1
    assert b"RIFF" * 200_000 in wayward.received[0].body


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        (problem(400, "unreadable_media"), BadRequestError),
        (problem(404, "not_found"), NotFoundError),
        (problem(422, "idempotency_mismatch"), IdempotencyMismatchError),
        (problem(429, "quota_exceeded", Retry_After="40000"), QuotaExceededError),
        (problem(503, "maintenance", Retry_After="3600"), UnavailableError),
        (early_refusal(413, "media_too_large"), TooLargeError),
    ],
    ids=["400", "404", "422", "a spent quota", "a long 503", "413 before the body"],
)
async def test_what_will_not_pass_is_raised_at_once(either, wayward, refusal, raised):
    wayward.will(refusal)

    with pytest.raises(raised) as caught:
        await either(either.client(wayward.url).detections.create, b"x" * 3_000_000)

    assert type(caught.value) is raised
    assert len(wayward.received) == 1


async def test_an_error_says_all_that_the_api_said(either, wayward):
    body = {"status": 400, "code": "invalid_body", "detail": "Some fields are not valid.", "request_id": "r-9"}
    wayward.will(answer(body | {"errors": [{"field": "tags", "message": "too many"}, "odd"]}, 400, Retry_After="7"))

    with pytest.raises(BadRequestError, match="tags: too many") as caught:
        await either(either.client(wayward.url).detections.update, ID, tags=["a"])

    error = caught.value
    assert (error.status, error.code, error.detail) == (400, "invalid_body", "Some fields are not valid.")
    assert (error.request_id, error.retry_after) == ("r-9", 7.0)
    assert [(one.field, one.message) for one in error.errors] == [("tags", "too many")]


async def test_attempts_are_limited(either, wayward):
    wayward.otherwise = problem(503, "overloaded")
    client = either.client(wayward.url).with_options(retries=Retries(limit=2, base=0.01))

    with pytest.raises(UnavailableError):
        await either(client.detections.retrieve, ID)

    assert len(wayward.received) == 3


async def test_a_call_that_is_still_under_way_is_waited_for(either, wayward):
    wayward.will(*[problem(409, "idempotency_in_progress", Retry_After="0")] * 10, answer())

    await either(either.client(wayward.url).detections.create, b"RIFF")

    assert len(wayward.received) == 11


async def test_but_no_longer_than_the_call_may_take(either, wayward):
    wayward.otherwise = problem(409, "idempotency_in_progress", Retry_After="0")
    client = either.client(wayward.url, timeouts=Timeouts(total=0.3))

    begun = time.monotonic()
    # Which of the two depends on whether the deadline falls between two attempts or into one.
    with pytest.raises((InProgressError, CallTimeoutError)):
        await either(client.detections.create, b"RIFF")

    assert time.monotonic() - begun < 5


async def test_a_wait_beyond_the_deadline_is_not_begun(either, wayward):
    wayward.will(problem(503, "overloaded", Retry_After="20"))
    client = either.client(wayward.url, timeouts=Timeouts(total=10))

    begun = time.monotonic()
    with pytest.raises(UnavailableError):
        await either(client.detections.retrieve, ID)

    assert time.monotonic() - begun < 5


async def test_the_wait_that_the_api_asks_for_is_kept(either, wayward):
    wayward.will(problem(429, "burst_exceeded", Retry_After="1"), answer())

    begun = time.monotonic()
    await either(either.client(wayward.url).detections.retrieve, ID)

    assert time.monotonic() - begun >= 1


async def test_silence_ends_with_the_call(either, wayward):
    wayward.otherwise = wayward.stall()
    client = either.client(wayward.url, timeouts=Timeouts(total=0.3))

    begun = time.monotonic()
    with pytest.raises(CallTimeoutError) as caught:
        await either(client.detections.create, b"RIFF" * 100_000)

    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - begun < 5


async def test_silence_ends_an_attempt_and_another_follows(either, wayward):
    wayward.will(wayward.stall(), answer())
    client = either.client(wayward.url, timeouts=Timeouts(answer=0.3))

    assert (await either(client.detections.retrieve, ID)).verdict == "FAKE"


@pytest.mark.parametrize(
    "nonsense",
    [text("<h1>Welcome</h1>"), answer({"id": 1}), answer([1]), text('{"id": ', content_type="application/json")],
    ids=["a page", "other types", "a list", "half a document"],
)
async def test_a_good_status_with_nonsense_is_a_malformed_answer(either, wayward, nonsense):
    wayward.will(nonsense)

    with pytest.raises(MalformedAnswerError) as caught:
        await either(either.client(wayward.url).detections.retrieve, ID)

    assert caught.value.status == 200
    assert len(wayward.received) == 1


@pytest.mark.parametrize(
    "body", [[], "text", {"code": 7, "detail": {"a": 1}, "errors": "x", "request_id": None}, None], ids=repr
)
async def test_a_nonsensical_refusal_is_still_a_refusal(either, wayward, body):
    wayward.will(answer(body, 400))

    with pytest.raises(BadRequestError) as caught:
        await either(either.client(wayward.url).detections.retrieve, ID)

    assert (caught.value.code, caught.value.detail) == ("http_400", "Bad Request")


async def test_a_proxys_page_is_a_failure_with_its_status(either, wayward):
    wayward.otherwise = text("<h1>Bad gateway</h1>", 502)

    with pytest.raises(ServerError) as caught:
        await either(either.client(wayward.url).detections.retrieve, ID)

    assert (caught.value.status, caught.value.code, caught.value.detail) == (502, "http_502", "Bad Gateway")
    assert len(wayward.received) == 4


async def test_a_broken_connection_is_raised_when_it_breaks_again_and_again(either, wayward):
    wayward.otherwise = hang_up

    with pytest.raises(ConnectionLostError):
        await either(either.client(wayward.url).detections.retrieve, ID)

    assert len(wayward.received) == 4


async def test_an_address_where_nothing_listens_is_unreachable(either):
    client = either.client(f"http://127.0.0.1:{free_port()}")

    with pytest.raises(UnreachableError):
        await either(client.detections.create, b"RIFF")


async def test_a_redirect_is_not_followed_with_the_key(either, wayward):
    wayward.will(answer({}, 307, Location="http://127.0.0.1:9/v1/detections"))

    with pytest.raises(Exception, match="307") as caught:
        await either(either.client(wayward.url).detections.create, b"RIFF")

    assert caught.value.code == "http_307"
    assert len(wayward.received) == 1


async def test_a_trickle_ends_with_the_call(either, wayward):
    wayward.otherwise = wayward.trickle()
    client = either.client(wayward.url, timeouts=Timeouts(total=0.4))

    begun = time.monotonic()
    with pytest.raises(CallTimeoutError):
        await either(client.detections.retrieve, ID)

    assert time.monotonic() - begun < 5


async def test_a_server_that_does_not_take_the_file_is_not_waited_for(either, wayward):
    unread = wayward.stall()
    unread.unread = True
    wayward.otherwise = unread
    client = either.client(wayward.url, timeouts=Timeouts(send=0.2, total=0.7))

    begun = time.monotonic()
    with pytest.raises(CallTimeoutError):
        await either(client.detections.create, b"x" * 50_000_000)

    assert time.monotonic() - begun < 10


async def test_an_endless_answer_is_not_read(either, wayward, monkeypatch):
    monkeypatch.setattr(wire, "LARGEST_ANSWER_BYTES", 1000)
    wayward.otherwise = text("x" * 5000)

    with pytest.raises(ConnectionLostError, match="larger than any"):
        await either(either.client(wayward.url).detections.retrieve, ID)


async def test_a_client_of_httpx_is_used_and_left_open(either, wayward):
    wayward.otherwise = answer()
    async with httpx.AsyncClient(headers={"x-tenant": "seven"}) as awaited:
        with httpx.Client(headers={"x-tenant": "seven"}) as blocking:
            http = blocking if either.blocking else awaited
            client = either.client(wayward.url, http=http)
            await either(client.detections.retrieve, ID)
            await either.close()
            assert not http.is_closed

    assert wayward.received[0].headers["x-tenant"] == "seven"
    assert wayward.received[0].headers["authorization"] == "Bearer sk-live-1"


async def test_a_platform_on_this_machine_is_not_asked_through_a_proxy(either, wayward, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    wayward.will(answer())

    assert (await either(either.client(wayward.url).detections.retrieve, ID)).verdict == "FAKE"


async def test_a_client_serves_many_at_once(either, wayward):
    wayward.otherwise = answer()
    client = either.client(wayward.url)

    answers = await asyncio.gather(*(either(client.detections.create, b"RIFF") for _ in range(40)))

    assert len(answers) == 40
    assert len({call.headers["idempotency-key"] for call in wayward.received}) == 40


async def test_a_cancelled_call_leaves_the_client_usable(wayward):
    wayward.will(wayward.stall(), answer())
    async with AsyncBonafide(base_url=wayward.url, api_key="sk-live-1") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.detections.create(b"RIFF")
        assert (await client.detections.retrieve(ID)).verdict == "FAKE"
