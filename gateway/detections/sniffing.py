"""What kind of medium a file is, from its first bytes. The Bento proves it by decoding; this only picks the Bento."""

import codecs
from dataclasses import dataclass
from typing import Final

import filetype

from bentos.contract import Modality
from gateway.errors import UnsupportedMediaError

SNIFFED_BYTES: Final = 4096
"""How much of a file's start is looked at."""
UNKNOWN_TYPE: Final = "application/octet-stream"

TEXT_TYPE: Final = "text/plain"
TEXT_ENDINGS: Final = ("txt", "text", "md")
"""Endings of the names of files that are texts and nothing else."""

_MATCHERS: Final = (*filetype.image_matchers, *filetype.video_matchers, *filetype.audio_matchers)
_CONTAINERS: Final = frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "audio/ogg"})
"""Types whose name does not tell whether there are pictures inside, or only sound."""
_AUDIO_BRANDS: Final = (b"M4A", b"M4B")
_TEXT_TYPES: Final = frozenset({TEXT_TYPE, "text/markdown"})
_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """A media type, and the modality it stands for; None where the type is none that is judged.

    `readable`: it may be a text, whatever else its first bytes look like.
    """

    media_type: str
    modality: Modality | None
    readable: bool = False


def sniff(head: bytes, *, name: str = "", announced: str = "") -> Sniffed:
    """Media type and modality of a file that starts with `head`.

    A text is told from what else has no mark of its own, such as a page that says that a picture was not found, only
    by its `name` or by the media type that it was `announced` as.
    """
    readable = _reads(head)
    said = name.rpartition(".")[2].lower() in TEXT_ENDINGS or announced.partition(";")[0].strip() in _TEXT_TYPES
    # First, because texts begin with anything: "BM" is the mark of a kind of picture.
    if readable and said:
        return Sniffed(TEXT_TYPE, Modality.TEXT, readable)
    if head[4:8] == b"ftyp" and head[8:11] in _AUDIO_BRANDS:
        return Sniffed("audio/mp4", Modality.AUDIO)
    kind = filetype.match(head, matchers=_MATCHERS)
    if kind is None:
        # In an encoding of long ago it is a text all the same; the Bento says what to do about it.
        return (
            Sniffed(TEXT_TYPE, Modality.TEXT) if said and b"\0" not in head else Sniffed(UNKNOWN_TYPE, None, readable)
        )
    media_type: str = kind.mime
    group = media_type.partition("/")[0]
    modality = Modality(group) if group in {"image", "video", "audio"} else None
    return Sniffed(media_type, modality, readable)


def _reads(head: bytes) -> bool:
    """Whether a file may be a text in Unicode: its last character may be cut off, but nothing else is wrong."""
    if head.startswith(_WIDE_MARKS):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def settle_modality(sniffed: Sniffed, asked: Modality | None) -> Modality:
    """The modality to judge by: what was asked for, unless the bytes are plainly something else.

    A file of a type that is not recognised goes to the Bento that was asked for, which tries to decode it.

    Raises:
        UnsupportedMediaError: The bytes are of another kind, or of none that is known and nothing was asked for.
    """
    if asked is None:
        if sniffed.modality is None:
            raise UnsupportedMediaError(
                "The file is neither an image, nor a video, nor audio of a known type. "
                "Name a text .txt, or send it as text/plain."
            )
        return sniffed.modality
    if asked is Modality.TEXT and sniffed.readable:
        return asked
    ambiguous = sniffed.media_type in _CONTAINERS and asked is not Modality.IMAGE
    # What only its name says is a text may be anything else that is not recognised.
    if sniffed.modality not in {None, asked, Modality.TEXT} and not ambiguous:
        raise UnsupportedMediaError(f"The file is {sniffed.media_type}, which is not {_ARTICLES[asked]}.")
    return asked


_ARTICLES: Final = {
    Modality.IMAGE: "an image",
    Modality.VIDEO: "a video",
    Modality.AUDIO: "audio",
    Modality.TEXT: "text",
}
