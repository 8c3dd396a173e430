"""How errors look: one renderer per contract over the one tree of `errors`.

`/v1` answers problem documents (RFC 9457); every other path the one body that all clients of the older contracts can
read. What was not foreseen is logged with its traceback and answered as an `internal_error` that tells nothing.
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec
import psycopg
import sqlalchemy.exc
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from litestar.types import Scope

from gateway.errors import (
    DatabaseUnavailableError,
    FailureError,
    GatewayError,
    IdempotencyInProgressError,
    InvalidBodyError,
    InvalidItemsError,
    MediaTooLargeError,
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
)

PROBLEM_TYPE: Final = "application/problem+json"
_PROBLEM_PATHS: Final = ("/v1/", "/v1")
_DATABASE_AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
)
_COMPAT_STATUS: Final = {409: 400, 415: 400}
"""The older contracts know bad bodies and bad media only as 400."""
_COMPAT_UNCHANGED: Final = (IdempotencyInProgressError,)
"""Only clients that know more than their contract meet these."""

_log = structlog.stdlib.get_logger(__name__)


class InvalidField(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request; `field` is its place, such as "email"."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457); `code` is stable, `request_id` finds it in the logs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: str
    errors: tuple[InvalidField, ...] = ()


class CompatErrorDetail(msgspec.Struct, frozen=True, rename={"request_id": "requestId"}):
    """The error inside a `CompatError`."""

    type: str
    message: str
    code: str
    request_id: str


class CompatError(msgspec.Struct, frozen=True, kw_only=True):
    """The error body of every path outside `/v1`."""

    message: str
    detail: str
    error: CompatErrorDetail
    success: bool = False


def render_error(request: Request[Any, Any, Any], raised: Exception) -> Response[Any]:
    """The answer to a request that ended with an exception."""
    error, fields = _understand(raised)
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(raised, GatewayError):
        _log.error("request_failed", path=request.scope["path"], exc_info=raised)
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="bonafide"'
    request_id = request_id_of(request.scope)
    path = request.scope["path"]
    if is_problem_path(path):
        body = problem(error, fields, path, request_id)
        return Response(body, status_code=error.http_status, headers=headers, media_type=PROBLEM_TYPE)
    status = error.http_status
    if not isinstance(error, _COMPAT_UNCHANGED):
        status = _COMPAT_STATUS.get(status, status)
    body = compat_error(error, fields, request_id)
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def is_problem_path(path: str) -> bool:
    """Whether errors on this path are problem documents."""
    return path.startswith(_PROBLEM_PATHS[0]) or path == _PROBLEM_PATHS[1]


def problem(error: GatewayError, fields: tuple[InvalidField, ...], path: str, request_id: str) -> Problem:
    """An error as `/v1` tells it."""
    return Problem(
        type=f"urn:bonafide:problem:{error.code}",
        title=(type(error).__doc__ or "").strip().partition("\n")[0],
        status=error.http_status,
        detail=error.message,
        code=error.code,
        request_id=request_id,
        instance=path,
        errors=fields,
    )


def compat_error(error: GatewayError, fields: tuple[InvalidField, ...], request_id: str) -> CompatError:
    """An error as every other path tells it."""
    message = "; ".join([error.message, *(f"{one.field}: {one.message}" for one in fields)])
    return CompatError(
        message=message,
        detail=message,
        error=CompatErrorDetail(type=error.kind, message=message, code=error.code, request_id=request_id),
    )


def request_id_of(scope: Scope) -> str:
    """The id that the edge gave this request."""
    return scope["state"].get("request_id", "")


def _understand(raised: Exception) -> tuple[GatewayError, tuple[InvalidField, ...]]:
    """The error of our tree that an exception means, and the fields it names."""
    if isinstance(raised, ValidationException):
        return InvalidBodyError("Some fields are not valid."), _fields(raised.extra)
    if isinstance(raised, InvalidItemsError):
        return raised, tuple(InvalidField(item, message) for item, message in raised.faults)
    return as_gateway_error(raised), ()


def as_gateway_error(raised: Exception) -> GatewayError:
    """The error of our tree that an exception means; what was not foreseen is an `internal_error`."""
    match raised:
        case GatewayError():
            error = raised
        case NotFoundException():
            error = NotFoundError()
        case MethodNotAllowedException():
            error = MethodNotAllowedError(headers=dict(raised.headers or {}))
        case HTTPException(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            error = MediaTooLargeError("The request body is larger than is allowed.", code="body_too_large")
        case HTTPException() if raised.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            error = RequestError(raised.detail, status=raised.status_code)
        case UnicodeDecodeError() if _comes_from_framework(raised):
            error = InvalidBodyError("The body is not UTF-8.")
        case RecursionError() if _comes_from_framework(raised):
            error = InvalidBodyError("The body is nested too deeply.")
        case _ if isinstance(raised, _DATABASE_AWAY):
            error = DatabaseUnavailableError(retry_after_s=2)
        case _:
            error = FailureError(GatewayError().message)
    return error


def _comes_from_framework(raised: Exception) -> bool:
    """Whether the framework raised it, as when it decodes a JSON body that is no UTF-8 or nested without end."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("litestar.")


def _fields(extra: Any) -> tuple[InvalidField, ...]:
    """What Litestar's validation says, field by field."""
    if not isinstance(extra, list):
        return ()
    return tuple(InvalidField(str(one.get("key", "body")), str(one.get("message", ""))) for one in extra)
