"""A text as the whole body of a call: as it is, or within a JSON document that says more of it."""

from typing import Annotated, Final

import msgspec

from gateway.detections.forms import (
    REFERENCE_LENGTH,
    TAG_LENGTH,
    TAGS,
    Form,
    read_client_reference,
    read_tags,
)
from gateway.detections.sniffing import TEXT_TYPE
from gateway.errors import InvalidBodyError, UnsupportedMediaError

JSON_TYPE: Final = "application/json"
FILENAME: Final = "text.txt"
"""What a text is called that came without a name."""

_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "utf-16"})

Tag = Annotated[str, msgspec.Meta(max_length=TAG_LENGTH)]


class NewText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text to be judged, and what the fields of a form say beside a file."""

    text: str
    filename: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    model: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    client_reference: Annotated[str, msgspec.Meta(max_length=REFERENCE_LENGTH)] | None = None
    tags: Annotated[tuple[Tag, ...], msgspec.Meta(max_length=TAGS)] = ()
    reuse: bool = False
    store: bool | None = None


_DECODER = msgspec.json.Decoder(NewText)


def is_text_body(kind: str) -> bool:
    """Whether a body of this media type is a text to be judged, or says one."""
    return kind in {TEXT_TYPE, JSON_TYPE}


def check_charset(charset: str | None) -> None:
    """Pass for a text in Unicode. Raises UnsupportedMediaError."""
    if charset is not None and charset.lower() not in _CHARSETS:
        raise UnsupportedMediaError(f"The text is announced as {charset[:40]!r}; send it as UTF-8.")


def read_new_text(document: bytes, form: Form) -> bytes:
    """The text of a JSON document, in UTF-8; what else the document says goes into the form.

    Raises:
        RequestError: The document is not one that holds a text.
    """
    try:
        asked = _DECODER.decode(document)
        text = asked.text.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f'The body is not a text in JSON, such as {{"text": "…"}}: {error}.'
        raise InvalidBodyError(message) from error
    if asked.model is not None:
        form.model = form.models.read(asked.model)
    if asked.client_reference is not None:
        form.client_reference = read_client_reference(asked.client_reference)
    if asked.filename is not None:
        form.name(asked.filename)
    form.tags = read_tags(asked.tags)
    form.reuse = asked.reuse
    form.keep = asked.store
    return text
