"""The form that an upload comes as: the request's body, piece by piece, and what has been read of it so far."""

import asyncio
import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import PurePosixPath
from typing import Any, Final, cast

from litestar.types import Receive

from bentos.contract import Modality
from gateway.detections.media import MediaWriter
from gateway.detections.sniffing import Sniffed
from gateway.errors import ClientGoneError, InvalidBodyError, MissingFileError, RequestError
from gateway.settings import MEDIA_MODALITIES, MIB

_FIELDS: Final = ("model", "modality")
_FIELD_BYTES: Final = 1024
_IGNORED_BYTES: Final = MIB
_FILENAME_LENGTH: Final = 255
_DRAIN_BYTES: Final = 32 * MIB
_DRAIN_S: Final = 5.0
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


@dataclass(slots=True)
class Form:
    """What has been read of a multipart form so far; unknown parts are read over, within a bound."""

    writer: MediaWriter
    modality: Modality | None
    fixed_modality: bool
    model: str | None = None
    filename: str | None = None
    head: bytes = b""
    sniffed: Sniffed | None = None
    part: str = ""
    field: bytearray = dataclass_field(default_factory=bytearray)
    ignored: int = 0

    @property
    def in_file(self) -> bool:
        """Whether what comes next belongs to the file."""
        return self.part == "file"

    def begin(self, name: str, filename: str | None) -> None:
        """A part begins."""
        self.part = name
        self.field = bytearray()
        if name == "file":
            if self.filename is not None:
                raise InvalidBodyError("Send one file per request.")
            self.filename = clean_filename(filename or "")

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
        value = self.field.decode()
        if self.part == "model" and value:
            if not _MODEL_NAME.fullmatch(value):
                raise RequestError("The name of the model is not valid.", code="invalid_model")
            self.model = value
        elif self.part == "modality" and value and not self.fixed_modality:
            if value not in MEDIA_MODALITIES:
                raise RequestError("The modality must be image, video or audio.", code="invalid_modality")
            self.modality = Modality(value)


def clean_filename(filename: str) -> str:
    """The last part of a name, without control characters, never empty."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:_FILENAME_LENGTH] or "upload"
