"""A detector that has several versions and models to ask: real decoding and cards' contents, inference in memory."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator

import msgspec
import numpy as np
import pytest
import pytest_asyncio
from obstore.store import MemoryStore
from pydantic import SecretStr

from bentos.cards import (
    Canary,
    Card,
    CropInput,
    Ensemble,
    FeatureInput,
    Member,
    PinnedModel,
    Route,
    TrafficTable,
    WaveformInput,
)
from bentos.contract import Detection, ImageEvidence, Modality, Part, Thresholds, VersionFigures, VideoEvidence
from bentos.deadline import Deadline
from bentos.detector import Detector
from bentos.errors import (
    BrokenModelError,
    InferenceUnavailableError,
    UnavailableError,
    UnknownModelError,
    UnreadableMediaError,
)
from bentos.fakes import FakeInference, FakeModel, fake_signature
from bentos.http.calls import Call
from bentos.image import ImageDetector
from bentos.media.pool import MediaPool
from bentos.media.tasks import MediaTask
from bentos.parts import Parts
from bentos.progress import Course
from bentos.repository import ModelRepository
from bentos.settings import BentoSettings
from bentos.shadow import MOST_WAITING
from bentos.video import VideoDetector
from tests.fixtures import media

# They share the processes of `media_pool`, and with them a loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SIDE, FRAMES, FEATURES = 32, 16, 8
PICTURE = media.encoded(media.scenery())


def card(model: str, version: int = 1, *, side: int = SIDE, kind=None, modality=Modality.IMAGE, **options) -> Card:
    options = {"thresholds": Thresholds(low=0.4, high=0.6), **options}
    return Card(
        model=model,
        version=version,
        modality=modality,
        source="made up",
        licence="Apache-2.0",
        digest=f"sha256:{model}-{version}",
        demo=True,
        input=kind or CropInput(height=side, width=side, resize_filter="area", margin=0.3),
        label_order=(),
        intended_use="tests",
        limits="all",
        created="2026-01-01",
        **options,
    )


def answering(p_fake: float, side: int = SIDE, name: str = "crop", shape=None) -> FakeModel:
    """A model that gives everything the same score."""
    inputs = {name: (np.uint8, (side, side, 3))} if shape is None else {name: (np.float32, shape)}
    return FakeModel(
        signature=fake_signature(inputs, {"p_fake": (1,)}),
        answer=lambda batch: {"p_fake": np.full((len(batch[name]), 1), p_fake, np.float32)},
    )


CARDS = [
    card("usual"),
    card("usual", 2),
    card("usual", 3, side=48),
    card("other"),
    card("large", side=48),
    card("encoder", modality=Modality.VIDEO, thresholds=None),
    card(
        "head",
        modality=Modality.VIDEO,
        kind=FeatureInput(frames=FRAMES, features=FEATURES),
        encoder=PinnedModel(model="encoder", version=1, digest="sha256:encoder-1"),
    ),
    card("heard", modality=Modality.AUDIO, kind=WaveformInput(samples=16, hop=8)),
]
HEAD = FakeModel(
    signature=fake_signature(
        {"features": (np.float32, (FRAMES, FEATURES)), "mask": (np.float32, (FRAMES,))},
        {"p_fake": (1,), "frame_p_fake": (FRAMES,)},
    ),
    answer=lambda batch: {
        "p_fake": np.full((len(batch["mask"]), 1), 0.3, np.float32),
        "frame_p_fake": np.full((len(batch["mask"]), FRAMES), 0.3, np.float32),
    },
)
ENCODER = FakeModel(
    signature=fake_signature({"crop": (np.uint8, (SIDE, SIDE, 3))}, {"features": (FEATURES,)}),
    answer=lambda batch: {"features": np.zeros((len(batch["crop"]), FEATURES), np.float32)},
)
TABLE = TrafficTable(
    defaults={Modality.IMAGE: "usual", Modality.VIDEO: "head"},
    models={name: Route(stable=1) for name in ("usual", "other", "large", "head", "heard")},
)


class Slow(FakeInference):
    """Waits before it asks the versions that are slow, and raises what the broken ones are to raise."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.slow: dict[tuple[str, int], float] = {}
        self.broken: dict[tuple[str, int], Exception] = {}
        self.entered = asyncio.Event()

    async def _send(self, model, version, batch, deadline):
        self.entered.set()
        left_s = deadline.remaining_s()
        await asyncio.sleep(min(self.slow.get((model, version), 0), left_s))
        if (model, version) in self.broken:
            raise self.broken[model, version]
        return await super()._send(model, version, batch, deadline)


