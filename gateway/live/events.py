"""Events of jobs and how they look on the two wires. Pure: nothing here waits for anything."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.errors import InvalidCursorError

RETRY_MS: Final = 2000
"""What a browser that was cut off waits before it comes back."""
OPENING: Final = f"retry: {RETRY_MS}\n\n".encode()
HEARTBEAT: Final = b": still here\n\n"
LATEST_PLACE: Final = 2**31 - 1
_LONGEST_NUMBER: Final = 10


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    `place` counts from 1 in each job, `data` is a JSON object in one line. `final`: the job has ended, and nothing has
    happened to it since.
    """

    place: int
    kind: str
    data: str
    final: bool


class ResumeMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say over a WebSocket: go on after this event."""

    last_event_id: int


_read_message = msgspec.json.Decoder(ResumeMessage).decode


def as_sse(event: JobEvent) -> bytes:
    """An event as `text/event-stream` has it, see https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return f"id: {event.place}\nevent: {event.kind}\ndata: {event.data}\n\n".encode()


def as_message(event: JobEvent) -> str:
    """An event as a JSON message: `{"id": 3, "event": "progress", "data": {…}}`."""
    return f'{{"id":{event.place},"event":"{event.kind}","data":{event.data}}}'


def heartbeat_message(place: int) -> str:
    """A sign of life as a JSON message, with the id of the last event before it."""
    return f'{{"id":{place},"event":"heartbeat","data":{{}}}}'


def read_last_event_id(*told: str | None) -> int:
    """The event after which a client goes on, from the first of several places that names one; 0 where none does.

    Raises:
        InvalidCursorError: It is not the id of an event.
    """
    text = next((one.strip() for one in told if one is not None and one.strip()), "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER):
        raise InvalidCursorError("`Last-Event-ID` is not the id of an event.", code="invalid_last_event_id")
    return min(int(text), LATEST_PLACE)


def read_resume(message: Any) -> int:
    """The event after which a client wants to go on, from its message.

    Raises:
        InvalidCursorError: The message is not `{"last_event_id": n}`.
    """
    try:
        return min(max(_read_message(message).last_event_id, 0), LATEST_PLACE)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidCursorError(
            'A message is {"last_event_id": n} and nothing else.', code="invalid_last_event_id"
        ) from error
