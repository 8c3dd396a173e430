"""What a Bento answers, taken apart."""

import pytest

from gateway.detections.answers import _split

JSON = b'{"verdict": "REAL"}'
JPEG = b"\xff\xd8 small \xff\xd9"


def test_a_thumbnail_is_what_is_announced_at_the_end_of_the_answer():
    assert _split(JSON + JPEG, str(len(JPEG))) == (JSON, JPEG)
    assert _split(JSON, None) == (JSON, None)


@pytest.mark.parametrize("announced", ["", "0", "-3", "many", "20", "20001", "9" * 5000])
def test_what_cannot_be_there_is_refused(announced):
    with pytest.raises(ValueError, match=r".+"):
        _split(JSON, announced)
