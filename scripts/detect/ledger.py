"""What `bonafide detect --async` remembers of a folder, so that the same command goes on where it was stopped.

A file of JSON lines that is only ever added to: whatever the process was doing when it was killed, each line before
the last is true, and the last one is true or not there.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO, cast

_SUFFIX: Final = ".jsonl"


class BusyError(Exception):
    """Another process works on this folder."""


@dataclass(slots=True)
class Sent:
    """A file as it was when it was handed over, the upload that it became, and the batch that it is in."""

    name: str
    size: int
    mtime_ns: int
    sha256: str
    upload_id: str
    ready: bool = False
    batch: str | None = None

    def is_like(self, status: os.stat_result) -> bool:
        """Whether a file with this status is most likely still the same."""
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


@dataclass(slots=True)
class Handed:
    """A batch, named by the idempotency key that it was made with; no id: whether it was made is not known."""

    key: str
    names: tuple[str, ...]
    uploads: tuple[str, ...]
    id: str | None = None


@dataclass(slots=True)
class Ledger:
    """What was done with the files of a folder, by their paths within it."""

    path: Path
    _file: TextIO
    sent: dict[str, Sent] = field(default_factory=dict[str, Sent])
    batches: dict[str, Handed] = field(default_factory=dict[str, Handed])

    def close(self) -> None:
        """Let others work on the folder."""
        self._file.close()

    def begin_upload(self, sent: Sent) -> None:
        """A file was announced."""
        self.sent[sent.name] = sent
        self._note("upload", vars_of(sent))

    def end_upload(self, name: str) -> None:
        """All of a file is there."""
        self.sent[name].ready = True
        self._note("ready", {"name": name})

    def touch(self, name: str, mtime_ns: int) -> None:
        """A file is the same as it was, though it was written anew."""
        self.sent[name].mtime_ns = mtime_ns
        self._note("touched", {"name": name, "mtime_ns": mtime_ns})

    def forget(self, names: Iterable[str]) -> None:
        """What is known of some files is not true any more."""
        for name in names:
            if self.sent.pop(name, None) is not None:
                self._note("forgotten", {"name": name})

    def plan(self, key: str, names: Iterable[str]) -> Handed:
        """A batch is about to be made. It is on the disk before anything is sent."""
        handed = Handed(key=key, names=tuple(names), uploads=tuple(self.sent[name].upload_id for name in names))
        self._plan(handed)
        self._note("planned", {"key": key, "names": list(handed.names), "uploads": list(handed.uploads)})
        os.fsync(self._file.fileno())
        return handed

    def make(self, key: str, batch_id: str) -> None:
        """A batch was made."""
        self.batches[key].id = batch_id
        self._note("made", {"key": key, "id": batch_id})

    def drop(self, key: str) -> None:
        """A batch was not made, or is not there any more; its files are as if they had never been in it."""
        self._drop(key)
        self._note("dropped", {"key": key})

    def _plan(self, handed: Handed) -> None:
        self.batches[handed.key] = handed
        for name in handed.names:
            if name in self.sent:
                self.sent[name].batch = handed.key

    def _drop(self, key: str) -> None:
        self.batches.pop(key, None)
        for sent in self.sent.values():
            if sent.batch == key:
                sent.batch = None

    def _note(self, kind: str, data: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"kind": kind, **data}) + "\n")
        self._file.flush()

    def replay(self, lines: Iterable[str]) -> None:
        """Take in what was noted before. What is no line of ours was cut off, and was not done."""
        for line in lines:
            try:
                entry: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        kind, name, key = entry.pop("kind", None), entry.get("name", ""), entry.get("key", "")
        match kind:
            case "upload":
                self.sent[name] = Sent(**entry)
            case "ready" if name in self.sent:
                self.sent[name].ready = True
            case "touched" if name in self.sent:
                self.sent[name].mtime_ns = entry["mtime_ns"]
            case "forgotten":
                self.sent.pop(name, None)
            case "planned":
                self._plan(Handed(key=key, names=tuple(entry["names"]), uploads=tuple(entry["uploads"])))
            case "made" if key in self.batches:
                self.batches[key].id = entry["id"]
            case "dropped":
                self._drop(key)
            case _:
                return


def vars_of(sent: Sent) -> dict[str, Any]:
    """A file as a line has it."""
    return {name: getattr(sent, name) for name in ("name", "size", "mtime_ns", "sha256", "upload_id")}


def open_ledger(folder: Path, *, url: str, key: str, asked: str = "", anew: bool = False) -> Ledger:
    """The ledger of a folder for one platform, one key, and what is `asked` for; `anew`: without what was noted.

    Raises:
        BusyError: Another process has it open.
        OSError: It cannot be written.
    """
    path = ledger_path(folder, url=url, key=key, asked=asked)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = cast("TextIO", os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise BusyError(f"{folder}: another `bonafide detect --async` works on this folder") from error
    if anew:
        file.truncate(0)
    ledger = Ledger(path, file)
    file.seek(0)
    text = file.read()
    ledger.replay(text.splitlines())
    if text and not text.endswith("\n"):
        # What was cut off must not run into the next line.
        file.write("\n")
    return ledger


def ledger_path(folder: Path, *, url: str, key: str, asked: str) -> Path:
    """Where the ledger is: in the data folder of the platform where one is named, else where programs keep state."""
    home = os.environ.get("BONAFIDE_HOME")
    state = Path(home) if home else Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "bonafide"
    # Of the key only what nobody can find it by.
    names = "\0".join((str(folder.resolve()), url.rstrip("/"), hashlib.sha256(key.encode()).hexdigest(), asked))
    return state / "detect" / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}{_SUFFIX}"
