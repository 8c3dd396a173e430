import numpy as np

from scripts.demo.clips import draw_clips
from scripts.demo.crops import draw_crops


def test_the_same_seed_gives_the_same_bytes_however_the_work_is_cut() -> None:
    whole = draw_crops(3, "train", 0, 3)
    pieces = [draw_crops(3, "train", 0, 1), draw_crops(3, "train", 1, 3)]
    assert whole.crops.tobytes() == b"".join(piece.crops.tobytes() for piece in pieces)
    assert whole.masks.tobytes() == b"".join(piece.masks.tobytes() for piece in pieces)
    assert draw_crops(4, "train", 0, 1).crops.tobytes() != pieces[0].crops.tobytes()


def test_the_two_crops_of_a_pair_differ_where_the_forgery_is() -> None:
    data = draw_crops(5, "test", 0, 12)
    assert data.crops.shape == (12, 2, 224, 224, 3)
    change = np.abs(np.diff(data.crops.astype(float), axis=1))[:, 0].mean(axis=-1)
    forged = np.kron(data.masks, np.ones((8, 8))) > 128
    inside = np.asarray([pair[mask].mean() for pair, mask in zip(change, forged, strict=True)])
    outside = np.asarray([pair[~mask].mean() for pair, mask in zip(change, forged, strict=True)])
    assert np.all(inside > outside)
    assert np.median(inside / (outside + 0.1)) > 4


def test_clips_are_seeded_and_the_forged_one_flickers_more() -> None:
    clips = draw_clips(7, "test", 0, 3)
    assert clips.shape == (3, 2, 16, 224, 224, 3)
    assert draw_clips(7, "test", 2, 3).tobytes() == clips[2:].tobytes()
    # Mean colour of the middle, where the blend is, from frame to frame.
    shade = clips[:, :, :, 80:144, 80:144].mean(axis=(3, 4))
    unrest = np.abs(np.diff(shade, axis=2)).mean(axis=(0, 2, 3))
    assert unrest[1] > unrest[0]
