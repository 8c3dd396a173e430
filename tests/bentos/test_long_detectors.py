"""Long media in this process: real decoding processes and cards, an inference server in memory."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from bentos.audio import AudioDetector
from bentos.contract import AudioEvidence, Detection, StretchScore, VideoEvidence
from bentos.deadline import Deadline
from bentos.detector import Detector
from bentos.errors import MediaTooLongError, UnreadableMediaError
from bentos.http.calls import Call, Thumbnail
from bentos.media.pool import MediaPool
from bentos.parts import Parts
from bentos.progress import Course
from bentos.repository import ModelRepository
from bentos.settings import BentoSettings
from bentos.video import VideoDetector
from tests.bentos.test_detectors import fake_inference
from tests.fixtures import media

# They share the processes of `media_pool`, and with them a loop.
pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

RATE = 4
Open = Callable[[type[Detector]], Detector]


@pytest_asyncio.fixture(loop_scope="module")
async def open_detector(media_pool: MediaPool, tmp_path: Path) -> Open:
    settings = BentoSettings(
        bento_token="t" * 32,  # pyright: ignore[reportArgumentType]
        reference_key="r" * 32,  # pyright: ignore[reportArgumentType]
        spool=tmp_path,
        video_max_seconds=60,
        audio_max_seconds=60,
        video_job_max_seconds=1000,
        audio_job_max_seconds=1000,
        audio_max_windows=200,
    )
    repository = ModelRepository.at("model_repository")
    await repository.refresh()

    def open_with(kind: type[Detector]) -> Detector:
        detector = kind()
        detector.use(Parts(settings=settings, repository=repository, inference=fake_inference(), media=media_pool))
        return detector

    return open_with


class Lines(Course):
    """A course that keeps all that it was told."""

    def __init__(self) -> None:
        super().__init__(wanted=True)
        self.told: list[tuple[float, tuple[StretchScore, ...]]] = []

    def advance(self, done, scores) -> None:
        super().advance(done, scores)
        self.told.append((self.line().done, tuple(scores)))


def call(medium: bytes | Path, *, long: bool = True, **options) -> Call:
    return Call(
        medium=medium, model=None, deadline=Deadline.after(100), request_id="test", caller="test", long=long, **options
    )


def film(seconds: int, *, forged: range = range(0), faces: bool = True) -> bytes:
    """A video of a face that is bright, which the models in memory call forged, in the seconds of `forged`."""
    picture = media.with_faces(120, width=320, height=180) if faces else media.scenery()[:180, :320]
    bright = np.clip(picture.astype(int) + 90, 0, 255).astype(np.uint8)
    frames = (
        np.roll(bright if second in forged else picture, step, axis=1)
        for second in range(seconds)
        for step in range(RATE)
    )
    return media.clip(frames, rate=RATE, keyframe_every=20)


async def test_a_long_video_is_judged_stretch_by_stretch(open_detector):
    course, thumbnail = Lines(), Thumbnail(wanted=True)
    clip = film(150, forged=range(60, 90))
    detection = await open_detector(VideoDetector.inner).detect(call(clip, course=course, thumbnail=thumbnail))
    evidence = detection.evidence
    assert isinstance(evidence, VideoEvidence)
    assert evidence.duration_s == pytest.approx(150, abs=0.3)
    assert [(stretch.start_s, stretch.end_s) for stretch in evidence.stretches] == [
        (pytest.approx(start, abs=0.2), pytest.approx(start + 10, abs=0.2)) for start in range(10, 150, 30)
    ]
    by_score = sorted(evidence.stretches, key=lambda stretch: -stretch.p_fake)
    assert by_score[0].start_s == pytest.approx(70, abs=0.2)
    assert by_score[0].p_fake > by_score[1].p_fake + 0.1
    assert detection.p_fake == by_score[0].p_fake
    assert detection.reasons[0].code == "judged_by_stretches"
    assert not detection.partial
    assert all(70 <= frame.time_s < 80 for frame in evidence.tracks[2].frames)
    assert evidence.frames_sampled == 5 * 16
    assert thumbnail.jpeg[:2] == b"\xff\xd8"
    assert [done for done, _ in course.told] == [16, 32, 48, 64, 80]
    told = [score for _, scores in course.told for score in scores]
    assert [score.p_fake for score in told] == [stretch.p_fake for stretch in evidence.stretches]
    assert all(0 < len(score.frames) <= 16 for score in told)


@pytest.mark.parametrize("kind", [VideoDetector, AudioDetector])
async def test_without_a_grant_long_media_are_refused(open_detector, kind):
    clip = film(61) if kind is VideoDetector else media.sound(media.tone(61))
    with pytest.raises(MediaTooLongError):
        await open_detector(kind.inner).detect(call(clip, long=False))


@pytest.mark.parametrize("kind", [VideoDetector, AudioDetector])
async def test_short_media_get_the_same_verdict_by_either_way(open_detector, kind):
    clip = film(40, forged=range(20)) if kind is VideoDetector else media.sound(media.tone(40))
    detector = open_detector(kind.inner)
    short, granted = [await detector.detect(call(clip, long=long)) for long in (False, True)]

    def timeless(detection: Detection):
        return detection.p_fake, detection.reasons, detection.unscored, detection.evidence

    assert timeless(short) == timeless(granted)


async def test_a_long_video_without_faces_is_judged_by_its_middle(open_detector):
    detection = await open_detector(VideoDetector.inner).detect(call(film(90, faces=False)))
    assert isinstance(detection.evidence, VideoEvidence)
    assert {reason.code for reason in detection.reasons} >= {"judged_by_stretches", "no_face_found"}
    assert len(detection.evidence.stretches) == 3


async def test_a_torn_video_is_judged_in_part(open_detector):
    whole = film(200)
    torn = bytearray(whole)
    middle, length = len(torn) // 2, len(torn) // 5
    torn[middle : middle + length] = bytes(length)
    detection = await open_detector(VideoDetector.inner).detect(call(bytes(torn)))
    assert detection.partial
    assert {reason.code for reason in detection.unscored} & {"stretches_unreadable", "frames_unreadable"}
    assert isinstance(detection.evidence, VideoEvidence)
    assert detection.evidence.stretches


async def test_a_long_sound_is_judged_passage_by_passage(open_detector):
    course = Lines()
    loud = np.concatenate([media.tone(400, level=0.1), media.tone(300, level=0.9)])
    detection = await open_detector(AudioDetector.inner).detect(call(media.sound(loud), course=course))
    evidence = detection.evidence
    assert isinstance(evidence, AudioEvidence)
    assert evidence.duration_s == pytest.approx(700, abs=0.1)
    assert len(evidence.windows) == 200
    assert all(window.p_fake == pytest.approx(0.1, abs=0.02) for window in evidence.windows if window.end_s < 400)
    assert all(window.p_fake == pytest.approx(0.9, abs=0.02) for window in evidence.windows if window.start_s > 400)
    assert detection.p_fake == pytest.approx(0.9, abs=0.02)
    assert [reason.code for reason in detection.unscored] == ["windows_left_out"]
    assert len(course.told) == 3
    assert course.told[-1][0] == pytest.approx(700, abs=0.1)
    assert sum(len(scores) for _, scores in course.told) == 200


async def test_a_long_silent_sound_says_so(open_detector):
    detection = await open_detector(AudioDetector.inner).detect(call(media.sound(np.zeros(61 * 16_000, np.float32))))
    assert {reason.code for reason in detection.reasons} == {"silent"}


async def test_what_cannot_be_decoded_at_all_is_an_error(open_detector):
    torn = bytearray(film(90))
    start = torn.index(b"mdat") + 4
    torn[start : torn.rindex(b"moov") - 4] = bytes(torn.rindex(b"moov") - 4 - start)
    with pytest.raises(UnreadableMediaError):
        await open_detector(VideoDetector.inner).detect(call(bytes(torn)))


async def test_nobody_works_on_two_seconds_after_the_call_was_given_up(open_detector):
    detector, course = open_detector(VideoDetector.inner), Lines()
    # Ten stretches of it are judged where nobody gives up.
    work = asyncio.create_task(detector.detect(call(film(300), course=course)))
    async with asyncio.timeout(60):
        while not course.told:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    work.cancel()
    cancelled = time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    pool = detector.parts.media
    while pool._busy and time.monotonic() - cancelled < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert not pool._busy
    told = len(course.told)
    assert told < 10
    # A process that was let go on may still put away what it held.
    await asyncio.sleep(0.2)
    before = {pid: sum(psutil.Process(pid).cpu_times()[:2]) for pid in pool.pids}
    await asyncio.sleep(0.5)
    assert {pid: sum(psutil.Process(pid).cpu_times()[:2]) for pid in pool.pids} == before
    assert len(course.told) == told
    assert not pool._busy
