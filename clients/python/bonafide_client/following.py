"""What happens to a job, as it happens: server-sent events, gone on with by themselves wherever a stream breaks off."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import anyio
import msgspec

from bonafide_client.answers import read_nothing
from bonafide_client.calls import Call
from bonafide_client.drivers import AsyncDriver, SyncDriver
from bonafide_client.errors import ConnectionLostError, MalformedAnswerError, NoAnswerError
from bonafide_client.retrying import Retries
from bonafide_client.schemas.jobs import JobEvent

_FIELDS: Final = ("id", "event", "data")
_read_data = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True)
class FollowCall:
    """A job to follow, from the event behind `after` on."""

    path: str
    after: int

    def at(self, after: int | None = None) -> Call[None]:
        """The call that goes on after an event; None: where following begins."""
        query = (("last_event_id", str(self.after if after is None else after)),)
        return Call(method="GET", path=self.path, read=read_nothing, query=query)


class _Reading:
    """Makes events of lines, and counts how often the stream broke off since there was a sign of life. No I/O.

    See https://html.spec.whatwg.org/multipage/server-sent-events.html.
    """

    def __init__(self, after: int, retries: Retries) -> None:
        self.after = after
        self._retries = retries
        self._failures = 0
        self._fields: dict[str, str] = {}

    def begin(self) -> None:
        """Another stream begins: what the last one broke off in is dropped."""
        self._fields = {}

    def take(self, line: str) -> JobEvent | None:
        """The event that a line completes, if any. Raises MalformedAnswerError."""
        if not line:
            event, self._fields = self._made(), {}
            return event
        name, _, value = line.partition(":")
        if name in _FIELDS:
            self._fields[name] = value.removeprefix(" ")
        elif not name:
            # A comment, which is there to show that all is well.
            self._failures = 0
        return None

    def pause(self, error: NoAnswerError | None = None) -> float:
        """Seconds to wait before going on. Raises `error`, or ConnectionLostError, once that was tried often enough."""
        self._failures += 1
        pause = self._retries.delay(self._failures, None)
        if pause is None:
            raise error or ConnectionLostError("The stream ends again and again before the job does.")
        return pause

    def _made(self) -> JobEvent | None:
        if "event" not in self._fields:
            return None
        try:
            event = JobEvent(
                id=int(self._fields["id"]), event=self._fields["event"], data=_read_data(self._fields["data"])
            )
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
            raise MalformedAnswerError(f"The event is not one that this API sends: {error}") from error
        self._failures = 0
        self.after = event.id
        return event


class Following:
    """The events of a job up to the one that ends it: iterate over it, as often as you like.

    A stream that breaks off is gone on with where it did, with the waits of the client's `Retries` and as often in a
    row; the error is raised then.
    """

    def __init__(self, driver: SyncDriver, call: FollowCall) -> None:
        self._driver = driver
        self._call = call

    def __iter__(self) -> Iterator[JobEvent]:
        """The events, each as soon as it has happened."""
        reading = _Reading(self._call.after, self._driver.context.retries)
        while True:
            broken: NoAnswerError | None = None
            with self._driver.open(self._call.at(reading.after)) as stream:
                if stream.status == HTTPStatus.NO_CONTENT:
                    return
                reading.begin()
                try:
                    for line in stream.lines():
                        event = reading.take(line)
                        if event is not None:
                            yield event
                            if event.ended:
                                return
                except NoAnswerError as error:
                    broken = error
            time.sleep(reading.pause(broken))


class AsyncFollowing:
    """As `Following`, asynchronously."""

    def __init__(self, driver: AsyncDriver, call: FollowCall) -> None:
        self._driver = driver
        self._call = call

    async def __aiter__(self) -> AsyncIterator[JobEvent]:
        """The events, each as soon as it has happened."""
        reading = _Reading(self._call.after, self._driver.context.retries)
        while True:
            broken: NoAnswerError | None = None
            async with await self._driver.open(self._call.at(reading.after)) as stream:
                if stream.status == HTTPStatus.NO_CONTENT:
                    return
                reading.begin()
                try:
                    async for line in stream.lines():
                        event = reading.take(line)
                        if event is not None:
                            yield event
                            if event.ended:
                                return
                except NoAnswerError as error:
                    broken = error
            await anyio.sleep(reading.pause(broken))
