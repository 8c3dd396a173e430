"""Zip archives of strangers: looked through before anything of them is unpacked, then unpacked under what they said.

The central directory alone decides whether an archive is taken: how much it unpacks to, how tightly it is packed, and
that no name leads elsewhere. What an entry then unpacks to is held against what the directory said of it, so that a
directory that lies costs no more than what it admitted. Everything here blocks: call it in a thread.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from gateway.errors import ArchiveError, RequestError, ZipBombError
from gateway.settings import MIB

_MOST_RATIO: Final = 100
_SMALL: Final = MIB
"""Up to so many bytes an entry may be packed as tightly as it will."""
_MOST_LISTED: Final = 20_000
_MOST_DIRECTORY: Final = 16 * MIB
_MOST_NAME: Final = 1024
_MOST_COMMENT: Final = 65_535
_PIECE: Final = 256 * 1024
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000

_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_LISTED: Final = struct.Struct("<4s24x3H12x")
_LOCAL: Final = struct.Struct("<4s2xHH16x2H")
_END_MARK: Final = b"PK\x05\x06"
_END_64_MARK: Final = b"PK\x06\x06"
_LOCATOR_64_MARK: Final = b"PK\x06\x07"
_LISTED_MARK: Final = b"PK\x01\x02"
_LOCAL_MARK: Final = b"PK\x03\x04"


class DamagedEntryError(Exception):
    """An entry is not what the archive says of it; the others may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many entries are taken, and how many bytes all of them may unpack to."""

    most_items: int
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of an archive: its path within, its bytes unpacked and packed, and where it lies."""

    name: str
    size: int
    packed_size: int
    crc: int
    offset: int
    deflated: bool


def list_entries(file: BinaryIO, bounds: Bounds) -> tuple[Entry, ...]:
    """The files of an archive in its own order, without folders and hidden ones; nothing is unpacked.

    Raises:
        ArchiveError: It cannot be read (`unreadable_archive`), is encrypted (`encrypted_archive`), names places outside
            or twice (`unsafe_archive`), unpacks to too much (`zip_bomb`, `archive_too_large`), or holds too many files
            or none (`too_many_items`, `no_items`).
    """
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise ArchiveError from error
    for info in infos:
        _check_name(info)
    if len({info.filename.rstrip("/") for info in infos}) != len(infos):
        raise ArchiveError("The archive has two entries of the same name.", code="unsafe_archive")
    _check_places(infos)
    wanted = [info for info in infos if not info.is_dir() and not _is_hidden(info.filename)]
    if not wanted:
        raise ArchiveError("The archive holds no files.", code="no_items")
    if len(wanted) > bounds.most_items:
        raise too_many_items(bounds.most_items)
    _check_sizes(wanted, bounds)
    return tuple(
        Entry(
            name=info.filename,
            size=info.file_size,
            packed_size=info.compress_size,
            crc=info.CRC,
            offset=info.header_offset,
            deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        )
        for info in wanted
    )


def unpack(file: BinaryIO, entry: Entry) -> Generator[bytes]:
    """An entry's bytes, in pieces of at most 256 KiB.

    Raises:
        ZipBombError: It has more bytes than the archive says.
        DamagedEntryError: It has fewer, or others.
    """
    size, crc = 0, 0
    for piece in _inflated(file, entry) if entry.deflated else _packed(file, entry):
        size += len(piece)
        if size > entry.size:
            raise ZipBombError("An entry of the archive unpacks to more than the archive says.")
        crc = zlib.crc32(piece, crc)
        yield piece
    if size != entry.size or crc != entry.crc:
        raise DamagedEntryError


def too_many_items(most: int) -> RequestError:
    """The refusal of a batch with too many items."""
    return RequestError(f"A batch has at most {most} items.", code="too_many_items", status=413)


