"""The three detectors in this process: real decoding processes and cards, an inference server in memory."""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from pydantic import SecretStr

from bentos.audio import AudioDetector
from bentos.contract import AudioEvidence, ImageEvidence, Modality, Verdict, VideoEvidence
from bentos.deadline import Deadline
from bentos.detector import Detector
from bentos.errors import (
    BrokenModelError,
    DeadlineExceededError,
    InferenceUnavailableError,
    TooManyPixelsError,
    UnknownModelError,
    UnsupportedMediaError,
)
from bentos.fakes import FakeInference, FakeModel, fake_signature
from bentos.http.calls import Call, Thumbnail
from bentos.image import ImageDetector
from bentos.media.pool import MediaPool
from bentos.parts import Parts
from bentos.repository import ModelRepository
from bentos.settings import BentoSettings
from bentos.video import VideoDetector
from tests.fixtures import media

# They share the processes of `media_pool`, and with them a loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

CROP = {"crop": (np.uint8, (224, 224, 3))}
FRAMES, FEATURES, SAMPLES = 16, 64, 32_000


def scores(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).reshape(-1, 1)


def brightness(batch):
    """An image model that calls bright crops forged."""
    return {"p_fake": scores(batch["crop"].mean(axis=(1, 2, 3)) / 255)}


def encode(batch):
    return {"features": np.repeat(scores(batch["crop"].mean(axis=(1, 2, 3)) / 255), FEATURES, axis=1)}


def judge_sequences(batch):
    """A video head that answers the mean of the frames there are, and each frame's own value."""
    frames = batch["features"][:, :, 0] * batch["mask"]
    return {"p_fake": scores(frames.sum(1) / batch["mask"].sum(1)), "frame_p_fake": frames}


def loudness(batch):
    """An audio model that calls loud windows forged."""
    return {"p_fake": scores(np.abs(batch["waveform"]).max(axis=1).clip(0, 1))}


def fake_inference() -> FakeInference:
    head = {"features": (np.float32, (FRAMES, FEATURES)), "mask": (np.float32, (FRAMES,))}
    sound = {"waveform": (np.float32, (SAMPLES,))}
    models = {
        "image_cnn": (fake_signature(CROP, {"p_fake": (1,)}), brightness),
        "video_encoder": (fake_signature(CROP, {"features": (FEATURES,)}), encode),
        "video_lstm": (fake_signature(head, {"p_fake": (1,), "frame_p_fake": (FRAMES,)}), judge_sequences),
        "audio_transformer": (fake_signature(sound, {"p_fake": (1,)}), loudness),
    }
    return FakeInference(
        models={
            (name, 1): FakeModel(signature=signature, answer=answer) for name, (signature, answer) in models.items()
        }
    )


Open = Callable[[type[Detector]], Detector]


@pytest.fixture
def inference() -> FakeInference:
    return fake_inference()


@pytest_asyncio.fixture(loop_scope="module")
async def open_detector(inference: FakeInference, media_pool: MediaPool, tmp_path) -> Open:
    settings = BentoSettings(bento_token=SecretStr("t" * 32), reference_key=SecretStr("r" * 32), spool=tmp_path)
    repository = ModelRepository.at("model_repository")
    await repository.refresh()

    def open_with(kind: type[Detector]) -> Detector:
        detector = kind()
        detector.use(Parts(settings=settings, repository=repository, inference=inference, media=media_pool))
        return detector

    return open_with


def call(medium: bytes, *, model: str | None = None, seconds: float = 60, **options) -> Call:
    return Call(
        medium=medium, model=model, deadline=Deadline.after(seconds), request_id="test", caller="test", **options
    )


async def detect(detector: Detector, medium: bytes, **options):
    return await detector.detect(call(medium, **options))


