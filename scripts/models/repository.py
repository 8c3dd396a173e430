"""The model repository as its commands see it: which versions lie there, which are served, and the lock for changes.

Reading needs no lock, because everything appears in one step. Whoever changes something holds `changing` from the
first look to the last write, so that two commands never build on the same state.
"""

import contextlib
import fcntl
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import msgspec
from google.protobuf.text_format import ParseError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from bentos.cards import TRAFFIC_FILE, Card, Route, TrafficTable, read_traffic
from scripts.models import history, triton_config
from scripts.models.errors import BusyError, ModelsError, UnknownVersionError
from scripts.models.names import Target, check_name
from scripts.models.publish import CONFIG_FILE, write_file, write_traffic
from scripts.stack.repository import RepositoryError, card

LOCK_FILE: Final = ".lock"
LOCK_DEADLINE_S: Final = 30.0
LOADING_LOCK_FILE: Final = ".loading.lock"
LOADING_DEADLINE_S: Final = 600.0

_POLICY: Final = re.compile(rb"^version_policy\b.*$", re.MULTILINE)
_VERSION_FOLDER: Final = re.compile(r"[1-9][0-9]*")


class Repository:
    """A folder of models. `root` is the folder that Triton reads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def changing(self, *, deadline_s: float = LOCK_DEADLINE_S) -> Generator[None]:
        """Hold the lock for changes for the length of a block.

        Raises:
            BusyError: Another command held it all the time until the deadline.
            ModelsError: There is no such folder, or it cannot be written.
        """
        with self._holding(LOCK_FILE, deadline_s):
            yield

    @contextlib.contextmanager
    def loading(self, *, deadline_s: float = LOADING_DEADLINE_S) -> Generator[None]:
        """Hold the right to say which versions Triton loads, for the length of a block.

        Loading can take minutes, and a rollback must not wait for it: what only moves a pointer between versions that
        are loaded takes `changing` alone. Who needs both takes this one first. Raises as `changing` does.
        """
        with self._holding(LOADING_LOCK_FILE, deadline_s):
            yield

    @contextlib.contextmanager
    def _holding(self, name: str, deadline_s: float) -> Generator[None]:
        until = time.monotonic() + deadline_s
        try:
            lock = (self.root / name).open("wb")
        except OSError as error:
            raise ModelsError(f"The model repository {self.root} cannot be written: {error.strerror}.") from error
        with lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        message = "Another `bonafide models` command is changing the repository; try again after it."
                        raise BusyError(message) from None
                time.sleep(0.05)
            yield

    def models(self) -> tuple[str, ...]:
        """Names of all models that have a configuration, served or not; a deletion that was killed leaves none."""
        return tuple(
            sorted(file.parent.name for file in self.root.glob(f"*/{CONFIG_FILE}") if file.parent.name[0] != ".")
        )

    def versions(self, model: str) -> tuple[int, ...]:
        """Numbers of a model's complete versions, lowest first; none where there is no such model."""
        folders = (self.root / model).glob("*") if (self.root / model).is_dir() else ()
        return tuple(sorted(int(each.name) for each in folders if _VERSION_FOLDER.fullmatch(each.name)))

    def next_version(self, model: str) -> int:
        """The number that a new version gets: one more than the highest that is or ever was, for digests are quoted."""
        staged = (event.version or 0 for event in history.read(self.root, model=model))
        return max((*self.versions(model), *staged), default=0) + 1

    def folder(self, model: str, version: int) -> Path:
        """Folder of a version. Raises `UnknownVersionError` where there is none."""
        folder = self.root / check_name(model) / str(version)
        if not folder.is_dir():
            known = ", ".join(map(str, self.versions(model))) or "none"
            raise UnknownVersionError(f"{model} has no version {version}; there are: {known}.")
        return folder

    def card(self, model: str, version: int) -> Card:
        """Card of a version. Raises `UnknownVersionError`, or `ModelsError` where it is broken."""
        self.folder(model, version)
        try:
            return card(self.root, model, version)
        except RepositoryError as error:
            raise ModelsError(str(error)) from error

    def resolve(self, target: Target) -> tuple[str, int]:
        """Return the model and version that a command line names; without a version the stable one, else the newest.

        Raises:
            UnknownVersionError: There is no such model or version.
        """
        if target.version is not None:
            self.folder(target.model, target.version)
            return target.model, target.version
        route = self.table().models.get(target.model)
        versions = self.versions(target.model)
        if route is None and not versions:
            known = ", ".join(self.models()) or "none"
            raise UnknownVersionError(f"There is no model {target.model}; there are: {known}.")
        return target.model, route.stable if route else versions[-1]

    def table(self) -> TrafficTable:
        """The traffic table; an empty one where there is none yet. Raises `ModelsError` where it is broken."""
        try:
            return read_traffic((self.root / TRAFFIC_FILE).read_bytes())
        except FileNotFoundError:
            return TrafficTable(defaults={}, models={})
        except (OSError, msgspec.MsgspecError) as error:
            raise ModelsError(f"{self.root / TRAFFIC_FILE} cannot be read: {error}. Mend it first.") from error

    def route(self, model: str) -> Route | None:
        """Route of a model, if it has one."""
        return self.table().models.get(model)

    def write_route(self, model: str, route: Route | None) -> None:
        """Point a model's traffic somewhere else, or (None) give it none any more."""
        table = self.table()
        models = {name: each for name, each in table.models.items() if name != model}
        if route is not None:
            models[model] = route
        # The order of the file is kept, so that a change of one model is a change of one place.
        order = [*table.models, *(name for name in models if name not in table.models)]
        kept = {name: models[name] for name in order if name in models}
        write_traffic(self.root, msgspec.structs.replace(table, models=kept))

    def listed(self, model: str) -> tuple[int, ...]:
        """The versions that `config.pbtxt` tells Triton to load."""
        return tuple(sorted(self._parsed(model, self._config(model)).version_policy.specific.versions))

    def list_versions(self, model: str, versions: tuple[int, ...]) -> None:
        """Have `config.pbtxt` tell Triton to load exactly these versions; nothing else in the file changes."""
        text = self._config(model)
        line = f"version_policy {{ specific {{ versions: {sorted(versions)} }} }}".encode()
        changed, count = _POLICY.subn(line, text)
        if count != 1:
            raise ModelsError(
                f"{self.root / model / CONFIG_FILE} has no line of its own that begins with version_policy; write "
                "`version_policy { specific { versions: [1] } }` as one."
            )
        self._parsed(model, changed)
        if changed != text:
            write_file(self.root / model / CONFIG_FILE, changed)

    def _parsed(self, model: str, text: bytes) -> ModelConfig:
        try:
            return triton_config.parse(text)
        except (ParseError, UnicodeDecodeError) as error:
            message = f"{self.root / model / CONFIG_FILE} is no configuration: {error}. Mend it first."
            raise ModelsError(message) from error

    def _config(self, model: str) -> bytes:
        try:
            return (self.root / check_name(model) / CONFIG_FILE).read_bytes()
        except OSError as error:
            raise UnknownVersionError(f"There is no model {model}: it has no {CONFIG_FILE}.") from error
