"""What both drivers have in common: how a call looks as an HTTP request, and what httpx's exceptions mean."""

import math
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import httpx
import msgspec

from bonafide_client.answers import Answer, NoAnswer
from bonafide_client.errors import CallTimeoutError, ConnectionLostError, NoAnswerError, UnreachableError
from bonafide_client.steps import Context, Send

USER_AGENT: Final = (
    f"bonafide-client/{version('bonafide-client')} python/{platform.python_version()} httpx/{httpx.__version__}"
)
LARGEST_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""More is not read of an answer that is not a stream."""
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True)
class OpenAnswer(Answer):
    """A good answer whose body has not been read yet."""

    response: httpx.Response


def request_arguments(send: Send, context: Context) -> dict[str, Any]:
    """The arguments of httpx's `build_request` but for the form of an upload, whose kind is the driver's."""
    call, left = send.call, send.left
    headers = {"accept": "application/json, */*;q=0.5", "user-agent": context.user_agent}
    if send.bearer:
        headers["authorization"] = f"Bearer {send.bearer}"
    if call.idempotency_key:
        headers["idempotency-key"] = call.idempotency_key
    arguments: dict[str, Any] = {}
    answer = context.timeouts.answer
    if call.upload is not None:
        headers |= call.upload.headers
        answer = context.timeouts.verdict
    elif call.json is not None:
        headers["content-type"] = "application/json"
        arguments["content"] = msgspec.json.encode(call.json)
    timeouts = (context.timeouts.connect, answer, context.timeouts.send, left)
    connect, read, write, pool = (None if math.isinf(shortest := min(one, left)) else shortest for one in timeouts)
    return {
        "method": call.method,
        "url": call.url or context.base_url + call.path,
        # httpx takes an empty list for a wish to drop the query.
        "params": list(call.query) or None,
        "headers": headers,
        "timeout": httpx.Timeout(connect=connect, read=read, write=write, pool=pool),
        **arguments,
    }


def shorten_wait(request: httpx.Request, send: Send) -> None:
    """Once a form is sent: let the wait for its answer end with the call's time, which the sending has used up part of.

    httpcore looks at the request's time-outs when each phase begins.
    """
    timeouts: dict[str, Any] = request.extensions["timeout"]
    timeouts["read"] = min(timeouts["read"] or math.inf, send.left)


def heads_of(response: httpx.Response) -> Mapping[str, str]:
    """The headers of a response by their names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


def check_progress(send: Send, received: int) -> None:
    """Raise httpx's own exception where reading on would take too long or too much memory."""
    if time.monotonic() > send.deadline:
        raise httpx.ReadTimeout("The call took longer than it may.")
    if received > LARGEST_ANSWER_BYTES:
        raise httpx.ReadError("The answer is larger than any that the API gives.")


def no_answer(error: httpx.RequestError) -> NoAnswer:
    """What it means that httpx got no response."""
    return NoAnswer(error_for(error), begun=not isinstance(error, _NEVER_SENT), cause=error)


def error_for(error: httpx.RequestError) -> NoAnswerError:
    """The error of ours for one of httpx."""
    if isinstance(error, httpx.TimeoutException):
        return CallTimeoutError()
    if isinstance(error, _NEVER_SENT):
        return UnreachableError(f"Nothing answers at this address: {error}")
    return ConnectionLostError(f"The connection broke before the answer was complete: {error or type(error).__name__}")


def checked_url(url: str) -> str:
    """The address of a platform without a slash at its end. Raises ValueError where it is none."""
    parsed = httpx.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{url!r} is no address of a platform; one looks like https://bonafide.example.org")
    return url.rstrip("/")
