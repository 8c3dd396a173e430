"""A text's bytes → passages. Runs in a decoding process.

The text is judged as it was sent: nothing is normalised, because tokenisers do that each in a way of their own, and so
that every offset is one of the sender's own characters. Only control characters become spaces, one for one.
"""

import codecs
import re
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Final

from bentos.contract import Reason
from bentos.errors import EmptyMediaError, UnreadableMediaError, UnsupportedMediaError
from bentos.media.options import TextOptions
from bentos.media.prepared import PreparedText
from bentos.sampling import pick_passages

FEWEST_CHARACTERS: Final = 100
"""Written characters below which there is no verdict: a sentence or two can come from anybody."""

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Byte order marks and what they announce; UTF-32 is not told from them."""
_CONTROL: Final = re.compile(r"[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_UNWRITTEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"})
"""Categories of characters that show nothing by themselves. Many tokenisers make no token of them, so that no model
could judge a passage of nothing else: space of no width, marks of direction, accents without a letter."""
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def prepare_text(medium: bytes | Path, options: TextOptions) -> PreparedText:
    """Decode a text and cut it into passages.

    Raises:
        EmptyMediaError: There are no bytes, or only white space and characters that show nothing by themselves.
        UnsupportedMediaError: The bytes are no text, but something binary.
        UnreadableMediaError: The text is neither UTF-8 nor UTF-16 with a byte order mark, or is damaged.
    """
    started = time.perf_counter()
    text, encoding = decode_text(medium.read_bytes() if isinstance(medium, Path) else medium)
    solid = written(text)
    if not solid:
        raise EmptyMediaError("There is nothing but white space in the text, or what shows nothing by itself.")
    spans, wanted = pick_passages(text, characters=options.characters, most=options.most_passages, holds=written)
    return PreparedText(
        passages=tuple(text[start:end] for start, end in spans),
        spans=spans,
        characters=len(text),
        words=len(text.split()),
        encoding=encoding,
        too_short=solid < FEWEST_CHARACTERS,
        reasons=_reasons(solid),
        unscored=_unscored(len(spans), wanted),
        decode_ms=(time.perf_counter() - started) * 1000,
    )


def decode_text(data: bytes) -> tuple[str, str]:
    """Decode to a text without control characters other than white space, and say the encoding. Raises as above."""
    if not data:
        raise EmptyMediaError
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in data[:1024] and not mark:
            raise UnsupportedMediaError("The file is not a text.") from error
        raise UnreadableMediaError(
            "The text is not valid UTF-8; send it as UTF-8, or as UTF-16 with a mark."
        ) from error
    if "\0" in text:
        raise UnsupportedMediaError("The file is not a text: it holds zero bytes.")
    return _CONTROL.sub(" ", text), encoding


def written(text: str) -> int:
    """Count the characters that show something by themselves."""
    return sum(
        count
        for character, count in Counter(text).items()
        if character != _REPLACEMENT and unicodedata.category(character) not in _UNWRITTEN
    )


def _reasons(solid: int) -> tuple[Reason, ...]:
    if solid >= FEWEST_CHARACTERS:
        return ()
    message = f"The text has {solid} characters; below {FEWEST_CHARACTERS} there is no verdict, whatever its score."
    return (Reason(code="text_too_short", message=message),)


def _unscored(picked: int, wanted: int) -> tuple[Reason, ...]:
    if picked == wanted:
        return ()
    message = f"Only {picked} of {wanted} passages, spread evenly over the text, were judged."
    return (Reason(code="passages_left_out", message=message),)
