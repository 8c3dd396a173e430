from bentos.faces import Face
from bentos.tracks import Sighting, link_faces


def face(x: float, side: float = 100.0, y: float = 0.0) -> Face:
    return Face(x1=x, y1=y, x2=x + side, y2=y + side, confidence=0.9)


def test_a_face_that_moves_a_little_is_one_track() -> None:
    frames = [[face(0)], [face(30)], [face(60)], [face(90)]]
    assert link_faces(frames, most=4) == (tuple(Sighting(number, 0) for number in range(4)),)


def test_a_face_that_moves_by_its_own_width_is_still_one_track() -> None:
    assert len(link_faces([[face(0)], [face(110)], [face(220)]], most=4)) == 1
    assert len(link_faces([[face(0)], [face(160)]], most=4)) == 2


def test_a_true_overlap_goes_before_a_grown_one() -> None:
    tracks = link_faces([[face(0), face(110)], [face(100)]], most=4)
    assert (Sighting(0, 1), Sighting(1, 0)) in tracks


def test_two_faces_that_change_places_in_the_list_keep_their_tracks() -> None:
    frames = [[face(0), face(500)], [face(505), face(5)], [face(10), face(510)]]
    tracks = link_faces(frames, most=4)
    assert set(tracks) == {
        (Sighting(0, 0), Sighting(1, 1), Sighting(2, 0)),
        (Sighting(0, 1), Sighting(1, 0), Sighting(2, 1)),
    }


def test_the_best_overlap_is_joined_first() -> None:
    frames = [[face(0), face(60)], [face(58), face(20)]]
    assert set(link_faces(frames, most=4)) == {
        (Sighting(0, 1), Sighting(1, 0)),
        (Sighting(0, 0), Sighting(1, 1)),
    }


def test_a_face_may_be_missing_for_two_frames() -> None:
    (track,) = link_faces([[face(0)], [], [], [face(10)]], most=4)
    assert [sighting.frame for sighting in track] == [0, 3]


def test_a_face_that_was_gone_for_longer_starts_anew() -> None:
    assert len(link_faces([[face(0)], [], [], [], [face(0)]], most=4)) == 2


def test_only_the_largest_tracks_are_kept_largest_first() -> None:
    frames = [[face(0, 50), face(300, 120), face(600, 90), face(900, 200)]] * 2
    tracks = link_faces(frames, most=3)
    assert [track[0].face for track in tracks] == [3, 1, 2]


def test_without_faces_there_are_no_tracks() -> None:
    assert link_faces([[], [], []], most=4) == ()
    assert link_faces([], most=4) == ()
