from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.sampling import (
    PASSAGE_S,
    RATE,
    FrameIndex,
    group_windows,
    pick_frames,
    pick_passages,
    pick_stretches,
    pick_windows,
)


def times(index: FrameIndex, count: int) -> list[int]:
    return [pick.frame for pick in pick_frames(index, count)]


def test_frames_are_the_middles_of_equal_parts() -> None:
    assert times(FrameIndex(range(1001), []), 4) == [125, 375, 625, 875]


def test_a_keyframe_in_its_part_is_taken_instead() -> None:
    picks = pick_frames(FrameIndex(range(1001), [0, 300, 600, 900]), 4)
    assert [pick.frame for pick in picks] == [0, 300, 600, 900]
    assert all(pick.frame == pick.keyframe for pick in picks)


def test_every_frame_knows_the_keyframe_that_leads_to_it() -> None:
    picks = pick_frames(FrameIndex(range(1001), [0, 550]), 4)
    assert [(pick.frame, pick.keyframe) for pick in picks] == [(0, 0), (375, 0), (550, 550), (875, 550)]


def test_short_clips_give_all_their_frames() -> None:
    assert times(FrameIndex([0, 10, 20], [0]), 16) == [0, 10, 20]
    assert times(FrameIndex([7], [7]), 16) == [7]


def test_bunched_frames_are_filled_up_from_the_others() -> None:
    frames = [0, 1, 2, 3, 4, 5, 1000]
    chosen = times(FrameIndex(frames, [0]), 5)
    assert len(chosen) == 5
    assert chosen == sorted(set(chosen))


@given(
    frames=st.lists(st.integers(-1000, 100_000), min_size=1, max_size=200, unique=True),
    share=st.integers(1, 30),
    count=st.integers(1, 32),
)
def test_picks_are_existing_frames_ascending_and_reachable(frames: list[int], share: int, count: int) -> None:
    frames.sort()
    picks = pick_frames(FrameIndex(frames, frames[::share]), count)
    chosen = [pick.frame for pick in picks]
    assert len(chosen) == min(count, len(frames))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(frames)
    assert all(pick.keyframe in frames[::share] and pick.keyframe <= pick.frame for pick in picks)


def test_windows_hop_and_end_with_the_sound() -> None:
    assert pick_windows(100, samples=40, hop=20, most=99) == ((0, 20, 40, 60), 4)
    assert pick_windows(105, samples=40, hop=20, most=99) == ((0, 20, 40, 60, 65), 5)


def test_a_sound_within_one_window_has_one() -> None:
    assert pick_windows(40, samples=40, hop=20, most=9) == ((0,), 1)
    assert pick_windows(3, samples=40, hop=20, most=9) == ((0,), 1)


def test_too_many_windows_are_thinned_evenly() -> None:
    starts, wanted = pick_windows(1040, samples=40, hop=10, most=5)
    assert wanted == 101
    assert starts == (0, 250, 500, 750, 1000)
    assert pick_windows(1040, samples=40, hop=10, most=1)[0] == (0,)


@given(st.integers(1, 5000), st.integers(1, 300), st.data())
def test_every_sample_is_in_a_window(total: int, samples: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, samples))
    starts, wanted = pick_windows(total, samples=samples, hop=hop, most=10_000)
    assert wanted == len(starts)
    covered = 0
    for start in starts:
        assert start <= covered
        covered = start + samples
    assert covered >= total
    assert starts[-1] + samples == max(total, samples)


@pytest.mark.parametrize("most", [1, 2, 3, 50])
def test_the_bound_holds(most: int) -> None:
    starts, _ = pick_windows(10_000, samples=40, hop=10, most=most)
    assert len(starts) == len(set(starts)) == most


@pytest.mark.parametrize(("seconds", "count"), [(5, 1), (60, 2), (900.0000000000001, 30), (7200, 240), (14_400, 240)])
def test_a_long_video_is_looked_at_every_half_minute_up_to_the_bound(seconds: float, count: int) -> None:
    stretches = pick_stretches(seconds, most=240)
    assert len(stretches) == count
    assert all(stretch.end_s - stretch.start_s == pytest.approx(min(10, seconds)) for stretch in stretches)
    gaps = [after.start_s - before.end_s for before, after in pairwise(stretches)]
    assert max(gaps, default=0) - min(gaps, default=0) < 1e-6
    # As much is left before the first as after the last.
    assert stretches[0].start_s == pytest.approx(seconds - stretches[-1].end_s, abs=1e-6)


@given(st.floats(0.01, 1e6), st.integers(1, 500))
def test_stretches_lie_inside_the_video_and_never_overlap(seconds: float, most: int) -> None:
    stretches = pick_stretches(seconds, most=most)
    assert 1 <= len(stretches) <= most
    assert stretches[0].start_s >= 0
    assert stretches[-1].end_s <= seconds * (1 + 1e-9)
    assert all(before.end_s <= after.start_s + 1e-6 for before, after in pairwise(stretches))


def test_windows_are_divided_into_passages_without_losing_any() -> None:
    starts = range(0, 1000 * RATE, 7 * RATE)
    passages = group_windows(starts)
    assert [start for passage in passages for start in passage] == list(starts)
    assert all(passage[-1] - passage[0] < PASSAGE_S * RATE for passage in passages)
    assert group_windows([0, 900 * RATE]) == ((0,), (900 * RATE,))


WORDS = st.text(alphabet="ab. \n?!。é", max_size=400)


@given(WORDS, st.integers(5, 60), st.integers(1, 10))
def test_passages_hold_all_of_a_text_but_white_space(text: str, characters: int, most: int) -> None:
    spans, wanted = pick_passages(text, characters=characters, most=10_000)
    assert wanted == len(spans)
    assert all(0 < end - start <= characters for start, end in spans)
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    assert all(not text[end:start].strip() for end, start in zip(ends, starts, strict=True))
    assert all(start >= end for end, start in zip(ends, starts, strict=True))
    kept, same = pick_passages(text, characters=characters, most=most)
    assert same == wanted
    assert len(kept) == min(most, wanted)
    assert set(kept) <= set(spans)


def test_passages_end_where_sentences_end_and_are_about_equally_long() -> None:
    text = "One two three. Four five six! Seven eight nine? Ten eleven twelve."
    spans, _ = pick_passages(text, characters=40, most=10)
    assert [text[start:end] for start, end in spans] == [
        "One two three. Four five six!",
        "Seven eight nine? Ten eleven twelve.",
    ]


def test_without_sentences_passages_end_between_words_and_else_within_them() -> None:
    text = "aaaa bbbb cccc dddd"
    assert [text[a:b] for a, b in pick_passages(text, characters=10, most=10)[0]] == ["aaaa bbbb", "cccc dddd"]
    assert pick_passages("x" * 25, characters=10, most=10)[0] == ((0, 10), (10, 20), (20, 25))
    assert pick_passages(" \n ", characters=10, most=10) == ((), 0)
