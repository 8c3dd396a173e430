import pytest

from bentos.cards import Canary, Ensemble, Member, Route, TrafficTable
from bentos.contract import Modality, Thresholds
from scripts.models.errors import InUseError, RefusedError
from scripts.models.traffic import promoted, retired, rolled_back, with_canary, with_default, with_shadow

PLAIN = Route(stable=2, previous=1)
CANARY = Route(stable=2, previous=1, canary=Canary(version=3, percent=5))
SHADOW = Route(stable=2, previous=1, shadow=3)


def table(route: Route, *, default: str = "other", ensembles: dict[str, Ensemble] | None = None) -> TrafficTable:
    models = {"cnn": route, "other": Route(stable=1)}
    return TrafficTable(defaults={Modality.IMAGE: default}, models=models, ensembles=ensembles or {})


def test_a_canary_joins_the_stable_version_and_can_change_its_share():
    assert with_canary("cnn", PLAIN, 3, 5) == CANARY
    assert with_canary("cnn", CANARY, 3, 25).canary == Canary(version=3, percent=25)
    assert with_canary("cnn", SHADOW, 3, 5) == CANARY


def test_a_shadow_takes_no_callers():
    assert with_shadow("cnn", PLAIN, 3) == SHADOW
    assert with_shadow("cnn", CANARY, 3) == SHADOW


@pytest.mark.parametrize("percent", [0, -1, 0.004, 100.1, float("nan")])
def test_a_share_is_a_percentage(percent):
    with pytest.raises(RefusedError, match=r"from 0\.01 to 100 percent"):
        with_canary("cnn", PLAIN, 3, percent)


@pytest.mark.parametrize(
    ("route", "version", "words"),
    [
        pytest.param(None, 1, "models promote cnn 1", id="no-route"),
        pytest.param(PLAIN, 2, "is stable", id="stable"),
        pytest.param(CANARY, 4, "Version 3 of cnn is being rolled out", id="another-canary"),
        pytest.param(SHADOW, 4, "Version 3 of cnn is being rolled out", id="another-shadow"),
    ],
)
def test_a_roll_out_needs_a_free_place_beside_a_stable_version(route, version, words):
    with pytest.raises(RefusedError, match=words):
        with_canary("cnn", route, version, 5)
    with pytest.raises(RefusedError, match=words):
        with_shadow("cnn", route, version)


@pytest.mark.parametrize("route", [CANARY, SHADOW], ids=["canary", "shadow"])
def test_what_is_being_rolled_out_is_promoted_by_default(route):
    assert promoted("cnn", route, None) == Route(stable=3, previous=2)


def test_a_named_version_is_promoted_and_a_first_one_has_nothing_before_it():
    assert promoted("cnn", PLAIN, 7) == Route(stable=7, previous=2)
    assert promoted("cnn", None, 1) == Route(stable=1)


def test_nothing_is_promoted_by_guessing():
    with pytest.raises(RefusedError, match="say which version"):
        promoted("cnn", PLAIN, None)
    with pytest.raises(RefusedError, match="stable already"):
        promoted("cnn", PLAIN, 2)


@pytest.mark.parametrize("route", [CANARY, SHADOW], ids=["canary", "shadow"])
def test_a_rollback_ends_a_roll_out_first_and_swaps_the_versions_after_that(route):
    assert rolled_back("cnn", route) == PLAIN
    assert rolled_back("cnn", PLAIN) == Route(stable=1, previous=2)
    assert rolled_back("cnn", Route(stable=1, previous=2)) == PLAIN


def test_a_rollback_to_a_version_drops_what_is_being_rolled_out():
    assert rolled_back("cnn", CANARY, 1) == Route(stable=1, previous=2)
    assert rolled_back("cnn", CANARY, 2) == PLAIN


def test_there_has_to_be_a_way_back():
    with pytest.raises(RefusedError, match="--to VERSION"):
        rolled_back("cnn", Route(stable=1))
    with pytest.raises(RefusedError, match="no traffic"):
        rolled_back("cnn", None)
    with pytest.raises(RefusedError, match="stable already"):
        rolled_back("cnn", PLAIN, 2)


def test_what_is_not_routed_is_retired_without_a_change():
    assert retired("cnn", table(PLAIN), 9) == PLAIN
    assert retired("new", table(PLAIN), 1) is None


@pytest.mark.parametrize(
    ("route", "version", "words"),
    [
        pytest.param(PLAIN, 2, "models promote cnn VERSION", id="stable"),
        pytest.param(PLAIN, 1, "--force-previous", id="previous"),
        pytest.param(CANARY, 3, "models rollback cnn", id="canary"),
        pytest.param(SHADOW, 3, "models rollback cnn", id="shadow"),
    ],
)
def test_what_is_in_use_says_what_to_do_first(route, version, words):
    with pytest.raises(InUseError, match=words):
        retired("cnn", table(route), version)


def test_the_way_back_is_given_up_on_purpose():
    assert retired("cnn", table(PLAIN), 1, force_previous=True) == Route(stable=2)


def test_a_model_leaves_service_on_purpose_only_and_never_from_under_those_who_need_it():
    ensemble = Ensemble(
        version=1,
        modality=Modality.IMAGE,
        title="Both",
        description="",
        fusion="mean",
        members=(Member(model="cnn"), Member(model="other")),
        thresholds=Thresholds(low=0.4, high=0.6),
    )
    assert retired("cnn", table(PLAIN), 2, out_of_service=True) is None
    with pytest.raises(InUseError, match="default image"):
        retired("cnn", table(PLAIN, default="cnn"), 2, out_of_service=True)
    with pytest.raises(InUseError, match="ensemble withdraw both"):
        retired("cnn", table(PLAIN, ensembles={"both": ensemble}), 2, out_of_service=True)
    with pytest.raises(InUseError, match="models rollback cnn"):
        retired("cnn", table(CANARY), 2, out_of_service=True)


def test_only_what_gets_traffic_becomes_a_default():
    assert with_default(table(PLAIN), "image", "cnn").defaults == {"image": "cnn"}
    with pytest.raises(RefusedError, match="models promote vit VERSION"):
        with_default(table(PLAIN), "image", "vit")
