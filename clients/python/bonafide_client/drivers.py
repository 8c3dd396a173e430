"""The two ways of walking through the steps of a call: blocking with httpx.Client, asynchronous with AsyncClient.

Nothing is decided here. Both may be used by many threads or tasks at once.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any, TypeVar

import anyio
import httpx

from bonafide_client.answers import Answer, NoAnswer
from bonafide_client.calls import Call
from bonafide_client.errors import CallTimeoutError
from bonafide_client.steps import Context, Outcome, Send, Step, Steps, Wait, perform, renew
from bonafide_client.streams import AsyncStream, Stream
from bonafide_client.uploads import Upload
from bonafide_client.wire import OpenAnswer, check_progress, heads_of, no_answer, request_arguments, shorten_wait

T = TypeVar("T")


class SyncDriver:
    """Makes calls, blocking."""

    def __init__(self, http: httpx.Client, context: Context, lock: "threading.Lock | None" = None) -> None:
        self.http = http
        self.context = context
        self.lock = lock or threading.Lock()

    def changed(self, context: Context) -> "SyncDriver":
        """A driver with the same connections and the same lock, in another context."""
        return SyncDriver(self.http, context, self.lock)

    def run(self, call: Call[T]) -> T:
        """Make a call and return what its answer holds. Raises BonafideError."""
        return call.read(self._walk(perform(call, self.context)))

    def open(self, call: Call[Any]) -> Stream:
        """Make a call and return its answer, of which the body is still to be read. Raises BonafideError."""
        return Stream(self._walk(perform(call, self.context), keep_open=True))

    def _walk(self, steps: Steps[T], *, keep_open: bool = False) -> T:
        outcome: Outcome = None
        with closing(steps):
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as end:
                    return end.value
                outcome = self._take(step, keep_open=keep_open)

    def _take(self, step: Step, *, keep_open: bool) -> Outcome:
        if isinstance(step, Send):
            return self._send(step, keep_open=keep_open)
        if isinstance(step, Wait):
            time.sleep(step.seconds)
        else:
            with self.lock:
                self._walk(renew(step.used, self.context))
        return None

    def _send(self, send: Send, *, keep_open: bool) -> Answer | NoAnswer:
        arguments = request_arguments(send, self.context)
        try:
            if send.call.upload is None:
                response = self.http.send(self.http.build_request(**arguments), stream=True, follow_redirects=False)
            else:
                response = self._upload(send, send.call.upload, arguments)
            if keep_open and response.is_success:
                return OpenAnswer(response.status_code, heads_of(response), b"", response)
            with closing(response):
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    check_progress(send, len(body))
        except httpx.RequestError as error:
            return no_answer(error)
        return Answer(response.status_code, heads_of(response), bytes(body))

    def _upload(self, send: Send, upload: Upload, arguments: dict[str, Any]) -> httpx.Response:
        def watched() -> Iterator[bytes]:
            for piece in pieces:
                if time.monotonic() > send.deadline:
                    raise httpx.WriteTimeout("The call took longer than it may.")
                yield piece
            shorten_wait(request, send)

        with closing(upload.pieces()) as pieces:
            request = self.http.build_request(**arguments, content=watched())
            return self.http.send(request, stream=True, follow_redirects=False)


class AsyncDriver:
    """Makes calls, asynchronously."""

    def __init__(self, http: httpx.AsyncClient, context: Context, lock: anyio.Lock | None = None) -> None:
        self.http = http
        self.context = context
        self.lock = lock or anyio.Lock()

    def changed(self, context: Context) -> "AsyncDriver":
        """A driver with the same connections and the same lock, in another context."""
        return AsyncDriver(self.http, context, self.lock)

    async def run(self, call: Call[T]) -> T:
        """Make a call and return what its answer holds. Raises BonafideError."""
        return call.read(await self._walk(perform(call, self.context)))

    async def open(self, call: Call[Any]) -> AsyncStream:
        """Make a call and return its answer, of which the body is still to be read. Raises BonafideError."""
        return AsyncStream(await self._walk(perform(call, self.context), keep_open=True))

    async def _walk(self, steps: Steps[T], *, keep_open: bool = False) -> T:
        outcome: Outcome = None
        with closing(steps):
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as end:
                    return end.value
                outcome = await self._take(step, keep_open=keep_open)

    async def _take(self, step: Step, *, keep_open: bool) -> Outcome:
        if isinstance(step, Send):
            with anyio.move_on_after(step.left):
                return await self._send(step, keep_open=keep_open)
            return NoAnswer(CallTimeoutError(), begun=True)
        if isinstance(step, Wait):
            await anyio.sleep(step.seconds)
        else:
            async with self.lock:
                await self._walk(renew(step.used, self.context))
        return None

    async def _send(self, send: Send, *, keep_open: bool) -> Answer | NoAnswer:
        arguments = request_arguments(send, self.context)
        try:
            if send.call.upload is None:
                request = self.http.build_request(**arguments)
                response = await self.http.send(request, stream=True, follow_redirects=False)
            else:
                response = await self._upload(send.call.upload, arguments)
            if keep_open and response.is_success:
                return OpenAnswer(response.status_code, heads_of(response), b"", response)
            async with aclosing(response):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    check_progress(send, len(body))
        except httpx.RequestError as error:
            return no_answer(error)
        return Answer(response.status_code, heads_of(response), bytes(body))

    async def _upload(self, upload: Upload, arguments: dict[str, Any]) -> httpx.Response:
        async with aclosing(upload.apieces()) as pieces:
            request = self.http.build_request(**arguments, content=pieces)
            return await self.http.send(request, stream=True, follow_redirects=False)
