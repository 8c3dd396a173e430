"""The text Bento as it runs, in front of a real Triton, asked over HTTP."""

import aiohttp
import msgspec
import pytest

from bentos.cards import read_card
from bentos.contract import Detection, ErrorBody, TextEvidence, Verdict
from bentos.verdict import decide
from scripts.demo import samples
from scripts.stack.settings import CHECKOUT
from tests.fixtures.detectors import RunningBento

pytestmark = pytest.mark.integration


async def post(bento: RunningBento, body: bytes) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(headers=bento.headers) as session,
        session.post(f"{bento.url}/detect", data=body) as response,
    ):
        return response.status, await response.read()


async def detected(bento: RunningBento, body: bytes) -> tuple[Detection, TextEvidence]:
    status, answer = await post(bento, body)
    assert status == 200, answer
    detection = msgspec.json.decode(answer, type=Detection)
    assert isinstance(detection.evidence, TextEvidence)
    return detection, detection.evidence


async def test_sampled_and_written_texts_are_told_apart(text_bento: RunningBento) -> None:
    card = read_card((CHECKOUT / "model_repository" / "text_transformer" / "1" / "card.json").read_bytes())
    for name, verdict in (("genuine", Verdict.REAL), ("forged", Verdict.FAKE)):
        text = (samples.MEDIA / f"{name}.txt").read_bytes()
        detection, evidence = await detected(text_bento, text)
        assert (detection.verdict, detection.digest, detection.partial) == (verdict, card.digest, False)
        assert card.thresholds is not None
        assert decide(detection.p_fake, card.thresholds) is verdict
        assert (evidence.words, evidence.encoding) == (300, "utf-8")
        assert len(evidence.passages) > 1
        tokens = [token for passage in evidence.passages for token in passage.tokens]
        assert tokens
        decoded = text.decode()
        assert all(decoded[token.start : token.end].strip() for token in tokens)
        assert all(0 <= token.p_fake <= 1 for token in tokens)


async def test_the_same_text_in_another_encoding_gets_the_same_score(text_bento: RunningBento) -> None:
    text = (samples.MEDIA / "forged.txt").read_text(encoding="utf-8")
    first, _ = await detected(text_bento, text.encode())
    second, evidence = await detected(text_bento, text.encode("utf-16"))
    assert second.p_fake == pytest.approx(first.p_fake, abs=1e-5)
    assert evidence.encoding.startswith("utf-16")


async def test_a_short_text_has_a_score_and_no_verdict(text_bento: RunningBento) -> None:
    detection, _ = await detected(text_bento, b"A few words.")
    assert detection.verdict is Verdict.UNCERTAIN
    assert [reason.code for reason in detection.reasons] == ["text_too_short"]


async def test_a_text_of_more_batches_than_one_is_read_to_its_end(text_bento: RunningBento) -> None:
    text = (samples.MEDIA / "genuine.txt").read_text(encoding="utf-8") * 12
    _, evidence = await detected(text_bento, text.encode())
    assert len(evidence.passages) > 32
    assert evidence.passages[-1].end == len(text.rstrip())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b" \n ", 400, "empty_file"),
        (b"caf\xe9 " * 40, 400, "unreadable_media"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", 415, "unsupported_media_type"),
    ],
    ids=["white-space", "latin-1", "picture"],
)
async def test_what_cannot_be_judged_is_refused(text_bento: RunningBento, body: bytes, status: int, code: str) -> None:
    answered, answer = await post(text_bento, body)
    assert (answered, msgspec.json.decode(answer, type=ErrorBody).code) == (status, code)
