import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.contract import Verdict
from bentos.scoring import (
    fuse,
    score_audio,
    score_frames,
    score_image,
    score_stretches,
    score_video,
    stack_tracks,
    vote,
)

scores = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60)


rules = pytest.mark.parametrize("rule", [score_image, score_video, score_audio, score_frames, score_stretches])


@rules
@given(values=scores)
def test_score_stays_between_the_lowest_and_the_highest_part(rule, values):
    assert 0 <= min(values) <= rule(values) <= max(values) <= 1


@rules
@given(value=st.floats(0, 1))
def test_one_part_gives_its_own_score_back(rule, value):
    assert rule([value]) == value


@rules
@given(values=scores, data=st.data())
def test_order_does_not_matter(rule, values, data):
    assert rule(data.draw(st.permutations(values))) == rule(values)


@rules
@given(values=scores, data=st.data())
def test_no_part_can_rise_and_the_medium_fall(rule, values, data):
    index = data.draw(st.integers(0, len(values) - 1))
    raised = values.copy()
    raised[index] = data.draw(st.floats(values[index], 1, width=32))
    assert rule(raised) >= rule(values) - 1e-12


def test_one_forged_face_outweighs_the_genuine_ones():
    assert score_image([0.02, 0.97, 0.1]) == 0.97


def test_one_odd_window_of_many_does_not_make_a_forgery():
    assert score_audio([0.05] * 99 + [0.99]) < 0.2


def test_a_forged_quarter_of_a_clip_is_found():
    assert score_audio([0.05] * 30 + [0.95] * 10) == pytest.approx(0.95)


def test_a_track_forged_half_of_the_time_is_found_and_one_odd_frame_is_not_enough():
    assert score_frames([0.1] * 8 + [0.9] * 8) == pytest.approx(0.9)
    assert score_frames([0.1] * 15 + [0.99]) < 0.3


def test_log_odds_are_averaged():
    # The top quarter of eight windows: log-odds of 0.9 and 0.5 are log(9) and 0, whose mean is log(3).
    assert score_audio([0.5, 0.9] + [0.1] * 6) == pytest.approx(0.75)


def test_tracks_are_padded_and_masked():
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    sequences, mask = stack_tracks(features, [[0, 2], [3]], frames=3)
    assert sequences.shape == (2, 3, 3)
    assert sequences.dtype == mask.dtype == np.float32
    np.testing.assert_array_equal(sequences[0, :2], features[[0, 2]])
    np.testing.assert_array_equal(sequences[1, 0], features[3])
    assert not sequences[0, 2:].any()
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("track_of_crops", [[], [0, 1, 2, 3]])
def test_a_track_the_head_cannot_take_is_refused(track_of_crops):
    with pytest.raises(ValueError, match="takes 1 to 3"):
        stack_tracks(np.zeros((4, 2), np.float32), [track_of_crops], frames=3)


def test_a_scene_of_a_tenth_decides_about_a_long_video_and_one_outlier_does_not() -> None:
    assert score_stretches([0.1] * 216 + [0.9] * 24) == pytest.approx(0.9)
    assert score_stretches([0.1] * 239 + [0.99]) < 0.2


pools = st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=1, max_size=16)


@given(pool=pools)
def test_a_pool_stays_between_its_lowest_and_its_highest_score(pool):
    values, weights = zip(*pool, strict=True)
    assert min(values) <= fuse(values, weights) <= max(values)


@given(pool=pools, data=st.data())
def test_the_order_of_a_pool_does_not_matter(pool, data):
    shuffled = data.draw(st.permutations(pool))
    assert fuse(*zip(*shuffled, strict=True)) == fuse(*zip(*pool, strict=True))


@given(pool=pools, data=st.data())
def test_no_member_can_rise_and_the_pool_fall(pool, data):
    values, weights = map(list, zip(*pool, strict=True))
    index = data.draw(st.integers(0, len(pool) - 1))
    raised = values.copy()
    raised[index] = data.draw(st.floats(values[index], 1))
    assert fuse(raised, weights) >= fuse(values, weights)


@given(pool=pools, factor=st.floats(0.01, 100))
def test_only_the_ratio_of_weights_counts(pool, factor):
    values, weights = zip(*pool, strict=True)
    assert fuse(values, [weight * factor for weight in weights]) == pytest.approx(fuse(values, weights))


def test_a_member_of_twice_the_weight_counts_twice():
    assert fuse([0.9, 0.3], [2, 1]) == pytest.approx(fuse([0.9, 0.9, 0.3], [1, 1, 1])) == pytest.approx(0.7)


def test_an_uncertain_verdict_is_half_a_vote():
    assert [vote(verdict) for verdict in (Verdict.REAL, Verdict.UNCERTAIN, Verdict.FAKE)] == [0, 0.5, 1]
