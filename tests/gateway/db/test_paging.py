from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.db.paging import read_cursor, write_cursor
from gateway.errors import InvalidCursorError


@given(st.uuids())
def test_a_cursor_comes_back_as_it_was(place: UUID) -> None:
    assert read_cursor(write_cursor(place)) == place


@given(st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    try:
        place = read_cursor(text)
    except InvalidCursorError:
        return
    assert write_cursor(place).rstrip("=") == text.rstrip("=")


@pytest.mark.parametrize("text", ["", "x", "AAAA", write_cursor(uuid4())[:-4], str(uuid4()), "é" * 23])
def test_examples_of_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        read_cursor(text)
