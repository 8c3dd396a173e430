import msgspec
import numpy as np
import pytest
from obstore.store import MemoryStore

from bentos.cards import (
    Canary,
    Card,
    CropInput,
    FeatureInput,
    Metrics,
    PinnedModel,
    Route,
    TrafficTable,
    WaveformInput,
)
from bentos.catalogue import Catalogue
from bentos.contract import Modality, Thresholds
from bentos.deadline import Deadline
from bentos.errors import BrokenModelError, InferenceUnavailableError, UnknownModelError
from bentos.fakes import FakeInference, FakeModel, fake_signature
from bentos.repository import ModelRepository

CROP = CropInput(height=4, width=4, resize_filter="area", margin=0.3)
ENCODER = PinnedModel(model="video_encoder", version=1, digest="sha256:encoder")


def card(
    model: str, modality: Modality, kind, version: int = 1, *, scores: bool = True, digest: str = "", encoder=None
):
    return Card(
        model=model,
        version=version,
        modality=modality,
        source="made up",
        licence="Apache-2.0",
        digest=digest or f"sha256:{model}-{version}",
        demo=True,
        input=kind,
        label_order=(),
        intended_use="tests",
        limits="all",
        created="2026-01-01",
        thresholds=Thresholds(low=0.4, high=0.6) if scores else None,
        metrics=Metrics(set="s", n=1, auc=1, eer=0, brier=0, ece=0, accuracy=1) if scores else None,
        encoder=encoder,
    )


CARDS = {
    "image": card("image_cnn", Modality.IMAGE, CROP),
    "image 2": card("image_cnn", Modality.IMAGE, CROP, version=2),
    "audio": card("audio_transformer", Modality.AUDIO, WaveformInput(samples=16, hop=8)),
    "encoder": card("video_encoder", Modality.VIDEO, CROP, scores=False, digest="sha256:encoder"),
    "video": card("video_lstm", Modality.VIDEO, FeatureInput(frames=3, features=5), encoder=ENCODER),
}
TABLE = TrafficTable(
    defaults={Modality.IMAGE: "image_cnn", Modality.VIDEO: "video_lstm", Modality.AUDIO: "audio_transformer"},
    models={name: Route(stable=1) for name in ("image_cnn", "video_encoder", "video_lstm", "audio_transformer")},
)
SIGNATURES = {
    "image_cnn": fake_signature({"crop": (np.uint8, (4, 4, 3))}, {"p_fake": (1,)}, title="Faces"),
    "audio_transformer": fake_signature({"waveform": (np.float32, (16,))}, {"p_fake": (1,)}),
    "video_encoder": fake_signature({"crop": (np.uint8, (4, 4, 3))}, {"features": (5,)}),
    "video_lstm": fake_signature(
        {"features": (np.float32, (3, 5)), "mask": (np.float32, (3,))}, {"p_fake": (1,), "frame_p_fake": (3,)}
    ),
}


async def catalogue(modality: Modality, *, table=TABLE, cards=(), **signatures) -> Catalogue:
    """The repository above with some cards and signatures put in place of others."""
    store = MemoryStore()
    await store.put_async("serving.json", msgspec.json.encode(table))
    for one in (*CARDS.values(), *cards):
        await store.put_async(f"{one.model}/{one.version}/card.json", msgspec.json.encode(one))
    repository = ModelRepository(store)
    await repository.refresh()
    models = {
        (name, version): FakeModel(signature=signature, answer=lambda _: {})
        for name, signature in {**SIGNATURES, **signatures}.items()
        for version in (1, 2)
    }
    return Catalogue(modality, repository, FakeInference(models=models))


async def choose(catalogue: Catalogue, model: str | None = None, key: str = "k"):
    return await catalogue.choose(model, key, Deadline.after(5))


@pytest.mark.parametrize(
    ("modality", "model"),
    [(Modality.IMAGE, "image_cnn"), (Modality.VIDEO, "video_lstm"), (Modality.AUDIO, "audio_transformer")],
)
async def test_the_default_of_the_modality_answers(modality, model):
    assert (await choose(await catalogue(modality))).card.model == model


async def test_the_encoder_follows_its_head():
    served = await choose(await catalogue(Modality.VIDEO))
    assert served.encoder == CARDS["encoder"]


async def test_a_model_of_pictures_judges_videos_too_when_it_is_asked_for():
    served = await choose(await catalogue(Modality.VIDEO), "image_cnn")
    assert (served.card, served.encoder) == (CARDS["image"], None)
    with pytest.raises(UnknownModelError):
        await choose(await catalogue(Modality.IMAGE), "video_lstm")


@pytest.mark.parametrize("model", ["nothing", "audio_transformer", "video_encoder", ""])
async def test_only_models_that_judge_this_kind_of_medium_are_known(model):
    with pytest.raises(UnknownModelError):
        await choose(await catalogue(Modality.IMAGE), model or "no such")
    with pytest.raises(UnknownModelError):
        await choose(await catalogue(Modality.VIDEO), "video_encoder")


async def test_traffic_is_routed_by_the_key():
    models = {**TABLE.models, "image_cnn": Route(stable=1, canary=Canary(version=2, percent=50))}
    routed = await catalogue(Modality.IMAGE, table=msgspec.structs.replace(TABLE, models=models))
    versions = {(await choose(routed, key=f"account-{number}")).card.version for number in range(50)}
    assert versions == {1, 2}


@pytest.mark.parametrize(
    ("modality", "signatures"),
    [
        (Modality.IMAGE, {"image_cnn": fake_signature({"crop": (np.uint8, (8, 8, 3))}, {"p_fake": (1,)})}),
        (Modality.IMAGE, {"image_cnn": fake_signature({"pixels": (np.uint8, (4, 4, 3))}, {"p_fake": (1,)})}),
        (Modality.AUDIO, {"audio_transformer": fake_signature({"waveform": (np.float32, (8,))}, {"p_fake": (1,)})}),
        (Modality.VIDEO, {"video_encoder": fake_signature({"crop": (np.uint8, (4, 4, 3))}, {"features": (6,)})}),
        (Modality.VIDEO, {"video_encoder": fake_signature({"crop": (np.uint8, (9, 9, 3))}, {"features": (5,)})}),
    ],
)
async def test_a_graph_that_is_not_what_its_card_says_is_refused(modality, signatures):
    with pytest.raises(BrokenModelError):
        await choose(await catalogue(modality, **signatures))


@pytest.mark.parametrize(
    "broken",
    [
        card("video_encoder", Modality.VIDEO, CROP, scores=False, digest="sha256:another"),
        card("video_lstm", Modality.VIDEO, FeatureInput(frames=3, features=5)),
        card(
            "video_lstm",
            Modality.VIDEO,
            FeatureInput(frames=3, features=5),
            encoder=PinnedModel(model="video_encoder", version=7, digest="sha256:encoder"),
        ),
    ],
    ids=["another digest", "no encoder", "an encoder that is not there"],
)
async def test_a_head_without_the_encoder_it_was_trained_on_is_refused(broken):
    with pytest.raises(BrokenModelError):
        await choose(await catalogue(Modality.VIDEO, cards=[broken]))


async def test_without_triton_nothing_is_chosen():
    away = await catalogue(Modality.IMAGE)
    away._inference.failure = InferenceUnavailableError()
    with pytest.raises(InferenceUnavailableError):
        await choose(away)
