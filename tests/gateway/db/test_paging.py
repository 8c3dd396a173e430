from uuid import UUID

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


_PLACE = UUID("51e85d38-ddec-4ebf-ac1b-549d9621ca47")


@pytest.mark.parametrize("text", ["", "x", "AAAA", write_cursor(_PLACE)[:-4], str(_PLACE), "é" * 23])
def test_examples_of_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        read_cursor(text)
