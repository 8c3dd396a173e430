"""Has a stand's Bento judge labelled media over HTTP, as internal teams do, a few at a time."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec

from bentos.contract import DETECT_PATH, HEADER_CALLER, HEADER_MODEL, Detection, ErrorBody, Modality
from scripts.models.errors import ModelsError
from scripts.models.evaluation.labelled import Sample
from scripts.models.stand import Numbered, Stand

CALLS_AT_ONCE: Final = 4

_TRIES: Final = 6
_PAUSE_S: Final = 0.5
_CALL_S: Final = 600.0
_MEDIUM_AT_FAULT: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_TRY_AGAIN: Final = frozenset(
    {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)
_BROKEN_MODEL: Final = "broken_model"

_DETECTION = msgspec.json.Decoder(Detection)
_ERROR = msgspec.json.Decoder(ErrorBody)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A sample with what was answered of it; `seconds` is the length of the call that succeeded."""

    sample: Sample
    detection: Detection
    seconds: float


class Unjudged(msgspec.Struct, frozen=True, kw_only=True):
    """A sample of which there is no score, and why."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of a set: for each sample that all versions judged, one answer each, in their order.

    `seconds` is how long the whole took.
    """

    judged: tuple[tuple[Judged, ...], ...]
    unjudged: tuple[Unjudged, ...]
    seconds: float


async def judge(
    here: Stand,
    modality: Modality,
    versions: Sequence[Numbered],
    samples: Sequence[Sample],
    *,
    at_once: int = CALLS_AT_ONCE,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> Judgement:
    """Have each sample judged by each version, one version after the other; `tell` hears how far it is.

    The version that is asked first changes from sample to sample, so that neither always meets the warmer caches.

    Raises:
        ModelsError: A model is broken, the Bento refuses for another reason than the medium, or no sample was judged.
    """
    queue = list(enumerate(samples))[::-1]
    found: dict[int, tuple[Judged, ...] | Unjudged] = {}
    callers = {each: here.caller_of(*each) for each in versions}
    timeout = aiohttp.ClientTimeout(total=_CALL_S)
    connector = aiohttp.TCPConnector(limit=at_once)
    headers = {"authorization": f"Bearer {here.token}", "content-type": "application/octet-stream"}
    began = time.monotonic()

    async def work(session: aiohttp.ClientSession) -> None:
        while queue:
            number, sample = queue.pop()
            order = list(versions) if number % 2 == 0 else list(versions)[::-1]
            answers: dict[Numbered, Judged] = {}
            for each in order:
                answer = await _ask(session, here.bentos[modality] + DETECT_PATH, each, callers[each], sample)
                if isinstance(answer, Unjudged):
                    found[number] = answer
                    break
                answers[each] = answer
            else:
                found[number] = tuple(answers[each] for each in versions)
            tell(len(found), len(samples))

    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers) as session:
        workers = [asyncio.create_task(work(session)) for _ in range(at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    results = [found[number] for number in range(len(samples))]
    unjudged = tuple(each for each in results if isinstance(each, Unjudged))
    judged = tuple(each for each in results if not isinstance(each, Unjudged))
    if not judged:
        first = unjudged[0]
        raise ModelsError(f"None of {len(samples)} media could be judged; {first.name}: {first.message}")
    return Judgement(judged=judged, unjudged=unjudged, seconds=time.monotonic() - began)


async def _ask(
    session: aiohttp.ClientSession, url: str, version: Numbered, caller: str, sample: Sample
) -> Judged | Unjudged:
    """Ask until there is a verdict, or a reason why there is none. Raises `ModelsError` as `judge` does."""
    failure = Unjudged(name=sample.name, code="unavailable", message="The Bento does not answer.")
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(_PAUSE_S * attempt)
        try:
            with sample.path.open("rb") as medium:
                began = time.perf_counter()
                headers = {HEADER_MODEL: version[0], HEADER_CALLER: caller}
                async with session.post(url, data=medium, headers=headers) as response:
                    status, body = response.status, await response.read()
                seconds = time.perf_counter() - began
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = Unjudged(name=sample.name, code="unavailable", message=str(error) or type(error).__name__)
            continue
        except OSError as error:
            return Unjudged(name=sample.name, code="unreadable_file", message=f"{error.strerror}.")
        answer = _read(status, body, version, sample)
        if isinstance(answer, Detection):
            return Judged(sample=sample, detection=answer, seconds=seconds)
        failure = answer
        if status not in _TRY_AGAIN:
            break
    return failure


def _read(status: int, body: bytes, version: Numbered, sample: Sample) -> Detection | Unjudged:
    name = f"{version[0]}:{version[1]}"
    try:
        if status == HTTPStatus.OK:
            detection = _DETECTION.decode(body)
            if (detection.model, detection.version) != version:
                raise ModelsError(f"{detection.model}:{detection.version} answered a call for {name}.")
            return detection
        error = _ERROR.decode(body)
    except msgspec.MsgspecError as broken:
        raise ModelsError(f"The Bento answers {sample.name} with what no contract says (status {status}).") from broken
    if error.code == _BROKEN_MODEL or (status not in _MEDIUM_AT_FAULT and status not in _TRY_AGAIN):
        raise ModelsError(f"{name} cannot judge {sample.name}: {error.message} ({error.code})")
    return Unjudged(name=sample.name, code=error.code, message=error.message)