class Bench:
    """A detector over a repository in memory, and how to ask it."""

    def __init__(self, store: MemoryStore, parts: Parts, inference: Slow, patch: pytest.MonkeyPatch) -> None:
        self.store, self.parts, self.inference = store, parts, inference
        self.decoded: list[object] = []
        run = parts.media.run

        async def counted(task: MediaTask, *args, **options):
            self.decoded.append(task)
            return await run(task, *args, **options)

        patch.setattr(parts.media, "run", counted)
        self.detector: Detector = ImageDetector.inner()
        self.detector.use(parts)

    def judge(self, kind) -> None:
        self.detector = kind.inner()
        self.detector.use(self.parts)

    async def serve(self, *ensembles: tuple[str, Ensemble], defaults=None, **routes: Route) -> None:
        table = msgspec.structs.replace(
            TABLE, models={**TABLE.models, **routes}, ensembles=dict(ensembles), defaults=defaults or TABLE.defaults
        )
        await self.store.put_async("serving.json", msgspec.json.encode(table))
        await self.parts.repository.refresh()

    def call(self, medium: bytes, *, caller: str, model: str | None, seconds: float) -> Call:
        return Call(medium=medium, model=model, deadline=Deadline.after(seconds), request_id="r", caller=caller)

    async def ask(
        self, medium: bytes = PICTURE, *, caller: str = "c", model: str | None = None, seconds: float = 60
    ) -> Detection:
        return await self.detector.detect(self.call(medium, caller=caller, model=model, seconds=seconds))

    async def shadows(self) -> None:
        async with asyncio.timeout(20):
            await self.detector._shadows.settled()

    def figures(self, model: str, version: int, part: Part) -> VersionFigures:
        [found] = [
            each
            for each in self.detector.figures().versions
            if (each.model, each.version, each.part) == (model, version, part)
        ]
        return found


@pytest_asyncio.fixture(loop_scope="module")
async def bench(media_pool: MediaPool, tmp_path) -> AsyncIterator[Bench]:
    store = MemoryStore()
    for one in CARDS:
        await store.put_async(f"{one.model}/{one.version}/card.json", msgspec.json.encode(one))
    inference = Slow(
        models={
            ("usual", 1): answering(0.2),
            ("usual", 2): answering(0.7),
            ("usual", 3): answering(0.7, side=48),
            ("other", 1): answering(0.6),
            ("large", 1): answering(0.9, side=48),
            ("encoder", 1): ENCODER,
            ("head", 1): HEAD,
            ("heard", 1): answering(0.5, name="waveform", shape=(16,)),
        }
    )
    settings = BentoSettings(bento_token=SecretStr("t" * 32), reference_key=SecretStr("r" * 32), spool=tmp_path)
    parts = Parts(settings=settings, repository=ModelRepository(store), inference=inference, media=media_pool)
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(store, parts, inference, patch)
        await bench.serve()
        yield bench
        await bench.detector._shadows.close()


def both(*members: Member, modality: Modality = Modality.IMAGE, **changes) -> tuple[str, Ensemble]:
    declared = Ensemble(
        version=1,
        modality=modality,
        title="Both",
        description="Two.",
        fusion="mean",
        members=members or (Member(model="usual"), Member(model="other")),
        thresholds=Thresholds(low=0.4, high=0.6),
    )
    return "both", msgspec.structs.replace(declared, **changes)


async def test_a_caller_stays_on_its_side_and_both_sides_are_counted(bench: Bench):
    await bench.serve(usual=Route(stable=1, canary=Canary(version=2, percent=50)))
    callers = [f"account-{number}" for number in range(12)]
    first = [(await bench.ask(caller=caller)).version for caller in callers]
    assert set(first) == {1, 2}
    assert [(await bench.ask(caller=caller)).version for caller in callers] == first
    stable, canary = bench.figures("usual", 1, "stable"), bench.figures("usual", 2, "canary")
    assert (stable.answered, canary.answered) == (2 * first.count(1), 2 * first.count(2))
    assert stable.scores[4] == stable.answered
    assert sum(canary.latency) == canary.answered
    assert canary.latency_sum_s > 0


async def test_a_call_is_in_flight_from_the_choice_to_the_end(bench: Bench):
    bench.inference.slow["usual", 1] = 0.3
    calls = asyncio.gather(*(bench.ask() for _ in range(3)))
    await bench.inference.entered.wait()
    await bench.serve(usual=Route(stable=2))
    assert bench.figures("usual", 1, "stable").in_flight == 3
    assert {detection.version for detection in await calls} == {1}
    assert [each.version for each in bench.detector.figures().versions] == []


@pytest.mark.parametrize("error", [BrokenModelError(), InferenceUnavailableError(), KeyError("p_fake")])
async def test_what_a_version_fails_at_is_its_error(bench: Bench, error):
    bench.inference.broken["usual", 1] = error
    with pytest.raises(type(error)):
        await bench.ask()
    figures = bench.figures("usual", 1, "stable")
    assert (figures.errors, figures.answered, figures.in_flight) == (1, 0, 0)


