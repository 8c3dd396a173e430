"""The form that an upload comes as: the request's body, piece by piece, and what has been read of it so far."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import PurePosixPath
from typing import Any, Final, cast

from litestar.types import Receive

from bentos.contract import Modality
from gateway.detections.media import MediaWriter
from gateway.detections.sniffing import Sniffed, sniff
from gateway.errors import ClientGoneError, InvalidBodyError, MissingFileError, RequestError
from gateway.settings import MEDIA_MODALITIES, MIB

_FIELDS: Final = ("model", "modality", "client_reference", "tag", "tags", "reuse", "store")
_FIELD_BYTES: Final = 1024
_IGNORED_BYTES: Final = MIB
_FILENAME_LENGTH: Final = 255
_DRAIN_BYTES: Final = 32 * MIB
_DRAIN_S: Final = 5.0
TAGS: Final = 16
TAG_LENGTH: Final = 64
REFERENCE_LENGTH: Final = 255
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class RequestBody:
    """The body of a request, read chunk by chunk from the server."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = False

    async def next(self) -> bytes:
        """The next chunk, perhaps empty.

        Raises:
            ClientGoneError: The client hung up before the end.
        """
        message = cast("dict[str, Any]", await self._receive())
        if message["type"] == "http.disconnect":
            self.complete = True
            raise ClientGoneError
        self.complete = not message.get("more_body", False)
        return message.get("body", b"")

    async def drain(self) -> None:
        """Read on and throw away, within bounds: many clients read a refusal only once they have sent everything."""
        drained = 0
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self.complete and drained < _DRAIN_BYTES:
                    drained += len(await self.next())
        except (TimeoutError, ClientGoneError):
            return


def read_model_name(value: str) -> str:
    """The name of a model that was asked for. Raises RequestError where no model can have it."""
    if not _MODEL_NAME.fullmatch(value):
        raise RequestError("The name of the model is not valid.", code="invalid_model")
    return value


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """`default` judges where the call names no model, else what `read` makes of the name; None is the Bento's own."""

    default: str | None = None
    read: Callable[[str], str | None] = read_model_name


ANY_MODEL: Final = ModelChoice()
"""Whatever the call names, and the Bento's own where it names none."""


@dataclass(slots=True)
class Form:
    """What has been read of a multipart form so far; unknown parts are read over, within a bound."""

    writer: MediaWriter
    file_field: str
    modality: Modality | None
    fixed_modality: bool
    models: ModelChoice = ANY_MODEL
    model: str | None = None
    client_reference: str | None = None
    tags: list[str] = dataclass_field(default_factory=list)
    reuse: bool = False
    keep: bool | None = None
    filename: str | None = None
    announced: str = ""
    head: bytes = b""
    sniffed: Sniffed | None = None
    part: str = ""
    field: bytearray = dataclass_field(default_factory=bytearray)
    ignored: int = 0

    @property
    def in_file(self) -> bool:
        """Whether what comes next belongs to the file."""
        return self.part == self.file_field

    def begin(self, name: str, filename: str | None, announced: str = "") -> None:
        """A part begins, which says to be of the media type `announced`."""
        self.part = name
        self.field = bytearray()
        if name == self.file_field:
            if self.filename is not None:
                raise InvalidBodyError("Send one file per request.")
            self.name(filename or "")
            self.announced = announced.lower()

    def name(self, filename: str) -> None:
        """Call the file so, as far as a file can be."""
        self.filename = clean_filename(filename)

    def add(self, chunk: bytes) -> None:
        """A piece of a part that is not the file."""
        if self.part not in _FIELDS:
            self.ignored += len(chunk)
            if self.ignored > _IGNORED_BYTES:
                raise MissingFileError if self.filename is None else InvalidBodyError
            return
        self.field += chunk
        if len(self.field) > _FIELD_BYTES:
            raise InvalidBodyError(f"The field `{self.part}` is too long.")

    def end(self) -> None:
        """The part is complete."""
        if self.part not in _FIELDS:
            return
        try:
            value = self.field.decode().strip()
        except UnicodeDecodeError as error:
            raise InvalidBodyError(f"The field `{self.part}` is not UTF-8.") from error
        if value:
            self._set(value)

    def sniff(self) -> Sniffed:
        """What the file is, as far as has been read."""
        return self.sniffed or sniff(self.head, name=self.filename or "", announced=self.announced)

    def _set(self, value: str) -> None:
        match self.part:
            case "model":
                self.model = self.models.read(value)
            case "modality" if not self.fixed_modality:
                if value not in MEDIA_MODALITIES:
                    raise RequestError("The modality must be image, video, audio or text.", code="invalid_modality")
                self.modality = Modality(value)
            case "client_reference":
                self.client_reference = read_client_reference(value)
            case "tag":
                self.tags = read_tags([*self.tags, value])
            case "tags":
                self.tags = read_tags([*self.tags, *value.split(",")])
            case "reuse":
                self.reuse = read_choice(value, "reuse")
            case "store":
                self.keep = read_choice(value, "store")
            case _:
                return


def read_choice(value: str, field: str) -> bool:
    """Yes or no. Raises InvalidBodyError where it is neither."""
    if value not in ("true", "false"):
        raise InvalidBodyError(f"The field `{field}` must be true or false.")
    return value == "true"


def read_label(value: str, field: str, longest: int) -> str:
    """A text of the client's own. Raises InvalidBodyError where it is too long or cannot be printed."""
    if len(value) > longest or not value.isprintable():
        raise InvalidBodyError(f"The field `{field}` must be printable and have at most {longest} characters.")
    return value


def read_client_reference(value: str) -> str:
    """A reference of the client's own. Raises InvalidBodyError where it is too long or cannot be printed."""
    return read_label(value, "client_reference", REFERENCE_LENGTH)


def read_tags(values: Sequence[str]) -> list[str]:
    """Tags without repetition, in the order given. Raises InvalidBodyError where there are too many or one is bad."""
    tags = list(dict.fromkeys(read_label(value.strip(), "tags", TAG_LENGTH) for value in values if value.strip()))
    if len(tags) > TAGS:
        raise InvalidBodyError(f"At most {TAGS} tags are kept.")
    return tags


def clean_filename(filename: str) -> str:
    """The last part of a name, without control characters, never empty."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:_FILENAME_LENGTH] or "upload"
