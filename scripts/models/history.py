"""`history.jsonl` beside the traffic table: who changed what of the models, when and why. It is only ever added to."""

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bentos.cards import Ensemble, Route

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
    """Add an event, durably, in one write."""
    line = msgspec.json.encode(event) + b"\n"
    with (repository / HISTORY_FILE).open("ab", buffering=0) as file:
        file.write(line)
        os.fsync(file.fileno())


def read(repository: Path, *, model: str | None = None) -> tuple[Event, ...]:
    """Return what happened, oldest first; of one model only where it is named. A torn last line is left out."""
    try:
        lines = (repository / HISTORY_FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    # What follows the last line feed is empty, or was cut off by a crash.
    events = (msgspec.json.decode(line, type=Event) for line in lines[:-1] if line)
    return tuple(event for event in events if model in (None, event.model))


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"{os.getuid()}@{socket.gethostname()}"
