"""What the address of a medium tells before anybody has fetched it: a file name, and which kind of medium it may be."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from bentos.contract import Modality
from gateway.detections.forms import clean_filename
from gateway.detections.sniffing import TEXT_ENDINGS
from gateway.errors import InvalidBodyError

_ENDINGS: Final[Mapping[str, Modality]] = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "bmp", "gif"), Modality.IMAGE),
    **dict.fromkeys(("mp4", "mov", "avi", "mkv", "webm", "m4v"), Modality.VIDEO),
    **dict.fromkeys(("wav", "mp3", "flac", "ogg", "m4a", "aac", "opus"), Modality.AUDIO),
    **dict.fromkeys(TEXT_ENDINGS, Modality.TEXT),
}
"""What the end of an address's path tells of what is there; what comes is looked at all the same."""


def modality_of_name(filename: str) -> Modality | None:
    """What a file of this name most likely is; None where its name does not tell."""
    return _ENDINGS.get(filename.rpartition(".")[2].lower())


def look_at_address(url: str, modality: str | None) -> tuple[str, Modality]:
    """The file name and the modality of what is at an address, by `modality` where the caller names one.

    Raises:
        InvalidBodyError: It is no address, or neither tells the modality.
    """
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InvalidBodyError("The address is not valid.") from error
    filename = clean_filename(unquote(PurePosixPath(path).name))
    found = Modality(modality) if modality else modality_of_name(filename)
    if found is None:
        raise InvalidBodyError("The address does not tell what is there: name the `modality`.")
    return filename, found
