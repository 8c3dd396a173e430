import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.contract import Box, FrameScore, Reason, TrackScore, VideoEvidence
from bentos.errors import UnreadableMediaError
from bentos.long_video import MOST_TRACKS, LongVideo
from bentos.media.prepared import PreparedVideo, VideoLength
from bentos.sampling import Stretch
from bentos.scoring import score_stretches

LENGTH = VideoLength(first=0, seconds=7200, unscored=(), decode_ms=1)
BOX = Box(x=0, y=0, width=9, height=9)


def prepared(*, faces: int, codes: tuple[str, ...] = (), unscored: tuple[str, ...] = ()) -> PreparedVideo:
    return PreparedVideo(
        crops=np.zeros((1, 1, 1, 3), np.uint8),
        thumbnail=np.zeros(0, np.uint8),
        tracks=(),
        faces_found=faces,
        frames_sampled=2,
        width=320,
        height=180,
        duration_s=10,
        codec="h264",
        reasons=tuple(Reason(code=code, message=f"{code}.") for code in codes),
        unscored=tuple(Reason(code=code, message=f"{code}.") for code in unscored),
        decode_ms=1,
        faces_ms=1,
    )


def judged(p_fake: float, number: int, *, faces: int = 2) -> VideoEvidence:
    frames = (FrameScore(time_s=30.0 * number, p_fake=p_fake), FrameScore(time_s=30.0 * number + 5, p_fake=p_fake))
    tracks = (
        TrackScore(track=0, p_fake=p_fake / 2, box=BOX, frames=frames),
        TrackScore(track=1, p_fake=p_fake, box=BOX, frames=frames),
    )
    return VideoEvidence(
        width=320, height=180, duration_s=10, codec="h264", frames_sampled=2, faces_found=faces, tracks=tracks
    )


def film(*scores: float, faceless: frozenset[int] = frozenset()) -> LongVideo:
    """A video whose stretches have these scores; those in `faceless` show no face."""
    video = LongVideo(LENGTH, planned=len(scores))
    for number, score in enumerate(scores):
        faces = 0 if number in faceless else 2
        stretch = Stretch(30.0 * number, 30.0 * number + 10)
        codes = () if faces else ("no_face_found",)
        video.add(stretch, prepared(faces=faces, codes=codes), judged(score, number, faces=faces))
    return video


def codes(reasons) -> list[str]:
    return [reason.code for reason in reasons]


def test_evidence_lists_every_stretch_and_the_frames_of_the_most_suspicious() -> None:
    video = film(*[0.1] * 50, *[0.9] * 10, *[0.2] * 40)
    evidence = video.evidence
    assert len(evidence.stretches) == 100
    assert all(not stretch.frames for stretch in evidence.stretches)
    assert len(evidence.tracks) == MOST_TRACKS
    assert [track.track for track in evidence.tracks] == list(range(MOST_TRACKS))
    starts = [track.frames[0].time_s for track in evidence.tracks]
    assert starts == sorted(starts)
    assert sum(track.p_fake == 0.9 for track in evidence.tracks) == 10
    assert (evidence.duration_s, evidence.frames_sampled, evidence.faces_found) == (7200, 200, 200)


def test_stretches_without_a_face_count_only_where_there_is_no_face_at_all() -> None:
    mixed = film(0.9, 0.1, 0.1, faceless=frozenset({0}))
    assert mixed.p_fake == pytest.approx(0.1)
    assert len(mixed.evidence.stretches) == 2
    assert codes(mixed.reasons(high=0.6)) == ["judged_by_stretches", "stretches_without_face"]
    scenery = film(0.9, 0.1, faceless=frozenset({0, 1}))
    assert scenery.p_fake == pytest.approx(0.9)
    assert codes(scenery.reasons(high=0.95)) == ["judged_by_stretches", "no_face_found"]


def test_reasons_say_how_much_was_looked_at_and_where_it_looks_forged() -> None:
    first, second = film(0.1, 0.7, 0.9).reasons(high=0.6)
    assert "in 3 stretches, together 30 of 7200 s" in first.message
    assert (second.code, second.message) == (
        "forged_stretches",
        "2 of 3 stretches look forged by themselves, most of all the one at 0:01:00.",
    )
    assert film(0.1, 0.7).reasons(high=0.6)[1].message == (
        "1 of 2 stretches looks forged by itself, the one at 0:00:30."
    )


def test_reasons_of_stretches_are_told_once_with_their_number() -> None:
    video = LongVideo(LENGTH, planned=3)
    for number in range(3):
        given = ("low_resolution",) if number else ()
        video.add(Stretch(number, number + 1), prepared(faces=1, codes=given), judged(0.2, number))
    assert video.reasons(high=0.9)[1].message == "low_resolution. This holds for 2 of 3 stretches."


def test_what_could_not_be_decoded_is_told() -> None:
    video = LongVideo(LENGTH, planned=2)
    video.lose()
    with pytest.raises(UnreadableMediaError):
        _ = video.p_fake
    with pytest.raises(UnreadableMediaError):
        _ = video.evidence
    video.add(Stretch(0, 1), prepared(faces=1, unscored=("frames_unreadable",)), judged(0.2, 0))
    assert codes(video.unscored) == ["stretches_unreadable", "frames_unreadable"]
    assert "1 of 2" in video.unscored[0].message


def test_the_score_of_a_stretch_comes_with_the_frames_of_its_worst_track() -> None:
    score = LongVideo(LENGTH, planned=1).add(Stretch(30, 40), prepared(faces=1), judged(0.8, 1))
    assert (score.start_s, score.end_s, score.p_fake) == (30, 40, 0.8)
    assert [frame.p_fake for frame in score.frames] == [0.8, 0.8]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.data())
def test_no_stretch_can_rise_and_the_video_fall(scores: list[float], data: st.DataObject) -> None:
    video = film(*scores)
    assert video.p_fake == pytest.approx(score_stretches(scores))
    at = data.draw(st.integers(0, len(scores) - 1))
    raised = [*scores[:at], data.draw(st.floats(scores[at], 1)), *scores[at + 1 :]]
    assert film(*raised).p_fake >= video.p_fake - 1e-12
