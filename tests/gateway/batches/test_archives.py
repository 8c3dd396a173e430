import io
import random
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest

from gateway.batches.archives import Bounds, DamagedEntryError, Entry, list_entries, unpack
from gateway.errors import RequestError, ZipBombError

BOUNDS = Bounds(most_items=100, most_bytes=64 * 1024 * 1024)
CODES = {
    *(None, "unreadable_archive", "unsafe_archive", "zip_bomb", "encrypted_archive", "too_many_items", "no_items"),
    "archive_too_large",
}
NOISE = random.Random(7).randbytes(300_000)  # noqa: S311 - No secret.


def packed(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data, method)
    return file


def named(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def listed(file: io.BytesIO, bounds: Bounds = BOUNDS) -> tuple[Entry, ...]:
    return list_entries(file, bounds)


def refusal(file: io.BytesIO, bounds: Bounds = BOUNDS) -> str:
    with pytest.raises(RequestError) as caught:
        list_entries(file, bounds)
    return caught.value.code


def content(file: io.BytesIO, entry: Entry) -> bytes:
    return b"".join(unpack(file, entry))


def patched(file: io.BytesIO, change: Callable[[bytearray], None]) -> io.BytesIO:
    data = bytearray(file.getvalue())
    change(data)
    return io.BytesIO(bytes(data))


def central(data: bytearray, offset: int, layout: str, value: int) -> None:
    """Overwrite a field of the first entry of the central directory."""
    struct.pack_into(layout, data, data.index(b"PK\x01\x02") + offset, value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_files_come_out_as_they_went_in_without_folders_and_what_systems_leave_behind(method: int) -> None:
    file = packed(
        ("folder/", b""),
        ("folder/one.jpg", NOISE),
        ("two.txt", b"two"),
        ("empty.jpg", b""),
        ("__MACOSX/folder/._one.jpg", b"fork"),
        (".DS_Store", b"store"),
        ("folder/.hidden/three.jpg", b"three"),
        method=method,
    )
    entries = listed(file)
    assert [(one.name, one.size) for one in entries] == [("folder/one.jpg", 300_000), ("two.txt", 3), ("empty.jpg", 0)]
    assert [content(file, one) for one in entries] == [NOISE, b"two", b""]


def test_an_archive_behind_other_bytes_or_before_a_comment_is_read() -> None:
    commented = packed(("one.jpg", NOISE))
    with zipfile.ZipFile(commented, "a") as archive:
        archive.comment = b"packed on a Tuesday"
    behind = io.BytesIO(b"#!/bin/sh\n" * 20 + packed(("one.jpg", NOISE)).getvalue())
    for file in (commented, behind):
        assert content(file, listed(file)[0]) == NOISE


@pytest.mark.parametrize(
    "name",
    ["../up.jpg", "a/../../up.jpg", "/etc/passwd", "a\\..\\up.jpg", "C:/up.jpg", "a/..", "nul\0.jpg", "n" * 1025],
)
def test_a_name_that_leads_elsewhere_refuses_the_archive(name: str) -> None:
    assert refusal(packed(("good.jpg", b"good"), (named(name), b"bad"))) == "unsafe_archive"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_a_link_or_a_device_refuses_the_archive(kind: int) -> None:
    assert refusal(packed((named("link.jpg", kind | 0o777), b"/etc/passwd"))) == "unsafe_archive"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", ["one.jpg", "one.jpg/"])
def test_two_entries_of_one_name_refuse_the_archive(again: str) -> None:
    assert (
        refusal(packed(("one.jpg", b"first"), (again, b"" if again.endswith("/") else b"second"))) == "unsafe_archive"
    )


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_archive_is_refused_as_such(flag: int) -> None:
    file = patched(packed(("one.jpg", NOISE)), lambda data: central(data, 8, "<H", flag))
    assert refusal(file) == "encrypted_archive"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 97])
def test_other_methods_of_packing_are_not_read(method: int) -> None:
    file = patched(packed(("one.jpg", NOISE)), lambda data: central(data, 10, "<H", method))
    assert refusal(file) == "unreadable_archive"


def test_too_many_files_are_refused_and_none_is_none() -> None:
    many = packed(*((f"{number}.jpg", b"x") for number in range(101)))
    assert refusal(many) == "too_many_items"
    assert len(listed(many, Bounds(most_items=101, most_bytes=1000))) == 101
    assert refusal(packed()) == "no_items"
    assert refusal(packed(("folder/", b""), (".hidden", b"x"))) == "no_items"


