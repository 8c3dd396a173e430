"""What `bonafide doctor` looks at, each answer one plain sentence: this machine, the installations, the data folder."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

from scripts.stack import postgres, repository, sessions, triton
from scripts.stack.folder import SECRET_NAMES, DataFolder
from scripts.stack.ports import taken
from scripts.stack.program import StartError
from scripts.stack.settings import StackSettings
from scripts.stack.state import is_locked, read_state

_PYTHON: Final = (3, 11)
_GLIBC: Final = (2, 35)
_MEMORY_GB: Final = 4
_DISK_GB: Final = 2
_SHARED_MEMORY_MB: Final = 64
_SERVING: Final = ("bentoml", "granian", "litestar", "onnxruntime", "psycopg", "tritonclient")


class Severity(Enum):
    """How bad a finding is."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and whether it keeps the platform from running."""

    severity: Severity
    text: str


def examine(settings: StackSettings) -> list[Finding]:
    """Look at everything that the platform needs."""
    examinations: Iterable[Callable[[StackSettings], Iterator[Finding]]] = (
        _machine,
        _space,
        _serving_environment,
        _triton_environment,
        _postgres,
        _models,
        _state,
    )
    return [finding for examination in examinations for finding in examination(settings)]


def _good(text: str) -> Finding:
    return Finding(Severity.GOOD, text)


def _wrong(text: str) -> Finding:
    return Finding(Severity.WRONG, text)


def _warning(text: str) -> Finding:
    return Finding(Severity.WARNING, text)


def _machine(_: StackSettings) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield (
        _good(f"Python {python}.")
        if sys.version_info[:2] == _PYTHON
        else _wrong(
            f"Python {python} runs this, Triton's stub needs {'.'.join(map(str, _PYTHON))}: make `.venv` anew with it."
        )
    )
    name, number = platform.libc_ver()
    found = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    yield (
        _good(f"{name} {number}.")
        if name == "glibc" and found >= _GLIBC
        else _wrong(
            f"{name or 'The C library'} {number} is too old: Triton needs glibc {'.'.join(map(str, _GLIBC))} or newer."
        )
    )
    machine = platform.machine()
    if machine != "x86_64":
        yield _wrong(f"The processor is {machine}; the wheels of Postgres and Triton are for x86_64.")


def _space(settings: StackSettings) -> Iterator[Finding]:
    memory = psutil.virtual_memory().available / 1e9
    yield (
        _good(f"{memory:.1f} GB of memory are free.")
        if memory >= _MEMORY_GB
        else _warning(
            f"Only {memory:.1f} GB of memory are free; the platform takes about 2.5 GB and needs room to decode."
        )
    )
    folder = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    disk = shutil.disk_usage(folder).free / 1e9
    yield (
        _good(f"{disk:.0f} GB of disk are free for {settings.home}.")
        if disk >= _DISK_GB
        else _wrong(f"Only {disk:.1f} GB of disk are free for {settings.home}: make at least {_DISK_GB} GB.")
    )
    shared = shutil.disk_usage(sessions.SHARED_MEMORY).free / 1e6
    if shared < _SHARED_MEMORY_MB:
        yield _wrong(
            f"{sessions.SHARED_MEMORY} has {shared:.0f} MB free; Triton needs {_SHARED_MEMORY_MB} (Docker: --shm-size)."
        )
    if not os.access(folder, os.W_OK):
        yield _wrong(f"{folder} cannot be written to: set BONAFIDE_HOME to a folder that can.")


def _serving_environment(_: StackSettings) -> Iterator[Finding]:
    missing = []
    for name in _SERVING:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    yield (
        _wrong(f"Not installed here: {', '.join(missing)}. Run `make up`.")
        if missing
        else _good("The serving environment is complete.")
    )


def _triton_environment(settings: StackSettings) -> Iterator[Finding]:
    try:
        where = triton.installation(settings.triton_python)
    except StartError as error:
        yield _wrong(str(error))
        return
    environment = triton.environment_of(where, os.environ)
    for name, file in (("Triton", where.server), ("Triton's Python stub", where.stub)):
        lacking = _lacking_libraries(file, environment)
        yield (
            _wrong(f"{name} lacks {', '.join(lacking)} (Debian: apt-get install libpython3.11).")
            if lacking
            else (_good(f"{name} finds its libraries."))
        )
    yield _good("An NVIDIA driver is loaded.") if triton.has_gpu() else _good("No GPU: the processor does it all.")


def _lacking_libraries(file: Path, environment: dict[str, str]) -> list[str]:
    """Return the shared libraries that the loader does not find for a program."""
    ldd = shutil.which("ldd")
    if ldd is None:
        return []
    answer = subprocess.run([ldd, str(file)], env=environment, capture_output=True, text=True, timeout=30, check=False)
    return [line.split()[0] for line in answer.stdout.splitlines() if line.endswith("not found")]


def _postgres(settings: StackSettings) -> Iterator[Finding]:
    try:
        server = postgres.binaries() / "postgres"
    except StartError as error:
        yield _wrong(str(error))
        return
    lacking = _lacking_libraries(server, dict(os.environ))
    yield _wrong(f"Postgres lacks {', '.join(lacking)}.") if lacking else _good("Postgres is installed.")
    if os.geteuid() == 0 and shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        yield _wrong(f"Postgres does not run as root, and useradd is missing to make its user {postgres.ACCOUNT}.")
    data = DataFolder(settings.home).postgres / "data"
    if data.is_dir() and (data / "PG_VERSION").read_text().strip() != "18":
        yield _wrong(f"{data} was made by another Postgres: move it away, or dump and restore it.")


def _models(settings: StackSettings) -> Iterator[Finding]:
    problems = repository.problems(settings.model_repository)
    yield from map(_wrong, problems)
    if not problems:
        yield _good("The models are those that their cards name.")


def _state(settings: StackSettings) -> Iterator[Finding]:
    folder = DataFolder(settings.home)
    state = read_state(folder)
    if is_locked(folder):
        yield _good(f"The platform runs at {state.url}.") if state else _good("The platform is starting or stopping.")
    else:
        if state:
            left = [name for name, it in state.processes.items() if it.pid and state.family(name).living()]
            also = f", and left {', '.join(left)} running" if left else ""
            yield _warning(f"The last run ended without cleaning up{also}: `bonafide up` or `down` will.")
        complaints = taken(settings.ports)
        yield from map(_wrong, complaints)
        if not complaints:
            yield _good("Every port is free.")
    for name in SECRET_NAMES:
        file = folder.secrets / name
        if file.exists() and file.stat().st_mode & 0o077:
            yield _wrong(f"{file} can be read by others: chmod 600 it, and change it if they did.")
