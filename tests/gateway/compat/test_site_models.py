"""Which model judges for the detection site's clients."""

import msgspec
import pytest

from bentos.contract import Modality, ModelInfo, Thresholds, VersionInfo
from gateway.compat.site_models import choose_installed, list_site_models, title_of
from gateway.models.service import ModelCatalogue

STABLE = VersionInfo(version=1, digest="sha256:0", thresholds=Thresholds(low=0.4, high=0.6), metrics={}, demo=True)


def model(name: str, modality: Modality, *, default: bool = False) -> ModelInfo:
    title = name.title()
    return ModelInfo(
        name=name, title=title, description=f"{modality}.", modality=modality, default=default, stable=STABLE
    )


CATALOGUE = ModelCatalogue(
    models=(
        model("cnn", Modality.IMAGE, default=True),
        model("dima806", Modality.IMAGE),
        model("lstm", Modality.VIDEO, default=True),
        model("dima806", Modality.VIDEO),
        model("sounds", Modality.AUDIO, default=True),
    ),
    unavailable=(),
)


def test_each_model_of_pictures_or_videos_is_listed_once_with_what_it_judges():
    listed = {one.key: one.modalities for one in list_site_models(CATALOGUE)}
    assert listed == {"cnn": ("image",), "dima806": ("image", "video"), "lstm": ("video",)}


@pytest.mark.parametrize(
    ("modality", "named", "chosen"),
    [
        (Modality.IMAGE, None, "dima806"),
        (Modality.IMAGE, "cnn", "cnn"),
        (Modality.IMAGE, "lstm", None),
        (Modality.IMAGE, "sounds", None),
        (Modality.VIDEO, None, "dima806"),
        (Modality.VIDEO, "cnn", None),
        (Modality.VIDEO, "some/where/else", None),
        (Modality.AUDIO, None, None),
    ],
)
def test_what_is_named_and_installed_judges_else_the_default(modality, named, chosen):
    choice = choose_installed(CATALOGUE, modality, "dima806")
    assert (choice.default if named is None else choice.read(named)) == chosen


def test_a_model_is_called_by_its_title_and_by_its_name_where_nobody_knows_it():
    assert title_of(CATALOGUE, "dima806") == "Dima806"
    assert title_of(msgspec.structs.replace(CATALOGUE, models=()), "dima806") == "dima806"