async def test_the_worst_face_decides(open_detector):
    picture = media.with_faces(200, 300)
    picture[:, 230:560] = np.clip(picture[:, 230:560].astype(int) + 60, 0, 255).astype(np.uint8)
    detection = await detect(open_detector(ImageDetector.inner), media.encoded(picture))
    assert isinstance(detection.evidence, ImageEvidence)
    faces = detection.evidence.faces
    assert detection.evidence.faces_found == len(faces) == 2
    assert detection.p_fake == max(face.p_fake for face in faces) > min(face.p_fake for face in faces)
    assert (detection.model, detection.version, detection.partial) == ("image_cnn", 1, False)
    assert detection.timings.total_ms >= detection.timings.decode_ms + detection.timings.faces_ms > 0


async def test_a_picture_without_a_face_says_so(open_detector):
    detection = await detect(open_detector(ImageDetector.inner), media.encoded(media.scenery()))
    assert "no_face_found" in {reason.code for reason in detection.reasons}
    assert isinstance(detection.evidence, ImageEvidence)
    assert (detection.evidence.faces_found, len(detection.evidence.faces)) == (0, 1)


async def test_faces_beyond_the_bound_make_the_answer_partial(open_detector, inference):
    crowd = np.tile(media.portrait()[0:270, 90:360], (3, 3, 1))
    detection = await detect(open_detector(ImageDetector.inner), media.encoded(crowd))
    assert isinstance(detection.evidence, ImageEvidence)
    assert detection.evidence.faces_found > len(detection.evidence.faces) == 8
    assert detection.partial
    assert detection.unscored[0].code == "too_many_faces"
    assert [rows for _, _, rows in inference.batches] == [8]


async def test_a_video_becomes_tracks_with_a_score_a_frame(open_detector, inference):
    detection = await detect(open_detector(VideoDetector.inner), media.film_of_a_face())
    assert isinstance(detection.evidence, VideoEvidence)
    tracks = detection.evidence.tracks
    assert detection.p_fake == max(track.p_fake for track in tracks)
    assert all(0 < len(track.frames) <= FRAMES for track in tracks)
    assert [frame.time_s for frame in tracks[0].frames] == sorted(frame.time_s for frame in tracks[0].frames)
    asked = [model for model, _, _ in inference.batches]
    assert asked.count("video_lstm") == 1
    assert detection.model == "video_lstm"


async def test_a_head_that_judges_clips_as_a_whole_shows_no_scores_of_frames(open_detector, inference):
    head = inference.models["video_lstm", 1]
    outputs = {name: spec for name, spec in head.signature.outputs.items() if name == "p_fake"}
    inference.models["video_lstm", 1] = FakeModel(
        signature=dataclasses.replace(head.signature, outputs=outputs),
        answer=lambda batch: {"p_fake": judge_sequences(batch)["p_fake"]},
    )

    detection = await detect(open_detector(VideoDetector.inner), media.film_of_a_face())

    assert [track.frames for track in detection.evidence.tracks] == [()] * len(detection.evidence.tracks)
    assert detection.p_fake == max(track.p_fake for track in detection.evidence.tracks)


