"""Asks for a verdict on one source, and puts whatever comes of it into words for a terminal."""

from dataclasses import dataclass
from typing import Final

from bonafide_client import (
    ApiError,
    AsyncBonafide,
    BonafideError,
    CallTimeoutError,
    Detection,
    MalformedAnswerError,
    UnreachableError,
)
from bonafide_client.schemas.detections import Modality
from scripts.detect.sources import Source

UNREACHABLE: Final = "unreachable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one source: the gateway's answer, or a code and a sentence saying why there is none."""

    source: Source
    detection: Detection | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to send media, as whom, and what is asked for; `timeout_s` bounds a file with all its attempts."""

    url: str
    key: str
    modality: Modality | None = None
    model: str | None = None
    timeout_s: float = 300.0


async def detect(client: AsyncBonafide, source: Source, options: Options) -> Outcome:
    """Ask for a verdict on one source; never raises for what the file, the network or the gateway does."""
    try:
        detection = await client.detections.create(
            source.file, filename=source.filename, modality=options.modality, model=options.model
        )
    except BonafideError as error:
        code, message = _in_words(error, options)
        return Outcome(source, code=code, message=message)
    except OSError as error:
        return Outcome(source, code="unreadable_file", message=error.strerror or str(error))
    return Outcome(source, detection=detection)


def _in_words(error: BonafideError, options: Options) -> tuple[str, str]:
    match error:
        case ApiError():
            return error.code, error.detail
        case CallTimeoutError():
            return "timeout", f"no answer within {options.timeout_s:.0f} s"
        case UnreachableError():
            return UNREACHABLE, f"nothing answers at {options.url}; is `bonafide up` running?"
        case MalformedAnswerError():
            return "malformed_answer", str(error)
        case _:
            return "connection_failed", str(error)
