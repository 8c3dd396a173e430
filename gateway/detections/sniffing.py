"""What kind of medium a file is, from its first bytes. The Bento proves it by decoding; this only picks the Bento."""

from dataclasses import dataclass
from typing import Final

import filetype

from bentos.contract import Modality
from gateway.errors import UnsupportedMediaError

SNIFFED_BYTES: Final = 4096
"""How much of a file's start is looked at."""
UNKNOWN_TYPE: Final = "application/octet-stream"

_MATCHERS: Final = (*filetype.image_matchers, *filetype.video_matchers, *filetype.audio_matchers)
_CONTAINERS: Final = frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "audio/ogg"})
"""Types whose name does not tell whether there are pictures inside, or only sound."""
_AUDIO_BRANDS: Final = (b"M4A", b"M4B")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """A media type, and the modality it stands for; None where the type is none that is judged."""

    media_type: str
    modality: Modality | None


def sniff(head: bytes) -> Sniffed:
    """Media type and modality of a file that starts with `head`."""
    if head[4:8] == b"ftyp" and head[8:11] in _AUDIO_BRANDS:
        return Sniffed("audio/mp4", Modality.AUDIO)
    kind = filetype.match(head, matchers=_MATCHERS)
    if kind is None:
        return Sniffed(UNKNOWN_TYPE, None)
    media_type: str = kind.mime
    group = media_type.partition("/")[0]
    return Sniffed(media_type, Modality(group) if group in {"image", "video", "audio"} else None)


def settle_modality(sniffed: Sniffed, asked: Modality | None) -> Modality:
    """The modality to judge by: what was asked for, unless the bytes are plainly something else.

    A file of a type that is not recognised goes to the Bento that was asked for, which tries to decode it.

    Raises:
        UnsupportedMediaError: The bytes are of another kind, or of none that is known and nothing was asked for.
    """
    if asked is None:
        if sniffed.modality is None:
            raise UnsupportedMediaError("The file is neither an image, nor a video, nor audio of a known type.")
        return sniffed.modality
    ambiguous = sniffed.media_type in _CONTAINERS and asked is not Modality.IMAGE
    if sniffed.modality not in {None, asked} and not ambiguous:
        raise UnsupportedMediaError(f"The file is {sniffed.media_type}, which is not {_ARTICLES[asked]}.")
    return asked


_ARTICLES: Final = {
    Modality.IMAGE: "an image",
    Modality.VIDEO: "a video",
    Modality.AUDIO: "audio",
    Modality.TEXT: "text",
}
