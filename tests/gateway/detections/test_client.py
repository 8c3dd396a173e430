"""What the gateway makes of the answers of a Bento, over real connections to one without a model."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from bentos.contract import Detection, ErrorBody, Modality, Progress, StretchScore
from gateway.detections.answers import BentoAnswer, _split
from gateway.detections.client import BentoClient, open_bento_client
from gateway.detections.fakes import THUMBNAIL, FakeBento, Script
from gateway.detections.media import SpooledMedia
from gateway.errors import (
    DeadlineExceededError,
    FailureError,
    GatewayError,
    InferenceUnavailableError,
    UnreadableMediaError,
)
from gateway.settings import MEDIA_MODALITIES, GatewaySettings
from scripts.stack.ports import free_port

JSON = b'{"verdict": "REAL"}'
JPEG = b"\xff\xd8 small \xff\xd9"
SCORE = StretchScore(start_s=0, end_s=10, p_fake=0.3)
PROGRESS = tuple(
    Progress(done=done, total=3, unit="frames", elapsed_s=1, remaining_s=1, scores=(SCORE,)) for done in (1, 2, 3)
)


def test_a_thumbnail_is_what_is_announced_at_the_end_of_the_answer():
    assert _split(JSON + JPEG, str(len(JPEG))) == (JSON, JPEG)
    assert _split(JSON, None) == (JSON, None)


@pytest.mark.parametrize("announced", ["", "0", "-3", "many", "20", "20001", "9" * 5000])
def test_what_cannot_be_there_is_refused(announced):
    with pytest.raises(ValueError, match=r".+"):
        _split(JSON, announced)


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return GatewaySettings.model_validate(
        {
            "database_url": "postgresql+psycopg://nobody@localhost/nothing",
            "bento_token": "a-made-up-token-for-the-tests-only",
            "token_key": "made-up-token-key-of-all-the-tests",
            "reference_key": "made-up-reference-key-of-the-tests",
            "spool": tmp_path,
            "video_deadline_s": 5,
            "job_deadline_s": 9,
            **{f"{modality}_bento_url": f"http://127.0.0.1:{free_port()}" for modality in MEDIA_MODALITIES},
        }
    )


@asynccontextmanager
async def serving(settings: GatewaySettings, app: web.Application) -> AsyncIterator[None]:
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", int(settings.video_bento_url.rsplit(":", 1)[1])).start()
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def script(settings: GatewaySettings) -> AsyncIterator[Script]:
    fake = FakeBento(Modality.VIDEO, settings)
    fake.script.progress = PROGRESS
    async with serving(settings, fake.app()):
        yield fake.script


@pytest.fixture
async def client(settings: GatewaySettings) -> AsyncIterator[BentoClient]:
    async with open_bento_client(settings) as client:
        yield client


class Told:
    """Keeps what it is told; takes `pause_s` for each."""

    def __init__(self, *, pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self.progress: list[Progress] = []

    async def __call__(self, progress: Progress) -> None:
        await asyncio.sleep(self.pause_s)
        self.progress.append(progress)


def film(settings: GatewaySettings) -> SpooledMedia:
    path = settings.spool / "film.media"
    path.write_bytes(b"moving")
    return SpooledMedia(path, 6, hashlib.sha256(b"moving").digest())


async def detect(client: BentoClient, settings: GatewaySettings, **options):
    return await client.detect(Modality.VIDEO, film(settings), model=None, request_id="r", **options)


async def test_progress_is_told_in_order_and_the_verdict_follows(client, settings, script):
    told = Told()
    answer = await detect(client, settings, long=True, on_progress=told, thumbnail=True)
    assert tuple(told.progress) == PROGRESS
    assert answer.detection.p_fake == pytest.approx(0.12)
    assert msgspec.json.decode(answer.document, type=Detection) == answer.detection
    assert answer.thumbnail == THUMBNAIL
    assert script.calls == [6]


@pytest.mark.usefixtures("script")
async def test_nobody_is_told_who_does_not_ask(client, settings):
    answer = await detect(client, settings, long=True)
    assert answer.detection.p_fake == pytest.approx(0.12)


async def test_a_bento_that_has_nothing_to_tell_answers_as_ever(client, settings, script):
    script.progress = ()
    told = Told()
    assert (await detect(client, settings, on_progress=told)).detection.p_fake == pytest.approx(0.12)
    assert told.progress == []


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ((400, "unreadable_media"), UnreadableMediaError),
        ((503, "overloaded"), InferenceUnavailableError),
        ((504, "deadline_exceeded"), DeadlineExceededError),
        ((400, "bad_reference"), FailureError),
        ((418, "teapot"), FailureError),
    ],
)
async def test_an_error_after_progress_is_what_it_would_have_been(client, settings, script, refusal, kind):
    script.refusal = refusal[0], ErrorBody(code=refusal[1], message="No.")
    told = Told()
    with pytest.raises(GatewayError) as late:
        await detect(client, settings, on_progress=told)
    with pytest.raises(GatewayError) as early:
        await detect(client, settings)
    assert len(told.progress) == 3
    assert type(late.value) is type(early.value) is kind
    assert (late.value.code, late.value.status, str(late.value)) == (
        early.value.code,
        early.value.status,
        str(early.value),
    )


async def test_a_connection_that_breaks_in_the_middle_is_not_tried_again(client, settings, script):
    script.breaks = True
    told = Told()
    with pytest.raises(InferenceUnavailableError) as failure:
        await detect(client, settings, long=True, on_progress=told)
    assert failure.value.retry_after_s
    assert len(told.progress) == 3
    assert len(script.calls) == 1


async def test_a_bento_that_falls_silent_is_given_up(settings, script):
    script.pause_s = 3
    async with open_bento_client(settings) as usual:
        client = BentoClient(usual._session, settings, silence_s=0.3)
        started = time.monotonic()
        told = Told()
        with pytest.raises(InferenceUnavailableError):
            await detect(client, settings, long=True, on_progress=told)
        assert time.monotonic() - started < 2
        assert len(told.progress) == 1


async def test_one_that_never_begins_to_answer_is_given_up_too(settings, script):
    script.delay_s = 3
    async with open_bento_client(settings) as usual:
        client = BentoClient(usual._session, settings, silence_s=0.3)
        with pytest.raises(InferenceUnavailableError):
            await detect(client, settings, long=True, on_progress=Told())
        # Without progress nothing has to be heard before the verdict.
        script.delay_s = 0.6
        assert (await detect(client, settings)).detection.verdict


async def test_the_deadline_of_a_job_is_another_than_that_of_a_call(settings, script):
    script.delay_s = 2
    short = settings.model_copy(update={"video_deadline_s": 1})
    async with open_bento_client(short) as client:
        answers = await asyncio.gather(
            detect(client, short),
            # What says nothing until it is done may not take as long as a job.
            detect(client, short, long=True),
            detect(client, short, long=True, on_progress=Told()),
            return_exceptions=True,
        )
    assert [type(answer) for answer in answers] == [DeadlineExceededError, DeadlineExceededError, BentoAnswer]


@pytest.mark.usefixtures("script")
async def test_a_slow_listener_is_waited_for(settings):
    async with open_bento_client(settings) as usual:
        client = BentoClient(usual._session, settings, silence_s=0.5)
        told = Told(pause_s=0.4)
        assert (await detect(client, settings, on_progress=told)).detection.verdict
        assert len(told.progress) == 3


async def test_who_stops_listening_hangs_up(client, settings, script):
    script.pause_s = 0.1
    script.progress = PROGRESS * 50
    work = asyncio.create_task(detect(client, settings, long=True, on_progress=Told()))
    await asyncio.sleep(0.4)
    work.cancel()
    async with asyncio.timeout(2):
        while not script.hung_up:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "body", [b"no line\n", b'{"line":"progress"}\n', b'{"line":"progress","progress":{}}\n', b"x" * 17 * 1024 * 1024]
)
async def test_nonsense_in_lines_is_nothing_that_is_believed(settings, body):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"content-type": "application/x-ndjson"})

    app = web.Application()
    app.router.add_post("/detect", answer)
    async with serving(settings, app), open_bento_client(settings) as client:
        with pytest.raises(FailureError) as failure:
            await detect(client, settings, on_progress=Told())
    assert failure.value.code == "inference_failed"


async def test_an_answer_without_a_last_line_is_none(settings):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"", headers={"content-type": "application/x-ndjson"})

    app = web.Application()
    app.router.add_post("/detect", answer)
    async with serving(settings, app), open_bento_client(settings) as client:
        with pytest.raises(InferenceUnavailableError):
            await detect(client, settings, on_progress=Told())
