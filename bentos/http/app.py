"""The HTTP surface of a Bento beside BentoML's own paths: `POST /detect`, `GET /models…`, `GET /metrics`.

It is a plain ASGI application, because BentoML's own endpoints write uploads to temporary files and fetch URLs that
they find in bodies, and because everything here happens once per request.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

import structlog
from starlette.types import Receive, Scope, Send

from bentos.contract import (
    DETECT_PATH,
    FIGURES_PATH,
    MODELS_PATH,
    Detection,
    Figures,
    Modality,
    ModelDetails,
    ModelList,
)
from bentos.deadline import Deadline
from bentos.errors import DetectionError, OverloadedError, RequestError
from bentos.http.calls import Call, ClientGoneError, Headers, open_call
from bentos.http.hangup import unless_hung_up
from bentos.http.lines import LinedAnswer
from bentos.http.responses import send_bytes, send_detection, send_error, send_json
from bentos.metrics import CONTENT_TYPE, DetectionMetrics
from bentos.settings import BentoSettings

METRICS_PATH: Final = "/metrics"

_MODELS_DEADLINE_S: Final = 5.0
_STATUS_CLIENT_GONE: Final = 499

_log = structlog.stdlib.get_logger(__name__)


class Detecting(Protocol):
    """What this surface needs of a detector."""

    async def detect(self, call: Call) -> Detection:
        """Give a verdict."""
        ...

    async def list_models(self, deadline: Deadline) -> ModelList:
        """Say what is served."""
        ...

    async def describe_model(self, name: str, deadline: Deadline) -> ModelDetails:
        """Say everything of one model."""
        ...

    def figures(self) -> Figures:
        """Say what was counted of each version."""
        ...


class NotFoundError(RequestError):
    """There is nothing at this path."""

    code = "not_found"
    status = 404


class MethodNotAllowedError(RequestError):
    """This path does not answer that method."""

    code = "method_not_allowed"
    status = 405


class InternalError(DetectionError):
    """Something went wrong in the service; its log says what, under this request's id."""

    code = "internal_error"


Handler = Callable[[Headers, str, Receive, Send], Awaitable[None]]


class DetectionApp:
    """Answers for one detector, whose resources are open."""

    def __init__(self, modality: Modality, detector: Detecting, settings: BentoSettings) -> None:
        self._modality = modality
        self._detector = detector
        self._settings = settings
        self._metrics = DetectionMetrics(modality, detector.figures)
        self._in_flight = 0
        self._handlers: Mapping[str, tuple[str, Handler]] = {
            DETECT_PATH: ("POST", self._detect),
            MODELS_PATH: ("GET", self._models),
            FIGURES_PATH: ("GET", self._figures),
            METRICS_PATH: ("GET", self._render_metrics),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with an `ErrorBody` whatever goes wrong."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        headers = Headers.of(scope["headers"])
        request_id = headers.request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._handler(scope)(headers, request_id, receive, send)
        except ClientGoneError:
            self._metrics.count("client_gone")
            # Nobody reads this, but BentoML's time-out middleware waits until something was sent.
            await send_bytes(send, _STATUS_CLIENT_GONE, b"", b"text/plain")
        except Exception as error:  # noqa: BLE001  # The last resort: nothing of it may reach the caller.
            await send_error(send, self._explain(error, scope["path"]), request_id=request_id)

    def _handler(self, scope: Scope) -> Handler:
        """Return what answers this path and method. Raises `NotFoundError` or `MethodNotAllowedError`."""
        path: str = scope["path"]
        if path not in self._handlers:
            if not path.startswith(f"{MODELS_PATH}/"):
                raise NotFoundError
            name = path.removeprefix(f"{MODELS_PATH}/")
            method, handler = "GET", partial(self._model, name)
        else:
            method, handler = self._handlers[path]
        if scope["method"] != method:
            raise MethodNotAllowedError
        return handler

    async def _detect(self, headers: Headers, request_id: str, receive: Receive, send: Send) -> None:
        if self._in_flight >= self._settings.bento_max_calls:
            raise OverloadedError
        self._enter(+1)
        answer = LinedAnswer(send, request_id)
        try:
            async with open_call(
                headers, receive, request_id=request_id, modality=self._modality, settings=self._settings
            ) as call:
                detection = await self._judge(call, answer, receive)
        finally:
            self._enter(-1)
        if detection is None:
            return
        self._metrics.count(detection.verdict)
        self._metrics.observe(detection.timings)
        if answer.begun:
            await answer.verdict(detection, call.thumbnail.jpeg, call.course)
        else:
            await send_detection(send, detection, call.thumbnail.jpeg, request_id=request_id)

    async def _judge(self, call: Call, answer: LinedAnswer, receive: Receive) -> Detection | None:
        """Return the verdict; None where the answer is in lines and has been ended without one."""
        try:
            async with answer.telling(call.course):
                return await unless_hung_up(receive, self._detector.detect(call))
        except ClientGoneError:
            if not answer.begun:
                raise
            self._metrics.count("client_gone")
            await answer.end()
        except Exception as error:
            if not answer.begun:
                raise
            await answer.failure(self._explain(error, DETECT_PATH))
        return None

    async def _models(self, _headers: Headers, request_id: str, _receive: Receive, send: Send) -> None:
        await send_json(
            send, await self._detector.list_models(Deadline.after(_MODELS_DEADLINE_S)), request_id=request_id
        )

    async def _model(self, name: str, _headers: Headers, request_id: str, _receive: Receive, send: Send) -> None:
        told = await self._detector.describe_model(name, Deadline.after(_MODELS_DEADLINE_S))
        await send_json(send, told, request_id=request_id)

    async def _figures(self, _headers: Headers, request_id: str, _receive: Receive, send: Send) -> None:
        await send_json(send, self._detector.figures(), request_id=request_id)

    async def _render_metrics(self, _headers: Headers, request_id: str, _receive: Receive, send: Send) -> None:
        await send_bytes(send, 200, self._metrics.render(), CONTENT_TYPE, request_id=request_id)

    def _enter(self, calls: int) -> None:
        self._in_flight += calls
        self._metrics.set_in_flight(self._in_flight)

    def _explain(self, failure: Exception, path: str) -> DetectionError:
        """Log a call that failed, as a warning where it is our fault, and count it; return what the caller is told."""
        error = failure if isinstance(failure, DetectionError) else InternalError()
        if error is not failure:
            _log.error("unexpected error", exc_info=failure)
        (_log.warning if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else _log.info)(
            "call failed", path=path, code=error.code, message=str(error)
        )
        if path == DETECT_PATH:
            self._metrics.count(error.code)
        return error
