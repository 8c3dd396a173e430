import msgspec
import pytest

from bentos.cards import Canary, Ensemble, Member, Route
from bentos.contract import Figures, Modality, Thresholds
from bentos.deadline import Deadline
from bentos.errors import InferenceUnavailableError, UnknownModelError
from bentos.figures import Book
from bentos.listing import Listing
from tests.bentos.test_catalogue import CARDS, TABLE, catalogue

BOTH = Ensemble(
    version=2,
    modality=Modality.VIDEO,
    title="Both",
    description="The sequence and the frames.",
    fusion="mean",
    members=(Member(model="video_lstm", weight=2.0), Member(model="image_cnn")),
    thresholds=Thresholds(low=0.3, high=0.7),
)
NONE = Figures(started=7.0, versions=())


async def listing(modality: Modality, **options) -> Listing:
    known = await catalogue(modality, **options)
    return Listing(modality, known._repository, known._inference)


def table(ensembles=None, **routes: Route):
    return msgspec.structs.replace(TABLE, models={**TABLE.models, **routes}, ensembles=ensembles or {})


async def told(modality: Modality, **options):
    return (await (await listing(modality, **options)).list_models(Deadline.after(5))).models


async def described(name: str, modality: Modality = Modality.IMAGE, figures: Figures = NONE, **options):
    return await (await listing(modality, **options)).describe(name, figures, Deadline.after(5))


async def test_models_are_listed_without_encoders_and_other_kinds():
    listed = await told(Modality.VIDEO)
    assert [(model.name, model.default) for model in listed] == [("video_lstm", True), ("image_cnn", False)]
    assert {model.modality for model in listed} == {Modality.VIDEO}
    listed = await told(Modality.IMAGE)
    assert [model.name for model in listed] == ["image_cnn"]
    assert (listed[0].title, listed[0].stable.metrics["auc"]) == ("Faces", 1)


async def test_an_ensemble_is_listed_with_its_members():
    listed = await told(Modality.VIDEO, table=table({"both": BOTH}))
    [both] = [model for model in listed if model.members]
    assert (both.name, both.title, both.default) == ("both", "Both", False)
    assert both.members == ("video_lstm", "image_cnn")
    assert (both.stable.version, both.stable.thresholds, both.stable.demo) == (2, BOTH.thresholds, True)
    assert "both" not in {model.name for model in await told(Modality.IMAGE, table=table({"both": BOTH}))}


async def test_a_model_that_cannot_be_told_of_does_not_hide_the_others():
    lost = await told(Modality.IMAGE, table=table(lost=Route(stable=9)))
    assert [model.name for model in lost] == ["image_cnn"]


async def test_without_triton_nothing_is_listed():
    away = await listing(Modality.IMAGE)
    away._inference.failure = InferenceUnavailableError()
    with pytest.raises(InferenceUnavailableError):
        await away.list_models(Deadline.after(5))


async def test_a_model_is_described_with_its_versions_their_roles_and_their_figures():
    book = Book(lambda: {("image_cnn", 1), ("image_cnn", 2), ("other", 1)})
    for model, version in (("image_cnn", 2), ("other", 1)):
        book.tally(model, version, "canary").answer(0.7, 0.1)
    route = Route(stable=1, canary=Canary(version=2, percent=5), shadow=2, previous=8)
    details = await described("image_cnn", figures=book.figures(), table=table(image_cnn=route))
    assert [(version.version, version.roles) for version in details.versions] == [
        (1, ("stable",)),
        (2, ("canary", "shadow")),
    ]
    assert [(version.version, version.roles) for version in details.broken] == [(8, ("previous",))]
    assert details.traffic is not None
    assert details.traffic.canary is not None
    assert (details.traffic.stable, details.traffic.canary.percent, details.traffic.previous) == (1, 5, 8)
    assert details.versions[0].licence == CARDS["image"].licence
    assert details.versions[0].metrics["auc"] == 1
    assert [figures.model for figures in details.figures] == ["image_cnn"]
    assert details.ensemble is None


async def test_the_head_of_a_video_model_names_its_encoder():
    [version] = (await described("video_lstm", Modality.VIDEO)).versions
    assert version.encoder is not None
    assert (version.encoder.model, version.encoder.digest) == ("video_encoder", "sha256:encoder")


async def test_an_ensemble_is_described_with_its_members_and_how_they_are_joined():
    details = await described("both", Modality.VIDEO, table=table({"both": BOTH}))
    assert (details.versions, details.traffic) == ((), None)
    assert details.ensemble is not None
    assert (details.ensemble.fusion, details.ensemble.minimum) == ("mean", 1)
    assert [(each.model, each.weight, each.version) for each in details.ensemble.members] == [
        ("video_lstm", 2.0, 1),
        ("image_cnn", 1.0, 1),
    ]


@pytest.mark.parametrize("name", ["nothing", "", "audio_transformer", "both", "../image_cnn", "image_cnn/1"])
async def test_what_does_not_judge_this_kind_of_medium_is_unknown(name):
    with pytest.raises(UnknownModelError):
        await described(name, table=table({"both": BOTH}))


async def test_ensembles_that_are_not_sound_are_left_out_of_the_table_and_the_rest_is_followed():
    broken = msgspec.structs.replace(BOTH, members=(Member(model="video_lstm"), Member(model="both")))
    listed = await told(Modality.VIDEO, table=table({"both": broken, "good": BOTH}))
    assert [model.name for model in listed] == ["video_lstm", "good", "image_cnn"]
