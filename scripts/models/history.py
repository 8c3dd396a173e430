"""`history.jsonl` beside the traffic table: who changed what of the models, when and why. It is only ever added to."""

import errno
import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bentos.cards import Ensemble, Route
from scripts.models.errors import ModelsError

HISTORY_FILE: Final = "history.jsonl"

Action = Literal[
    "stage",
    "validate",
    "evaluate",
    "rollout",
    "promote",
    "rollback",
    "retire",
    "delete",
    "calibrate",
    "optimise",
    "declare",
    "withdraw",
    "default",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change. `before` and `after` are the routes of the model (or the declarations of the ensemble) around it."""

    at: str
    who: str
    action: Action
    model: str
    version: int | None = None
    reason: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    details: dict[str, Any] = {}


def new_event(
    action: Action,
    model: str,
    version: int | None = None,
    *,
    reason: str = "",
    before: Route | Ensemble | None = None,
    after: Route | Ensemble | None = None,
    **details: Any,
) -> Event:
    """Return an event of now, by whoever runs this process."""
    return Event(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        who=_who(),
        action=action,
        model=model,
        version=version,
        reason=reason,
        before=None if before is None else msgspec.to_builtins(before),
        after=None if after is None else msgspec.to_builtins(after),
        details=details,
    )


def append(repository: Path, event: Event) -> None:
    """Add an event, durably, in one write. Raises `OSError` where it cannot be, for example because the disk is full.

    What a crash or a full disk has cut off before it keeps a line of its own, or this event would be lost with it.
    """
    line = msgspec.json.encode(event) + b"\n"
    with (repository / HISTORY_FILE).open("a+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        if file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), HISTORY_FILE)
        os.fsync(file.fileno())


def read(repository: Path, *, model: str | None = None) -> tuple[Event, ...]:
    """Return what happened, oldest first; of one model only where it is named. A line that is torn is left out.

    Raises:
        ModelsError: A line is whole and no event.
    """
    file = repository / HISTORY_FILE
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    # What follows the last line feed is empty, or was cut off by a crash.
    events = (_read_line(file, number, line) for number, line in enumerate(lines[:-1], 1) if line)
    return tuple(event for event in events if event is not None and model in (None, event.model))


def _read_line(file: Path, number: int, line: bytes) -> Event | None:
    try:
        return msgspec.json.decode(line, type=Event)
    except msgspec.ValidationError as error:
        raise ModelsError(f"Line {number} of {file} is no event: {error}. Mend it first.") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # Cut off by a crash: nobody was told that it was written.


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"{os.getuid()}@{socket.gethostname()}"