def _check_directory(file: BinaryIO) -> None:
    """Bound what the central directory lists before `zipfile` makes an object of each entry, whatever it says itself.

    Raises:
        ArchiveError: There is none, or it lists too much.
    """
    length = file.seek(0, 2)
    tail_at = max(0, length - _END.size - _MOST_COMMENT)
    file.seek(tail_at)
    tail = file.read(length - tail_at)
    # Where nothing follows the record it is at the very end, whatever its fields look like; `zipfile` has it so too.
    last = len(tail) - _END.size
    at = last if tail[last : last + 4] == _END_MARK and tail.endswith(b"\0\0") else tail.rfind(_END_MARK)
    if last < 0 or at < 0 or at > last:
        raise ArchiveError
    size = _END.unpack_from(tail, at)[5]
    end = tail_at + at
    locator_at = at - _LOCATOR_64.size
    if locator_at >= _END_64.size and tail[locator_at : locator_at + 4] == _LOCATOR_64_MARK:
        record = tail[locator_at - _END_64.size : locator_at]
        if record[:4] == _END_64_MARK:
            size = _END_64.unpack(record)[8]
            end = tail_at + locator_at - _END_64.size
    if size > _MOST_DIRECTORY:
        raise too_many_items(_MOST_LISTED)
    if size > end:
        raise ArchiveError
    file.seek(end - size)
    directory = file.read(size)
    listed = read = 0
    while read + _LISTED.size <= len(directory):
        mark, *lengths = _LISTED.unpack_from(directory, read)
        if mark != _LISTED_MARK:
            raise ArchiveError
        read += _LISTED.size + sum(lengths)
        listed += 1
        if listed > _MOST_LISTED:
            raise too_many_items(_MOST_LISTED)


def _check_name(info: zipfile.ZipInfo) -> None:
    """Refuse an entry that could end up elsewhere, or that is no plain file or folder."""
    name = info.orig_filename
    parts = name.split("/")
    outside = name.startswith("/") or ".." in parts or "\\" in name or name[1:2] == ":"
    if outside or not name or "\0" in name or len(name) > _MOST_NAME:
        raise ArchiveError("The archive has an entry whose name leads elsewhere.", code="unsafe_archive")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArchiveError("The archive has a link or a device among its entries.", code="unsafe_archive")
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveError("The archive is encrypted.", code="encrypted_archive")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ArchiveError("The archive is packed by a method other than deflate.")


def _check_places(infos: list[zipfile.ZipInfo]) -> None:
    """Refuse entries that lie on top of each other: so a few bytes can be unpacked many times over."""
    end = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset < end:
            raise ZipBombError("The archive has entries that share their bytes.")
        end = info.header_offset + _LOCAL.size + info.compress_size


def _check_sizes(infos: list[zipfile.ZipInfo], bounds: Bounds) -> None:
    if any(one.file_size > _SMALL and one.file_size > _MOST_RATIO * one.compress_size for one in infos):
        raise ZipBombError
    if sum(one.file_size for one in infos) > bounds.most_bytes:
        most = bounds.most_bytes / MIB
        raise ArchiveError(f"The archive unpacks to more than {most:g} MB.", code="archive_too_large", status=413)


def _is_hidden(name: str) -> bool:
    """Whether it is what systems leave behind in folders, and not what somebody packed."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _packed(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """An entry's bytes as they lie in the archive. Raises DamagedEntryError."""
    file.seek(entry.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        raise DamagedEntryError
    mark, flags, method, name_length, extra_length = _LOCAL.unpack(header)
    deflated = method == zipfile.ZIP_DEFLATED
    if mark != _LOCAL_MARK or flags & _ENCRYPTED or deflated != entry.deflated:
        raise DamagedEntryError
    file.seek(name_length + extra_length, 1)
    left = entry.packed_size
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            raise DamagedEntryError
        left -= len(piece)
        yield piece


def _inflated(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """An entry's bytes unpacked, never more than a piece of them at once. Raises DamagedEntryError."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in _packed(file, entry):
            pending = packed
            while pending and not inflater.eof:
                yield inflater.decompress(pending, _PIECE)
                pending = inflater.unconsumed_tail
        while not inflater.eof:
            piece = inflater.decompress(inflater.unconsumed_tail, _PIECE)
            if not piece:
                break
            yield piece
    except zlib.error as error:
        raise DamagedEntryError from error
    if not inflater.eof:
        raise DamagedEntryError
