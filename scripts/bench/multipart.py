"""HTTP/1.1 requests with one multipart file, encoded once and sent many times, and just enough parsing of answers.

The load generator shares two cores with what it measures, so it must cost next to nothing: no client library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

HEADER_END: Final = b"\r\n\r\n"


class MalformedAnswerError(Exception):
    """The answer is not HTTP/1.1 with a Content-Length."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of one answer."""

    status: int
    body: bytes


def encode_file(field: str, filename: str, content: bytes, *, media_type: str, boundary: str) -> bytes:
    """A multipart/form-data body with one file (RFC 7578).

    Raises:
        ValueError: The boundary occurs in the content, or a name would need escaping.
    """
    if boundary.encode() in content:
        raise ValueError("the boundary occurs in the file")
    if any(character in field + filename for character in '"\r\n'):
        raise ValueError("quotes and line ends in names are not supported")
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def encode_post(path: str, host: str, body: bytes, *, boundary: str, headers: Mapping[str, str]) -> bytes:
    """A whole POST request with a multipart body, for a connection that is kept alive."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + HEADER_END + body


def read_answer(buffer: bytes | bytearray) -> tuple[Answer, int] | None:
    """The first answer in the buffer and the bytes it takes, or None while it is incomplete.

    Raises:
        MalformedAnswerError: It is not HTTP/1.1, or has no Content-Length.
    """
    end = buffer.find(HEADER_END)
    if end < 0:
        return None
    status_line, *fields = bytes(buffer[:end]).split(b"\r\n")
    parts = status_line.split(b" ", 2)
    if not parts[0].startswith(b"HTTP/1.1") or len(parts) < 2:  # noqa: PLR2004 - version and status
        raise MalformedAnswerError(status_line[:80].decode("latin-1"))
    lengths = [
        value for name, _, value in (field.partition(b":") for field in fields) if name.lower() == b"content-length"
    ]
    if len(lengths) != 1:
        raise MalformedAnswerError("no single Content-Length")
    start = end + len(HEADER_END)
    stop = start + int(lengths[0])
    if len(buffer) < stop:
        return None
    return Answer(int(parts[1]), bytes(buffer[start:stop])), stop
