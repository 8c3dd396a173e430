"""Which media a `bonafide detect` call names: files, folders searched recursively, or standard input."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

STANDARD_INPUT: Final = "-"
_IMAGES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_VIDEOS: Final = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
_SOUNDS: Final = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac")
MEDIA_SUFFIXES: Final = frozenset((*_IMAGES, *_VIDEOS, *_SOUNDS))
"""What counts as media inside a folder; a file that is named itself is sent whatever its suffix."""
TEXT_SUFFIXES: Final = frozenset((".txt", ".text", ".md"))
"""What counts instead where texts are asked for: beside media, such files are notes about them more often than not."""


class MissingSourceError(Exception):
    """A named file or folder does not exist, or a folder holds no media."""


@dataclass(frozen=True, slots=True)
class Source:
    """One medium to send: the label shown for it, its file name for the gateway, and where its bytes come from."""

    label: str
    filename: str
    path: Path | None
    data: bytes | None = None

    @property
    def file(self) -> Path | bytes:
        """What the client sends: the path, read as it is sent, or the bytes already read."""
        return self.path if self.path is not None else self.data or b""


def find_sources(arguments: Iterable[str], standard_input: BinaryIO, *, texts: bool = False) -> list[Source]:
    """Expand the arguments in their order; a folder's media follow by name, or its `texts`.

    Raises:
        MissingSourceError: Nothing exists under a name, or a folder holds no media.
    """
    suffixes = TEXT_SUFFIXES if texts else MEDIA_SUFFIXES
    return [source for argument in arguments for source in _expand(argument, standard_input, suffixes)]


def _expand(argument: str, standard_input: BinaryIO, suffixes: frozenset[str]) -> Iterator[Source]:
    if argument == STANDARD_INPUT:
        yield Source(label="standard input", filename="stdin", path=None, data=standard_input.read())
        return
    path = Path(argument)
    if path.is_dir():
        media = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
        if not media:
            raise MissingSourceError(f"{argument}: the folder holds no media")
        yield from (Source(label=str(file), filename=file.name, path=file) for file in media)
    elif path.is_file():
        yield Source(label=argument, filename=path.name, path=path)
    else:
        raise MissingSourceError(f"{argument}: no such file or folder")
