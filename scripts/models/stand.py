"""A stand: a second Triton, and where wanted the real Bentos before it, for versions that get no traffic yet.

It reads a repository of its own, in a temporary folder, that links to the versions in question, and listens on free
ports. So a version is tried beside a running platform, or without one, and neither learns of the other.
"""

import contextlib
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import psutil
from google.protobuf.text_format import ParseError

from bentos.cards import Canary, Card, Route, TrafficTable
from bentos.contract import Modality
from bentos.routing import bucket_of
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.guarded import GuardedRun
from scripts.models.publish import CONFIG_FILE, write_file, write_traffic
from scripts.models.repository import Repository
from scripts.stack.folder import DataFolder
from scripts.stack.memory import pss
from scripts.stack.ports import free_ports
from scripts.stack.program import StartError
from scripts.stack.services import bento
from scripts.stack.settings import HOST, StackSettings, load_environment
from scripts.stack.triton import Triton, program

Numbered = tuple[str, int]
"""A model and one of its versions."""

_HALF: Final = 50.0
_GRACE_S: Final = 10.0
_TRITON_GRACE_S: Final = 0.0
"""Nobody asks it any more when it ends: it is killed, for letting go of its models would take it two seconds."""
_PREFIX: Final = "BONAFIDE_"
_NOT_SERVED: Final = frozenset({"evaluation", "__pycache__"})
"""What may lie in a version's folder and is no part of the version."""
_MAX_VERSIONS: Final = 2
"""Versions of one model that can stand side by side: its stable one and its canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What stands: the Triton, the versions in it, the addresses of the Bentos, and their token."""

    triton: Triton
    table: TrafficTable
    bentos: Mapping[Modality, str]
    token: str
    pid: int

    def caller_of(self, model: str, version: int) -> str:
        """Return a caller (`HEADER_CALLER`) whose calls for `model` this version answers.

        Raises:
            ModelsError: The version does not stand here.
        """
        route = self.table.models.get(model)
        if route is None or version not in route.versions:
            raise ModelsError(f"{model}:{version} does not stand here.")
        wants_canary = route.canary is not None and route.canary.version == version
        share = round(route.canary.percent * 100) if route.canary else 0
        return next(
            caller
            for caller in (f"stand-{number}" for number in range(10_000))
            if (bucket_of(model, caller) < share) == wants_canary
        )

    def memory(self) -> int:
        """Proportional set size in bytes of Triton with the processes of its models."""
        return sum(pss(process.pid) for process in self.processes())

    def processes(self) -> list[psutil.Process]:
        """Triton and the processes of its models. Raises `ModelsError` where it has ended."""
        try:
            server = psutil.Process(self.pid)
            return [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess as error:
            raise ModelsError("The second Triton has ended.") from error


@contextlib.contextmanager
def stand(
    repository: Repository,
    versions: Sequence[Numbered],
    settings: StackSettings,
    *,
    bentos: Collection[Modality] = (),
    configs: Mapping[str, bytes] | None = None,
) -> Generator[Stand]:
    """Have these versions, and the encoders that they pin, stand for the length of a block.

    Of one model there can be two versions; `Stand.caller_of` says who is answered by which. `bentos` are started
    before them, each with the first version that judges its medium as default. `configs` stand in place of a model's
    `config.pbtxt`, by model, to try another one. Everything is ended and removed at the end, also where the block
    raises, and where Ctrl-C or SIGTERM ends the command. After kill -9 a guard ends what runs; the folder, of links
    and logs, then stays.

    Raises:
        UnknownVersionError: There is no such version, or none that is pinned.
        RefusedError: Triton or a Bento does not start with them; with their words.
        ModelsError: A card or a configuration cannot be read.
    """
    with _ending_on_signals(), _temporary_folder() as folder:
        models = folder / "models"
        cards = _cards(repository, versions)
        table = _traffic(cards[: len(versions)], bentos)
        _assemble(repository, models, cards, configs or {})
        write_traffic(models, table)
        with contextlib.ExitStack() as running_parts:
            try:
                started = _start(running_parts, folder, models, table, settings, bentos)
            except StartError as error:
                raise RefusedError(f"{_named(versions)} cannot be served. {error}") from error
            yield started


def _start(
    parts: contextlib.ExitStack,
    folder: Path,
    models: Path,
    table: TrafficTable,
    settings: StackSettings,
    bentos: Collection[Modality],
) -> Stand:
    """Start a guard, Triton, then the Bentos. Raises `StartError`."""
    data = DataFolder(folder / "data")
    data.create()
    variables = load_environment()
    plain = {name: value for name, value in variables.items() if not name.startswith(_PREFIX)}
    ours = {name: value for name, value in variables.items() if name.startswith(_PREFIX)}
    http, grpc, metrics, *ports = free_ports(3 + len(bentos))
    triton = Triton(
        python=settings.triton_python,
        repository=models,
        folder=data.triton,
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
        control_key=data.secret("triton-control-key"),
        grace_s=_TRITON_GRACE_S,
    )
    run = GuardedRun(data, triton.shared_memory_prefix, settings.start_deadline_s, parts)
    process = run.start(program(triton, plain, load_deadline_s=settings.start_deadline_s))
    environment = {
        **plain,
        **ours,
        "BONAFIDE_HOME": str(data.root),
        "BONAFIDE_SPOOL": str(data.spool),
        "BONAFIDE_BENTO_TOKEN": data.secret("bento-token"),
        "BONAFIDE_REFERENCE_KEY": data.secret("reference-key"),
        "BONAFIDE_TRITON_ADDRESS": triton.address,
        "BONAFIDE_MODEL_REPOSITORY": str(models),
        "BENTOML_HOME": str(data.bentoml),
        "MALLOC_ARENA_MAX": "2",
    }
    for modality, port in zip(bentos, ports, strict=True):
        run.start(bento(modality, port, environment, grace_s=_GRACE_S))
    addresses = {modality: f"http://{HOST}:{port}" for modality, port in zip(bentos, ports, strict=True)}
    return Stand(triton=triton, table=table, bentos=addresses, token=data.secret("bento-token"), pid=process.pid)


def _cards(repository: Repository, versions: Sequence[Numbered]) -> list[Card]:
    """The cards of the versions in their order, then of the encoders that they pin and that are not among them."""
    cards = [repository.card(model, version) for model, version in versions]
    wanted = {(card.encoder.model, card.encoder.version): None for card in cards if card.encoder}
    return cards + [repository.card(*pinned) for pinned in wanted if pinned not in versions]


def _traffic(cards: Sequence[Card], bentos: Iterable[Modality]) -> TrafficTable:
    """A table that routes to each version: to two of one model in halves, of which a caller can choose."""
    routes: dict[str, Route] = {}
    for card in cards:
        before = routes.get(card.model)
        if before is None:
            routes[card.model] = Route(stable=card.version)
        elif len(before.versions) < _MAX_VERSIONS and card.version not in before.versions:
            routes[card.model] = Route(stable=before.stable, canary=Canary(version=card.version, percent=_HALF))
        elif card.version not in before.versions:
            raise RefusedError(f"At most {_MAX_VERSIONS} versions of {card.model} can stand side by side.")
    defaults: dict[Modality, str] = {}
    for modality in bentos:
        # A model of pictures judges videos too, frame by frame, where there is none of videos.
        judging = [card for kind in (modality, Modality.IMAGE) for card in cards if card.modality is kind]
        named = next((card.model for card in judging if card.thresholds), None)
        if named is None or (modality is not Modality.VIDEO and judging[0].modality is not modality):
            names = ", ".join(f"{card.model}:{card.version}" for card in cards)
            raise RefusedError(f"{names} cannot judge media of the kind {modality}: its card says what it can.")
        defaults[modality] = named
    return TrafficTable(defaults=defaults, models=routes)


def _assemble(repository: Repository, models: Path, cards: Sequence[Card], configs: Mapping[str, bytes]) -> None:
    """Lay out a repository that holds these versions only, linked to where they are."""
    listed: dict[str, set[int]] = {}
    for card in cards:
        listed.setdefault(card.model, set()).add(card.version)
    for model, numbers in listed.items():
        for version in numbers:
            _link(repository.folder(model, version).resolve(), models / model / str(version))
        try:
            config = configs.get(model) or (repository.root / model / CONFIG_FILE).read_bytes()
            write_file(models / model / CONFIG_FILE, config)
            Repository(models).list_versions(model, tuple(numbers))
        except OSError as error:
            raise ModelsError(f"{repository.root / model / CONFIG_FILE} cannot be read: {error.strerror}.") from error
        except (ParseError, UnicodeDecodeError) as error:
            raise RefusedError(f"{repository.root / model / CONFIG_FILE} is no configuration: {error}.") from error


def _link(source: Path, target: Path) -> None:
    """Link to what lies in a version's folder, not to the folder: what runs writes its byte code beside its source."""
    target.mkdir(parents=True)
    for each in source.iterdir():
        if each.name not in _NOT_SERVED and not each.name.startswith("."):
            (target / each.name).symlink_to(each)


def _named(versions: Sequence[Numbered]) -> str:
    return " and ".join(f"{model}:{version}" for model, version in versions)


@contextlib.contextmanager
def _temporary_folder() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"bonafide-stand-{secrets.token_hex(4)}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _ending_on_signals() -> Generator[None]:
    """Have SIGTERM and SIGHUP end the block as Ctrl-C does; they would end the process and nothing that it started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