async def test_a_medium_that_cannot_be_read_is_no_error_of_the_version(bench: Bench):
    with pytest.raises(UnreadableMediaError):
        await bench.ask(PICTURE[:900])
    assert bench.detector.figures().versions == ()


async def test_a_shadow_is_scored_beside_the_answer_from_what_was_decoded_for_it(bench: Bench):
    await bench.serve(usual=Route(stable=1, shadow=2))
    assert [(await bench.ask()).version for _ in range(3)] == [1, 1, 1]
    await bench.shadows()
    figures = bench.figures("usual", 2, "shadow")
    assert (figures.answered, figures.errors, figures.in_flight) == (3, 0, 0)
    assert figures.shadow is not None
    assert (figures.shadow.compared, figures.shadow.disagreed, figures.shadow.dropped) == (3, 3, 0)
    assert figures.shadow.difference == pytest.approx(1.5, abs=1e-5)
    assert len(bench.decoded) == 3


async def test_a_shadow_that_needs_other_crops_is_not_asked(bench: Bench):
    await bench.serve(usual=Route(stable=1, shadow=3))
    await bench.ask()
    await bench.shadows()
    figures = bench.figures("usual", 3, "shadow")
    assert figures.shadow is not None
    assert (figures.shadow.dropped, figures.shadow.compared, figures.answered) == (1, 0, 0)
    assert len(bench.decoded) == 1


@pytest.mark.parametrize("shadow", [2, 9], ids=["that fails", "that is not there"])
async def test_a_shadow_that_is_no_good_changes_no_answer(bench: Bench, shadow: int):
    without = await bench.ask()
    bench.inference.broken["usual", 2] = RuntimeError("broken")
    await bench.serve(usual=Route(stable=1, shadow=shadow))
    detection = await bench.ask()
    await bench.shadows()
    assert msgspec.structs.replace(detection, timings=without.timings) == without
    figures = bench.figures("usual", shadow, "shadow")
    assert figures.shadow is not None
    assert (figures.errors, figures.shadow.failed, figures.in_flight) == (1, 1, 0)


async def test_a_slow_shadow_holds_up_nobody_and_what_does_not_fit_is_dropped(bench: Bench):
    bench.inference.slow["usual", 2] = 60
    await bench.serve(usual=Route(stable=1, shadow=2))
    for _ in range(MOST_WAITING + 6):
        assert (await bench.ask()).version == 1
    figures = bench.figures("usual", 2, "shadow")
    assert figures.shadow is not None
    assert figures.in_flight <= MOST_WAITING + 2
    assert figures.shadow.dropped == MOST_WAITING + 6 - figures.in_flight > 0
    started = time.monotonic()
    await bench.detector._shadows.close()
    assert time.monotonic() - started < 10


async def test_a_shadow_that_has_left_the_table_is_not_asked_any_more(bench: Bench):
    bench.inference.slow["usual", 2] = 0.2
    await bench.serve(usual=Route(stable=1, shadow=2))
    await asyncio.gather(*(bench.ask() for _ in range(8)))
    await bench.serve(usual=Route(stable=1))
    await bench.shadows()
    assert len([batch for batch in bench.inference.batches if batch[1] == 2]) < 8
    assert all(each.part != "shadow" for each in bench.detector.figures().versions)


async def test_an_ensemble_answers_as_one_model_from_one_decoding(bench: Bench):
    await bench.serve(both())
    detection = await bench.ask(model="both")
    assert detection.p_fake == pytest.approx(0.4)
    assert (detection.model, detection.version, detection.partial) == ("both", 1, False)
    assert [score.model for score in detection.members] == ["usual", "other"]
    assert len(bench.decoded) == 1
    assert detection.timings.total_ms >= detection.timings.decode_ms > 0
    assert bench.figures("usual", 1, "member").answered == bench.figures("both", 1, "stable").answered == 1


async def test_members_of_other_crops_decode_for_themselves(bench: Bench):
    await bench.serve(both(Member(model="usual"), Member(model="large")))
    assert (await bench.ask(model="both")).p_fake == pytest.approx(0.55)
    assert len(bench.decoded) == 2


async def test_an_ensemble_may_be_the_default_and_each_member_has_its_own_canary(bench: Bench):
    await bench.serve(
        both(), defaults={Modality.IMAGE: "both"}, usual=Route(stable=1, canary=Canary(version=2, percent=100))
    )
    detection = await bench.ask()
    assert [(score.model, score.version) for score in detection.members] == [("usual", 2), ("other", 1)]
    await bench.serve(both(), defaults={Modality.IMAGE: "both"})
    assert (await bench.ask()).digest != detection.digest
    assert await bench.detector.__is_ready__()


