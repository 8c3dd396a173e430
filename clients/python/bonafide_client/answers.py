"""Reads what came back: the value that a good answer holds, or the error that any other one means. No I/O."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

import msgspec

from bonafide_client.errors import ApiError, InvalidField, MalformedAnswerError, NoAnswerError, error_class

T = TypeVar("T")
REQUEST_ID: Final = "x-request-id"
_DETAIL_CHARS: Final = 300


@dataclass(frozen=True)
class Answer:
    """A complete answer; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        """Whether what was asked for was done."""
        return self.status // 100 == HTTPStatus.OK // 100


@dataclass(frozen=True)
class NoAnswer:
    """Nothing usable came back. `begun`: whether the request may have reached the API nevertheless."""

    error: NoAnswerError
    begun: bool
    cause: Exception | None = None


def reader_of(kind: type[T]) -> Callable[[Answer], T]:
    """What reads an answer's JSON as `kind`, ignoring what it does not know. The reader raises MalformedAnswerError."""
    decoder = msgspec.json.Decoder(kind)

    def read(answer: Answer) -> T:
        try:
            return decoder.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed(answer, str(error)) from error

    return read


def read_nothing(answer: Answer) -> None:
    """For calls whose good answer has no content."""
    del answer


def malformed(answer: Answer, why: str) -> MalformedAnswerError:
    """The error for an answer with a good status and a body that cannot be read."""
    return MalformedAnswerError(
        f"The answer is not one that this API gives: {why}",
        status=answer.status,
        request_id=answer.headers.get(REQUEST_ID),
    )


def error_of(answer: Answer) -> ApiError:
    """What a refusal means: from its problem document (RFC 9457) as far as it has one, else from the status alone."""
    problem = _object(answer.body)
    code = _text(problem.get("code")) or f"http_{answer.status}"
    detail = _text(problem.get("detail")) or _text(problem.get("title")) or _phrase(answer.status)
    return error_class(answer.status, code)(
        status=answer.status,
        code=code,
        detail=detail,
        request_id=_text(problem.get("request_id")) or answer.headers.get(REQUEST_ID),
        retry_after=read_retry_after(answer.headers),
        errors=tuple(_fields(problem.get("errors"))),
    )


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `Retry-After`, given as seconds or as an HTTP date; None where it is missing or senseless.

    A date is compared with the answer's own `Date`, so that clocks which differ do no harm.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    at = _moment(value)
    if at is None:
        return None
    now = _moment(headers.get("date", ""))
    return max(0.0, at - (time.time() if now is None else now))


def _moment(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def _text(value: object) -> str:
    return value[:_DETAIL_CHARS] if isinstance(value, str) else ""


def _fields(value: object) -> list[InvalidField]:
    if not isinstance(value, list):
        return []
    entries = [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]
    return [InvalidField(_text(one.get("field")), _text(one.get("message"))) for one in entries]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The API answered with a status that nobody knows."
