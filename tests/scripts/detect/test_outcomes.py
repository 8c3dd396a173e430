import pytest

from bonafide_client import AsyncBonafide, Retries, Timeouts
from scripts.detect.outcomes import Options, detect
from scripts.detect.sources import Source
from scripts.stack.ports import free_port
from tests.fixtures.clients import answer, problem, text

SOURCE = Source(label="clip", filename="clip.wav", path=None, data=b"RIFF")


@pytest.fixture
async def ask(wayward):
    async def call(*replies, source=SOURCE, url=wayward.url, total=20.0, **options):
        wayward.will(*replies)
        timeouts, retries = Timeouts(total=total), Retries(base=0.01)
        asked = Options(url=url, key="sk-live-1", **options)
        async with AsyncBonafide(base_url=url, api_key="sk-live-1", timeouts=timeouts, retries=retries) as client:
            return await detect(client, source, asked)

    return call


async def test_sends_the_bytes_the_key_and_the_options(ask, wayward):
    outcome = await ask(answer(), modality="audio", model="audio_transformer")

    assert outcome.detection.verdict == "FAKE"
    (sent,) = wayward.received
    assert sent.headers["authorization"] == "Bearer sk-live-1"
    assert b'name="modality"\r\n\r\naudio\r\n' in sent.body
    assert b'name="model"\r\n\r\naudio_transformer\r\n' in sent.body
    assert b"\r\n\r\nRIFF\r\n" in sent.body
    assert b'name="file"; filename="clip.wav"' in sent.body


async def test_a_refusal_gives_its_code_and_detail(ask):
    outcome = await ask(answer({"code": "unreadable_media", "detail": "The file is damaged."}, 400))

    assert (outcome.detection, outcome.code, outcome.message) == (None, "unreadable_media", "The file is damaged.")


async def test_an_unavailable_gateway_is_asked_again(ask, wayward):
    outcome = await ask(problem(503, "inference_unavailable", Retry_After="0"), answer())

    assert outcome.detection.verdict == "FAKE"
    assert len(wayward.received) == 2


async def test_a_spent_daily_quota_is_not_waited_for(ask, wayward):
    outcome = await ask(problem(429, "quota_exceeded", Retry_After="40000"))

    assert outcome.code == "quota_exceeded"
    assert len(wayward.received) == 1


async def test_silence_is_an_outcome(ask, wayward):
    outcome = await ask(wayward.stall(), total=0.3, timeout_s=0.3)

    assert (outcome.code, outcome.message) == ("timeout", "no answer within 0 s")


async def test_nothing_listening_is_an_outcome_not_a_traceback(ask):
    url = f"http://127.0.0.1:{free_port()}"
    outcome = await ask(url=url)

    assert outcome.code == "unreachable"
    assert url in outcome.message


async def test_something_else_answering_is_an_outcome(ask):
    assert (await ask(text("<h1>Welcome</h1>"))).code == "malformed_answer"


async def test_a_file_that_went_away_is_an_outcome(ask, tmp_path):
    outcome = await ask(source=Source(label="a", filename="a.jpg", path=tmp_path / "a.jpg"))

    assert (outcome.code, outcome.message) == ("unreadable_file", "No such file or directory")
