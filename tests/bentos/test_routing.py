from hypothesis import given
from hypothesis import strategies as st

from bentos.cards import Canary, Route
from bentos.routing import Choice, bucket_of, choose_version

KEYS = [f"account-{number}" for number in range(4000)]


def canary_keys(percent: float, model: str = "image_cnn") -> set[str]:
    route = Route(stable=1, canary=Canary(version=2, percent=percent))
    return {key for key in KEYS if choose_version(model, route, key).version == 2}


@given(key=st.text())
def test_without_a_canary_stable_answers(key):
    assert choose_version("image_cnn", Route(stable=7), key) == Choice(version=7, shadow=None)


@given(key=st.text())
def test_the_ends_of_the_share_are_exact(key):
    for percent, version in ((0, 1), (100, 2)):
        route = Route(stable=1, canary=Canary(version=2, percent=percent))
        assert choose_version("image_cnn", route, key).version == version


def test_the_share_is_about_what_was_asked_for():
    assert 0.08 < len(canary_keys(10)) / len(KEYS) < 0.12


def test_raising_the_share_only_adds_keys():
    assert canary_keys(5) < canary_keys(20) < canary_keys(60)


def test_canaries_of_two_models_fall_on_different_callers():
    both = canary_keys(20, "image_cnn") & canary_keys(20, "audio_transformer")
    assert len(both) / len(KEYS) < 0.08


def test_a_key_stays_where_it_is():
    assert bucket_of("image_cnn", "account-1") == bucket_of("image_cnn", "account-1") == 224


def test_the_shadow_is_asked_beside_unless_it_answers_already():
    assert choose_version("m", Route(stable=1, shadow=3), "k") == Choice(version=1, shadow=3)
    assert choose_version("m", Route(stable=3, shadow=3), "k") == Choice(version=3, shadow=None)