async def test_a_member_has_its_shadow(bench: Bench):
    await bench.serve(both(), usual=Route(stable=1, shadow=2))
    await bench.ask(model="both")
    await bench.shadows()
    shadow = bench.figures("usual", 2, "shadow").shadow
    assert shadow is not None
    assert shadow.compared == 1


@pytest.mark.parametrize("error", [BrokenModelError(), InferenceUnavailableError(), KeyError("p_fake")])
async def test_without_a_member_the_rest_answers(bench: Bench, error):
    await bench.serve(both())
    bench.inference.broken["usual", 1] = error
    detection = await bench.ask(model="both")
    assert (detection.p_fake, detection.partial) == (pytest.approx(0.6), True)
    assert [reason.code for reason in detection.unscored] == ["members_missing"]
    assert bench.figures("usual", 1, "member").errors == 1
    await bench.serve(both(minimum=2))
    with pytest.raises(UnavailableError, match="2 are needed"):
        await bench.ask(model="both")
    assert bench.figures("both", 1, "stable").errors == 1


async def test_a_member_that_is_too_slow_leaves_the_others_time_to_answer(bench: Bench):
    await bench.serve(both())
    await bench.ask(model="both")
    bench.inference.slow["usual", 1] = 60
    detection = await bench.ask(model="both", seconds=1.5)
    assert [score.model for score in detection.members] == ["other"]
    assert "usual (deadline_exceeded)" in detection.unscored[0].message
    assert bench.figures("usual", 1, "member").errors == 1


async def test_a_member_of_another_kind_is_missing_and_the_ensemble_unknown_elsewhere(bench: Bench):
    await bench.serve(both(Member(model="usual"), Member(model="heard")))
    detection = await bench.ask(model="both")
    assert "heard (unknown_model)" in detection.unscored[0].message
    bench.judge(VideoDetector)
    with pytest.raises(UnknownModelError):
        await bench.ask(model="both")


async def test_a_medium_at_fault_is_at_fault_for_an_ensemble_too(bench: Bench):
    await bench.serve(both())
    with pytest.raises(UnreadableMediaError):
        await bench.ask(PICTURE[:900], model="both")


async def test_a_sequence_and_frames_judge_a_video_together(bench: Bench):
    bench.judge(VideoDetector)
    await bench.serve(both(Member(model="head"), Member(model="usual"), modality=Modality.VIDEO))
    detection = await bench.ask(media.film_of_a_face(), model="both")
    assert isinstance(detection.evidence, VideoEvidence)
    assert detection.p_fake == pytest.approx(0.25)
    assert [(score.model, pytest.approx(score.p_fake)) for score in detection.members] == [
        ("head", 0.3),
        ("usual", 0.2),
    ]
    assert "judged_frame_by_frame" in {reason.code for reason in detection.reasons}


async def test_evidence_is_that_of_the_first_member_that_answered(bench: Bench):
    await bench.serve(both(Member(model="usual"), Member(model="other")))
    whole = (await bench.ask(model="both")).evidence
    bench.inference.broken["usual", 1] = InferenceUnavailableError()
    rest = (await bench.ask(model="both")).evidence
    assert isinstance(whole, ImageEvidence)
    assert isinstance(rest, ImageEvidence)
    assert (whole.faces[0].p_fake, rest.faces[0].p_fake) == (pytest.approx(0.2), pytest.approx(0.6))


async def test_a_long_video_is_judged_by_all_members_and_by_no_shadow(bench: Bench):
    settings = bench.parts.settings.model_copy(update={"video_max_seconds": 5})
    bench.parts = dataclasses.replace(bench.parts, settings=settings)
    bench.judge(VideoDetector)
    members = (Member(model="head"), Member(model="usual"))
    await bench.serve(both(*members, modality=Modality.VIDEO), usual=Route(stable=1, shadow=2))
    clip = media.clip(media.frames_of(media.with_faces(120, width=320, height=180), 80), rate=4)
    call = dataclasses.replace(
        bench.call(clip, caller="c", model="both", seconds=60), long=True, course=Course(wanted=True)
    )
    detection = await bench.detector.detect(call)
    assert [score.model for score in detection.members] == ["head", "usual"]
    assert isinstance(detection.evidence, VideoEvidence)
    assert detection.evidence.stretches
    line = call.course.line()
    assert line.done == line.total == len(detection.evidence.stretches) * FRAMES
    assert len(line.scores) == len(detection.evidence.stretches)
    decoded = len(bench.decoded)
    await bench.shadows()
    shadow = bench.figures("usual", 2, "shadow").shadow
    assert shadow is not None
    assert (shadow.dropped, shadow.compared, shadow.failed, len(bench.decoded)) == (1, 0, 0, decoded)
