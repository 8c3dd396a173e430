"""How files are divided, and which paths they get."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidBodyError
from gateway.uploads.division import LEAST_PART, MOST_PARTS, part_size, part_sizes, path_of, safe_name

MIB = 1024 * 1024
ACCOUNT = UUID("0198c2f0-5d7e-7c3a-9f52-1b6a4d8e7f10")


@given(size=st.integers(1, 10 * 1024**4))
def test_whatever_the_size_the_parts_are_few_large_enough_and_all_of_it(size: int) -> None:
    sizes = part_sizes(size, part_size(size, None))
    assert sum(sizes) == size
    assert 1 <= len(sizes) <= MOST_PARTS
    assert all(one >= LEAST_PART for one in sizes[:-1])
    assert sizes[-1] > 0


@given(size=st.integers(1, 1024**4), asked=st.integers(1, 1024**4))
def test_what_is_asked_for_is_done_or_refused(size: int, asked: int) -> None:
    try:
        sizes = part_sizes(size, part_size(size, asked))
    except InvalidBodyError as error:
        least = int(error.message.split()[5])
        assert asked < least
        part_sizes(size, part_size(size, least))
        return
    assert sum(sizes) == size
    assert len(sizes) <= MOST_PARTS
    assert len(sizes) == 1 or all(one == asked for one in sizes[:-1])


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (64 * MIB, None, 1),
        (64 * MIB + 1, None, 5),
        (5 * 1024 * MIB, None, 320),
        (5 * 1024 * MIB, 5 * 1024 * MIB, 1),
        (10 * MIB, 5 * MIB, 2),
        (10 * MIB + 1, 5 * MIB, 3),
    ],
)
def test_files_have_so_many_parts(size: int, asked: int | None, expected: int) -> None:
    assert len(part_sizes(size, part_size(size, asked))) == expected


def test_a_file_of_no_announced_size_comes_in_one_piece() -> None:
    assert part_sizes(0, None) == (0,)


@given(st.text(max_size=300))
def test_every_name_is_safe_in_a_path(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe) <= 100
    assert safe.isascii()
    assert all(char.isalnum() or char in "._-" for char in safe)
    assert not safe.startswith(".")


def test_a_path_is_account_time_and_name() -> None:
    at = datetime(2026, 1, 31, 9, 30, 0, 17, tzinfo=UTC)
    assert path_of(ACCOUNT, at, "a film.mp4") == f"{ACCOUNT}/20260131T093000000017Z/a_film.mp4"
