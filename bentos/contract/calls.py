"""How a Bento is called over HTTP: paths, headers, errors, and the lines of an answer that takes its time."""

from typing import Final, Literal

import msgspec

from bentos.contract.verdicts import StretchScore, Wire

DETECT_PATH: Final = "/detect"
MODELS_PATH: Final = "/models"
READY_PATH: Final = "/readyz"

HEADER_MODEL: Final = "x-bonafide-model"
"""Name of the model to ask; absent: the default of the modality."""
HEADER_CALLER: Final = "x-bonafide-caller"
"""Who asks, such as an account's id: the same caller stays on the same version of a model. Absent: every call is
a caller of its own."""
HEADER_REFERENCE: Final = "x-bonafide-reference"
"""A signed reference in place of a body."""
HEADER_DEADLINE_MS: Final = "x-bonafide-deadline-ms"
"""Milliseconds that the caller still waits; the Bento gives up no later."""
HEADER_THUMBNAIL: Final = "x-bonafide-thumbnail"
"""In a call, `1` asks for a small picture of a video; in the answer, how many bytes at the end of the body are that
picture, a JPEG. They follow the JSON of the `Detection`, which so can be kept as it came. Absent: there is none."""
HEADER_PROGRESS: Final = "x-bonafide-progress"
"""In a call, `1` asks to be told how far it is: a call that lasts is then answered with lines, see `Line`.
Only such a call may take as long as those of jobs."""
HEADER_REQUEST_ID: Final = "x-request-id"

LINES: Final = "application/x-ndjson"
"""Type of an answer in lines. What was decided before there was anything to tell is answered as without the header."""
HEARTBEAT_S: Final = 5.0
"""Seconds after which a line comes at the latest, also where there is nothing new to tell."""

THUMBNAIL_SIDE: Final = 320
"""Longer side of a thumbnail in pixels, at most."""
THUMBNAIL_BYTES: Final = 20_000
"""Bytes of a thumbnail, at most."""


class ErrorBody(Wire, frozen=True):
    """Answer of a Bento that could not give a verdict: a stable code and a sentence for the person who sent it."""

    code: str
    message: str


ProgressUnit = Literal["frames", "seconds"]


class Progress(Wire, frozen=True):
    """How far a call is: `done` of `total` frames of a video or seconds of a sound; `total` is 0 while it is not known.

    `elapsed_s` counts from the start of the call; `remaining_s` is an estimate, null while there is nothing to judge it
    by. `scores` are those of what was judged since the line before.
    """

    done: float
    total: float
    unit: ProgressUnit
    elapsed_s: float
    remaining_s: float | None
    scores: tuple[StretchScore, ...]


class ProgressLine(Wire, frozen=True, tag_field="line", tag="progress"):
    """How far the call is; at most two a second, and one every `HEARTBEAT_S` seconds at least."""

    progress: Progress


class VerdictLine(Wire, frozen=True, tag_field="line", tag="verdict"):
    """The last line of a call that succeeded: the JSON of its `Detection`, and the JPEG that was asked for."""

    detection: msgspec.Raw
    thumbnail: bytes | None


class FailureLine(Wire, frozen=True, tag_field="line", tag="failure"):
    """The last line of a call that failed: what the answer would have been if it had not begun already."""

    status: int
    error: ErrorBody
    retry_after_s: int | None


Line = ProgressLine | VerdictLine | FailureLine
"""One line of an answer of the type `LINES`; the last one, and only that, is a verdict or a failure."""