async def test_a_model_of_pictures_judges_a_video_by_its_frames(open_detector, inference):
    picture = media.with_faces(120, width=640, height=360)
    bright = np.clip(picture.astype(int) + 70, 0, 255).astype(np.uint8)
    pictures = [*media.frames_of(picture, 16, step=1), *media.frames_of(bright, 14, step=1)]
    detection = await detect(open_detector(VideoDetector.inner), media.clip(pictures), model="image_cnn")
    assert (detection.modality, detection.model) == (Modality.VIDEO, "image_cnn")
    assert isinstance(detection.evidence, VideoEvidence)
    [track] = detection.evidence.tracks
    assert {model for model, _, _ in inference.batches} == {"image_cnn"}
    scores = sorted(frame.p_fake for frame in track.frames)
    assert len(scores) == detection.evidence.frames_sampled == FRAMES
    assert scores[FRAMES // 2] <= track.p_fake <= scores[-1]
    assert detection.p_fake == track.p_fake
    assert {reason.code for reason in detection.reasons} >= {"judged_frame_by_frame"}
    of_a_picture = await detect(open_detector(ImageDetector.inner), media.encoded(media.portrait()))
    assert detection.digest == of_a_picture.digest


async def test_a_video_of_few_frames_is_long_enough_for_a_model_of_pictures(open_detector):
    detector = open_detector(VideoDetector.inner)
    clip = media.clip(media.frames_of(media.with_faces(250), 3))
    short = {reason.code for reason in (await detect(detector, clip)).reasons}
    by_frames = {reason.code for reason in (await detect(detector, clip, model="image_cnn")).reasons}
    assert "clip_too_short" in short
    assert "clip_too_short" not in by_frames


async def test_a_video_gives_a_thumbnail_to_the_call_that_wants_one(open_detector):
    detector = open_detector(VideoDetector.inner)
    clip = media.film_of_a_face()
    without, wanting = call(clip), call(clip, thumbnail=Thumbnail(wanted=True))
    await detector.detect(without)
    await detector.detect(wanting)
    assert without.thumbnail.jpeg == b""
    assert Image.open(io.BytesIO(wanting.thumbnail.jpeg)).size == (320, 180)


async def test_a_clip_becomes_windows_and_its_loud_part_decides(open_detector):
    samples = np.concatenate([media.tone(12, level=0.1), media.tone(6, level=0.9)])
    detection = await detect(open_detector(AudioDetector.inner), media.sound(samples))
    assert isinstance(detection.evidence, AudioEvidence)
    assert detection.verdict is Verdict.FAKE
    assert detection.p_fake == pytest.approx(0.9, abs=0.02)
    assert detection.evidence.windows[0].p_fake == pytest.approx(0.1, abs=0.02)
    assert detection.evidence.duration_s == pytest.approx(18, abs=0.1)


@pytest.mark.parametrize("kind", [ImageDetector, VideoDetector, AudioDetector])
async def test_each_detector_is_ready_once_its_sample_went_through(open_detector, inference, kind):
    detector = open_detector(kind.inner)
    inference.failure = InferenceUnavailableError()
    assert not await detector.__is_ready__()
    inference.failure = None
    detector._readiness._answer = None
    assert await detector.__is_ready__()


@pytest.mark.parametrize("kind", [ImageDetector, VideoDetector, AudioDetector])
async def test_each_detector_lists_its_own_model(open_detector, kind):
    detector = open_detector(kind.inner)
    models = (await detector.list_models(Deadline.after(5))).models
    assert [model.default for model in models] == [True, False][: len(models)]
    assert {model.modality for model in models} == {detector.modality}
    assert [model.name for model in models[1:]] == (["image_cnn"] if kind is VideoDetector else [])


async def test_hostile_and_foreign_media_are_refused(open_detector):
    detector = open_detector(ImageDetector.inner)
    with pytest.raises(TooManyPixelsError):
        await detect(detector, media.png_bomb())
    with pytest.raises(UnsupportedMediaError):
        await detect(detector, b"just a text")


async def test_unknown_models_and_past_deadlines_are_refused(open_detector):
    detector = open_detector(ImageDetector.inner)
    picture = media.encoded(media.scenery())
    with pytest.raises(UnknownModelError):
        await detect(detector, picture, model="audio_transformer")
    with pytest.raises(DeadlineExceededError):
        await detect(detector, picture, seconds=0.0001)


async def test_scores_that_are_no_probabilities_are_never_shown(open_detector, inference):
    broken = FakeModel(
        signature=inference.models["image_cnn", 1].signature,
        answer=lambda batch: {"p_fake": brightness(batch)["p_fake"] + 2},
    )
    inference.models["image_cnn", 1] = broken
    with pytest.raises(BrokenModelError):
        await detect(open_detector(ImageDetector.inner), media.encoded(media.scenery()))
