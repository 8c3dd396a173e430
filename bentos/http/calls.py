"""From an HTTP request to a call: its options are read from the headers, its medium from the body or the spool."""

import asyncio
import re
import uuid
from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from starlette.types import Receive

from bentos.contract import (
    HEADER_CALLER,
    HEADER_DEADLINE_MS,
    HEADER_MODEL,
    HEADER_PROGRESS,
    HEADER_REFERENCE,
    HEADER_REQUEST_ID,
    HEADER_THUMBNAIL,
    Modality,
    Timings,
)
from bentos.deadline import Deadline
from bentos.errors import (
    DeadlineExceededError,
    EmptyMediaError,
    InvalidOptionError,
    MediaTooLargeError,
    OverloadedError,
)
from bentos.http.spool import open_nameless, open_reference, path_of
from bentos.laps import Laps
from bentos.progress import Course
from bentos.settings import BentoSettings

Medium = bytes | Path
"""The bytes of a medium, or the path of a file that is open as long as the call lasts."""

MEMORY_BYTES: Final = 1024 * 1024
"""A body larger than this is held on disk, so that many large uploads at once do not fill the memory."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class ClientGoneError(Exception):
    """The caller hung up before the call was over."""


@dataclass(slots=True)
class Thumbnail:
    """Whether the caller wants a small picture of the medium; who decodes it puts the bytes of a JPEG here."""

    wanted: bool = False
    jpeg: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request for a verdict: the medium, the model asked for (None: the default), and until when.

    `caller` stands for whoever asks and decides on which side of a canary's share the call falls. `long`: the medium
    may be as long as that of a job. `prepared` are the decodings that models of this call share; where it is `sealed`,
    nothing else of the medium is decoded any more.
    """

    medium: Medium
    model: str | None
    deadline: Deadline
    request_id: str
    caller: str
    laps: Laps = field(default_factory=Laps)
    thumbnail: Thumbnail = field(default_factory=Thumbnail)
    long: bool = False
    course: Course = field(default_factory=Course)
    prepared: dict[Hashable, asyncio.Future[Any]] = field(default_factory=dict[Hashable, asyncio.Future[Any]])
    sealed: bool = False

    def timings(self) -> Timings:
        """Return how long the steps took, and the call until now."""
        return Timings(
            queue_ms=round(self.laps.queue_ms, 3),
            decode_ms=round(self.laps.decode_ms, 3),
            faces_ms=round(self.laps.faces_ms, 3),
            inference_ms=round(self.laps.inference_ms, 3),
            total_ms=round(self.deadline.elapsed_ms(), 3),
        )


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a request by lower-case name; of a repeated one the last counts."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, raw: list[tuple[bytes, bytes]]) -> Self:
        """Read the header list of an ASGI scope."""
        return cls({name.decode("latin-1"): value.decode("latin-1") for name, value in raw})

    @property
    def request_id(self) -> str:
        """The caller's request id where it is a harmless one, else a new one."""
        given = self.values.get(HEADER_REQUEST_ID, "")
        return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    @property
    def caller(self) -> str | None:
        """Who asks, as the gateway tells it. Raises `InvalidOptionError` where it is not a harmless name."""
        given = self.values.get(HEADER_CALLER)
        if given is not None and not _REQUEST_ID.fullmatch(given):
            raise InvalidOptionError(f"{HEADER_CALLER} is not the name of a caller.")
        return given

    @property
    def model(self) -> str | None:
        """The model that is asked for. Raises `InvalidOptionError` where it is not a name."""
        given = self.values.get(HEADER_MODEL)
        if given is not None and not _MODEL_NAME.fullmatch(given):
            raise InvalidOptionError(f"{HEADER_MODEL} is not the name of a model.")
        return given

    def deadline(self, longest_s: float) -> Deadline:
        """Return when to give up: as the caller says, no later than `longest_s` from now.

        Raises:
            InvalidOptionError: The header is not a number of milliseconds above 0.
        """
        given = self.values.get(HEADER_DEADLINE_MS)
        if given is None:
            return Deadline.after(longest_s)
        # Ten digits are 115 days: more cannot be meant, and int() takes time on thousands.
        if not re.fullmatch(r"0*[1-9][0-9]{0,9}", given, re.ASCII):
            raise InvalidOptionError(f"{HEADER_DEADLINE_MS} is not a number of milliseconds.")
        return Deadline.after(min(int(given) / 1000, longest_s))

    @property
    def thumbnail(self) -> bool:
        """Whether a thumbnail is asked for. Raises `InvalidOptionError` where the header is not 1."""
        return self._flag(HEADER_THUMBNAIL)

    @property
    def progress(self) -> bool:
        """Whether the caller wants to be told how far it is. Raises `InvalidOptionError` where the header is not 1."""
        return self._flag(HEADER_PROGRESS)

    @property
    def content_length(self) -> int | None:
        """The announced length of the body in bytes, if there is one."""
        given = self.values.get("content-length", "")
        return int(given) if re.fullmatch(r"[0-9]{1,18}", given, re.ASCII) else None

    def _flag(self, name: str) -> bool:
        given = self.values.get(name)
        if given not in {None, "1"}:
            raise InvalidOptionError(f"{name} can only be 1.")
        return given is not None


