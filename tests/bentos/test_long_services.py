"""Long media as they run: Bento processes in front of a real Triton, asked over HTTP with signed references."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import psutil
import pytest

from bentos.contract import (
    AudioEvidence,
    Detection,
    ErrorBody,
    Line,
    ProgressLine,
    Reference,
    VerdictLine,
    VideoEvidence,
    mint_reference,
)
from tests.fixtures import media
from tests.fixtures.detectors import REFERENCE_KEY, RunningBento
from tests.fixtures.long_media import write_film, write_sound

pytestmark = pytest.mark.integration
MIB = 1024 * 1024


@asynccontextmanager
async def posted(bento: RunningBento, path: Path, *, long: bool = True) -> AsyncIterator[aiohttp.ClientResponse]:
    size = (await asyncio.to_thread(path.stat)).st_size
    reference = Reference(name=path.name, size=size, long=long)
    headers = {
        **bento.headers,
        "x-bonafide-progress": "1",
        "x-bonafide-reference": mint_reference(reference, key=REFERENCE_KEY, lifetime=timedelta(minutes=5)),
    }
    async with (
        aiohttp.ClientSession(headers=headers, read_bufsize=4 * MIB) as session,
        session.post(f"{bento.url}/detect") as response,
    ):
        yield response


async def lines_of(response: aiohttp.ClientResponse) -> AsyncIterator[Line]:
    async for line in response.content:
        yield msgspec.json.decode(line, type=Line)


def processes_of(bento: RunningBento) -> list[psutil.Process]:
    process = psutil.Process(bento.pid)
    return [process, *process.children(recursive=True)]


def memory_of(bento: RunningBento) -> float:
    """PSS of the Bento with its decoding processes in MiB."""
    return sum(process.memory_full_info().pss for process in processes_of(bento)) / MIB


def decoding_s(bento: RunningBento) -> dict[int, float]:
    """CPU seconds of its decoding processes so far."""
    children = [process for process in processes_of(bento) if "bentos.media.child" in process.cmdline()]
    return {child.pid: sum(child.cpu_times()[:2]) for child in children}


async def test_a_quarter_of_an_hour_of_video_is_told_stretch_by_stretch_in_flat_memory(video_bento):
    path = video_bento.spool / "quarter-hour"
    write_film(path, 15)
    memory: list[float] = []
    told: list[ProgressLine] = []
    async with posted(video_bento, path) as response:
        assert response.content_type == "application/x-ndjson"
        async for line in lines_of(response):
            memory.append(await asyncio.to_thread(memory_of, video_bento))
            if isinstance(line, ProgressLine):
                told.append(line)
            else:
                last = line
    assert isinstance(last, VerdictLine)
    detection = msgspec.json.decode(last.detection, type=Detection)
    assert isinstance(detection.evidence, VideoEvidence)
    assert len(detection.evidence.stretches) == 30
    assert detection.evidence.frames_sampled == told[-1].progress.total == 30 * 16
    scores = [score for line in told for score in line.progress.scores]
    assert [score.p_fake for score in scores] == [stretch.p_fake for stretch in detection.evidence.stretches]
    assert len(told) > 2
    # The first lines fall into the start of a decoding process.
    steady = memory[len(memory) // 3 :]
    slope = np.polyfit(np.arange(len(steady)), steady, 1)[0] * len(steady)
    assert abs(slope) < 40, memory


async def test_an_hour_of_sound_is_told_in_seconds(audio_bento):
    path = audio_bento.spool / "hour"
    write_sound(path, 60)
    async with posted(audio_bento, path) as response:
        lines = [line async for line in lines_of(response)]
    *told, last = lines
    assert isinstance(last, VerdictLine)
    detection = msgspec.json.decode(last.detection, type=Detection)
    assert isinstance(detection.evidence, AudioEvidence)
    assert detection.evidence.duration_s == pytest.approx(3600, abs=10)
    assert {line.progress.unit for line in told} == {"seconds"}
    assert sum(len(line.progress.scores) for line in told) <= len(detection.evidence.windows) == 600


async def test_without_the_grant_in_the_reference_it_is_too_long(video_bento):
    path = video_bento.spool / "ungranted"
    write_film(path, 11)
    async with posted(video_bento, path, long=False) as response:
        assert response.status == 413
        assert msgspec.json.decode(await response.read(), type=ErrorBody).code == "media_too_long"


async def test_a_caller_that_hangs_up_stops_the_decoding_within_two_seconds(video_bento):
    path = video_bento.spool / "two-hours"
    write_film(path, 120)
    async with posted(video_bento, path) as response:
        async for line in lines_of(response):
            if isinstance(line, ProgressLine) and line.progress.done:
                break
        response.close()
        hung_up = time.monotonic()
    await asyncio.sleep(2 - (time.monotonic() - hung_up))
    before = await asyncio.to_thread(decoding_s, video_bento)
    await asyncio.sleep(1)
    after = await asyncio.to_thread(decoding_s, video_bento)
    assert before
    assert sum(after.values()) - sum(before.values()) < 0.05
    async with (
        aiohttp.ClientSession(headers=video_bento.headers) as session,
        session.get(f"{video_bento.url}/metrics") as response,
    ):
        assert 'calls_in_flight{modality="video"} 0.0' in await response.text()


async def test_a_short_clip_gets_its_turn_while_a_long_one_is_judged(video_bento):
    path = video_bento.spool / "an-hour"
    write_film(path, 60)
    clip = media.clip(media.frames_of(media.with_faces(120, width=320, height=180), 30))
    async with posted(video_bento, path) as response:
        async for line in lines_of(response):
            if isinstance(line, ProgressLine) and line.progress.done:
                break
        async with (
            aiohttp.ClientSession(headers=video_bento.headers) as session,
            session.post(f"{video_bento.url}/detect", data=clip) as short,
        ):
            assert short.status == 200
        async for line in lines_of(response):
            last = line
            break
        assert isinstance(last, ProgressLine)
        assert last.progress.done < last.progress.total
