import io

import pytest
from PIL import Image

from scripts.bench.photographs import (
    HEIGHT,
    QUALITY,
    SIZE_RANGE,
    WIDTH,
    TooFewPicturesError,
    cached_photographs,
    encode_photographs,
)


def one_face(_jpeg):
    return 1


def test_same_seed_same_pictures_and_all_of_them_different():
    first = encode_photographs(4, 7, one_face)

    assert first == encode_photographs(4, 7, one_face)
    assert len({*first, *encode_photographs(4, 8, one_face)}) == 8
    assert QUALITY == 90
    for jpeg in first:
        assert Image.open(io.BytesIO(jpeg)).size == (WIDTH, HEIGHT)
        assert len(jpeg) in SIZE_RANGE


def test_pictures_with_no_or_several_faces_are_passed_over():
    answers = iter([0, 2, 1, 1])

    assert len(encode_photographs(2, 7, lambda _jpeg: next(answers))) == 2


def test_candidates_run_out():
    with pytest.raises(TooFewPicturesError, match="0 of 1"):
        encode_photographs(1, 7, lambda _jpeg: 0)


def test_cached_pictures_are_made_once(tmp_path):
    files = cached_photographs(tmp_path, 2, 7, one_face)
    files[0].write_bytes(b"kept")

    assert cached_photographs(tmp_path, 2, 7, one_face)[0].read_bytes() == b"kept"