@asynccontextmanager
async def open_call(
    headers: Headers, receive: Receive, *, request_id: str, modality: Modality, settings: BentoSettings
) -> AsyncGenerator[Call]:
    """Read a request into a call, whose medium can be read until the context ends.

    Raises:
        InvalidOptionError: A header is malformed.
        BadReferenceError: The reference is not one that the gateway minted for a medium that is there.
        EmptyMediaError: Neither a body nor a reference was sent.
        MediaTooLargeError: The medium is larger than the limit of its kind.
        OverloadedError: There is no room on disk for the body.
        DeadlineExceededError: The body did not come in time.
        ClientGoneError: The caller hung up while sending.
    """
    model, thumbnail = headers.model, Thumbnail(wanted=headers.thumbnail)
    course = Course(wanted=headers.progress, unit="seconds" if modality is Modality.AUDIO else "frames")
    deadline = headers.deadline(settings.deadline_s(modality))
    long = False
    async with AsyncExitStack() as stack:
        reference = headers.values.get(HEADER_REFERENCE)
        if reference is not None:
            key = settings.reference_key.get_secret_value()
            opened = stack.enter_context(open_reference(reference, key=key, folder=settings.spool_folder))
            medium: Medium = opened.path
            long = opened.reference.long
            if opened.reference.size > settings.max_bytes(modality, long=long):
                raise MediaTooLargeError
            deadline = headers.deadline(settings.deadline_s(modality, long=long and course.wanted))
        else:
            body = Body(max_bytes=settings.max_bytes(modality), folder=settings.spool_folder)
            stack.callback(body.close)
            medium = await body.read(receive, headers.content_length, deadline)
        yield Call(
            medium=medium,
            model=model,
            deadline=deadline,
            request_id=request_id,
            caller=headers.caller or request_id,
            thumbnail=thumbnail,
            long=long,
            course=course,
        )


class Body:
    """The body of one request: in memory while it is small, then in a nameless file."""

    def __init__(self, *, max_bytes: int, folder: Path) -> None:
        self._max_bytes = max_bytes
        self._folder = folder
        self._chunks: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    async def read(self, receive: Receive, announced: int | None, deadline: Deadline) -> Medium:
        """Read all of it; a body that announces too much is refused before it is read. Errors as in `open_call`."""
        if announced is not None and announced > self._max_bytes:
            raise MediaTooLargeError
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                await self._receive_all(receive)
        except TimeoutError as error:
            raise DeadlineExceededError from error
        except OSError as error:
            raise OverloadedError("There is no room for the upload; try again shortly.") from error
        if self._size == 0:
            raise EmptyMediaError
        return b"".join(self._chunks) if self._file is None else path_of(self._file.fileno())

    def close(self) -> None:
        """Let go of the file, if there is one."""
        if self._file is not None:
            self._file.close()

    async def _receive_all(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            self._keep(message.get("body", b""))
            if not message.get("more_body", False):
                return

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise MediaTooLargeError
        self._chunks.append(chunk)
        if self._size <= MEMORY_BYTES:
            return
        if self._file is None:
            self._file = open_nameless(self._folder)
        for kept in self._chunks:
            _write_all(self._file, kept)
        self._chunks.clear()


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, which may take less than it is given."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