def test_a_directory_of_a_million_entries_is_refused_before_it_costs_memory() -> None:
    entry = packed(("a", b"")).getvalue()
    start = entry.index(b"PK\x01\x02")
    one = entry[start : entry.index(b"PK\x05\x06")]
    directory = one * 300_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)
    tracemalloc.start()
    began = time.monotonic()
    assert refusal(io.BytesIO(directory + end)) == "too_many_items"
    assert time.monotonic() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 40 * 1024 * 1024
    tracemalloc.stop()


def test_an_entry_packed_more_tightly_than_media_are_is_a_bomb_and_a_small_one_is_not() -> None:
    assert refusal(packed(("bomb.jpg", bytes(30_000_000)))) == "zip_bomb"
    assert len(listed(packed(("small.jpg", bytes(1_000_000))))) == 1


def test_all_entries_together_may_unpack_to_so_much_and_no_more() -> None:
    file = packed(*((f"{number}.jpg", NOISE) for number in range(4)))
    assert refusal(file, Bounds(most_items=100, most_bytes=1_199_999)) == "archive_too_large"
    assert len(listed(file, Bounds(most_items=100, most_bytes=1_200_000))) == 4


def test_entries_that_share_their_bytes_are_a_bomb() -> None:
    file = packed(("one.jpg", NOISE), ("two.jpg", NOISE))
    data = bytearray(file.getvalue())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", data, second + 42, 0)
    assert refusal(io.BytesIO(bytes(data))) == "zip_bomb"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_an_entry_that_has_more_than_the_directory_says_is_a_bomb(method: int) -> None:
    """Also where it lies so well that the checksum is right for what it says."""

    def lie(data: bytearray) -> None:
        central(data, 24, "<L", 1000)
        central(data, 16, "<L", zlib.crc32(NOISE[:1000]))

    file = patched(packed(("one.jpg", NOISE), method=method), lie)
    (entry,) = listed(file)
    with pytest.raises(ZipBombError):
        content(file, entry)


def test_a_bomb_behind_a_lie_is_given_up_within_a_piece_of_what_it_said() -> None:
    file = patched(packed(("one.jpg", bytes(200_000_000))), lambda data: central(data, 24, "<L", 1_000_000))
    (entry,) = listed(file)
    tracemalloc.start()
    got: list[int] = []
    with pytest.raises(ZipBombError):
        got.extend(len(piece) for piece in unpack(file, entry))
    assert sum(got) <= 1_000_000
    assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [(16, "<L", 1), (24, "<L", 400_000), (20, "<L", 1000), (42, "<L", 5)],
    ids=["checksum", "more promised than there is", "cut off", "elsewhere"],
)
def test_an_entry_that_is_not_what_is_said_is_damaged_alone(offset: int, layout: str, value: int) -> None:
    file = patched(packed(("one.jpg", NOISE), ("two.jpg", b"two")), lambda data: central(data, offset, layout, value))
    if offset == 42:
        # The entries must not share their bytes, which is another matter.
        file = patched(packed(("one.jpg", NOISE)), lambda data: central(data, offset, layout, value))
    entries = listed(file)
    with pytest.raises(DamagedEntryError):
        content(file, entries[0])
    if len(entries) > 1:
        assert content(file, entries[1]) == b"two"


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_broken_in_an_archive_has_a_code_or_comes_out_whole(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - The same.
    data = bytearray(packed(("one.jpg", NOISE[:5000]), ("folder/two.jpg", b"two" * 100)).getvalue())
    for _ in range(chance.randrange(1, 6)):
        data[chance.choice([chance.randrange(len(data)), chance.randrange(len(data) - 200, len(data))])] ^= 1 << (
            chance.randrange(8)
        )
    file = io.BytesIO(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
    try:
        entries = listed(file)
    except RequestError as error:
        refused = error.code
        entries = ()
    else:
        refused = None
    assert refused in CODES
    for entry in entries:
        try:
            assert len(content(file, entry)) == entry.size
        except (DamagedEntryError, ZipBombError):
            continue


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all" * 100, b"PK\x05\x06" + b"\xff" * 18, b"PK\x05\x06"])
def test_what_is_no_archive_is_unreadable(data: bytes) -> None:
    assert refusal(io.BytesIO(data)) in {"unreadable_archive", "too_many_items"}
