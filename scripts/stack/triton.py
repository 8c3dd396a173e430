"""The embedded Triton: NVIDIA's binary from its wheel, with our Python-based `onnxruntime` backend beside it."""

import asyncio
import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.stack.control import KEY_NAME, ModelError, TritonControl, TritonUnreachableError
from scripts.stack.loads import load_served
from scripts.stack.program import NotReadyError, Program, StartError
from scripts.stack.repository import RepositoryError, served
from scripts.stack.sessions import sweep_shared_memory
from scripts.stack.settings import HOST

BACKENDS: Final = Path(__file__).resolve().parents[1] / "triton_backends"
STUB: Final = "triton_python_backend_stub"
PYTHON_VERSION: Final = "3.11"
RESTRICTED: Final = "model-repository,shared-memory,trace,logging"
"""What only a holder of the control key may ask for: whatever changes the server or reads its memory."""

_QUESTION: Final = (
    "import json, sys, sysconfig as s;"
    "print(json.dumps([s.get_path('purelib'), s.get_config_var('LIBDIR'), '%d.%d' % sys.version_info[:2]]))"
)
_PROBE_DEADLINE_S: Final = 2
_SHARED_MEMORY_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Installation:
    """Where Triton's wheel and the libraries of its Python lie."""

    python: Path
    package: Path
    libraries: tuple[Path, ...]

    @property
    def server(self) -> Path:
        """The binary."""
        return self.package / "bin" / "tritonserver"

    @property
    def stub(self) -> Path:
        """The program that runs a Python-based backend, for the Python version of the environment."""
        return self.package / "python_backend_stubs" / PYTHON_VERSION / STUB


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """What is needed to run one Triton: its environment, its models, its own folder, its ports and its key."""

    python: Path
    repository: Path
    folder: Path
    http_port: int
    grpc_port: int
    metrics_port: int
    control_key: str
    grace_s: float = 20

    @property
    def address(self) -> str:
        """Host and port of the gRPC service."""
        return f"{HOST}:{self.grpc_port}"

    @property
    def shared_memory_prefix(self) -> str:
        """Beginning of the names of its shared-memory regions, which no other Triton on this machine uses."""
        return f"bonafide-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}-"

    def control(self) -> TritonControl:
        """Open a connection with the right to load models."""
        return TritonControl(self.address, self.control_key)


def installation(python: Path) -> Installation:
    """Ask an environment's Python where things are. Raises `StartError` where Triton is not installed in it."""
    try:
        answer = subprocess.run([str(python), "-c", _QUESTION], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise StartError(f"Triton's environment does not answer ({error}): run `make up`.") from error
    purelib, libraries, version = json.loads(answer.stdout)
    package = Path(purelib) / "pytriton" / "tritonserver"
    if version != PYTHON_VERSION or not (package / "bin" / "tritonserver").is_file():
        raise StartError(f"{python} is no Python {PYTHON_VERSION} with nvidia-pytriton: run `make up`.")
    wheel_libraries = Path(purelib) / "nvidia_pytriton.libs"
    return Installation(python=python, package=package, libraries=(wheel_libraries, Path(libraries)))


def environment_of(where: Installation, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which Triton finds its libraries and its stubs find their Python."""
    paths = [*map(str, where.libraries), *filter(None, [environment.get("LD_LIBRARY_PATH")])]
    return {
        **environment,
        "LD_LIBRARY_PATH": ":".join(paths),
        "PATH": f"{where.python.parent}:{environment.get('PATH', '/usr/bin:/bin')}",
        # Stubs are made by the dozen over a day of swaps: few arenas keep what each of them holds small.
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def assemble(where: Installation, folder: Path) -> Path:
    """Build the backend folder: NVIDIA's python backend with the right stub, and our own beside it. Returns it."""
    backends = folder / "backends"
    shutil.rmtree(backends, ignore_errors=True)
    shutil.copytree(where.package / "backends" / "python", backends / "python", ignore=shutil.ignore_patterns("__*"))
    shutil.copy2(where.stub, backends / "python" / STUB)
    (backends / "python" / STUB).chmod(0o755)
    shutil.copytree(BACKENDS, backends, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return backends


def program(
    triton: Triton,
    environment: Mapping[str, str],
    *,
    load_deadline_s: float = 60,
    on_loaded: Callable[[str], None] = lambda _: None,
) -> Program:
    """Return the process of a Triton that is ready when every served version has answered."""
    where = installation(triton.python)
    return Program(
        name="triton",
        command=(str(where.server), *_arguments(triton)),
        environment=environment_of(where, environment),
        prepare=functools.partial(_prepare, where, triton),
        probe=functools.partial(_probe, triton),
        activate=functools.partial(_activate, triton, load_deadline_s, on_loaded),
        grace_s=triton.grace_s,
    )


def has_gpu() -> bool:
    """Tell whether an NVIDIA driver is loaded here."""
    return Path("/dev/nvidiactl").exists()


def _arguments(triton: Triton) -> list[str]:
    restricted = f"{RESTRICTED}:{KEY_NAME}={triton.control_key}"
    arguments = [
        f"--model-repository={triton.repository}",
        f"--backend-directory={triton.folder / 'backends'}",
        "--model-control-mode=explicit",
        # Every config.pbtxt is complete, and completing one would start each stub twice.
        "--disable-auto-complete-config",
        *(f"--{kind}-address={HOST}" for kind in ("http", "grpc", "metrics")),
        f"--http-port={triton.http_port}",
        f"--grpc-port={triton.grpc_port}",
        f"--metrics-port={triton.metrics_port}",
        f"--grpc-restricted-protocol={restricted}",
        f"--http-restricted-api={restricted}",
        # Nothing of ours speaks HTTP to it: one thread serves the curious.
        "--http-thread-count=1",
        "--allow-cpu-metrics=false",
        f"--exit-timeout-secs={int(triton.grace_s / 4)}",
    ]
    for setting in (
        f"shm-region-prefix-name={triton.shared_memory_prefix}",
        f"shm-default-byte-size={_SHARED_MEMORY_BYTES}",
        f"shm-growth-byte-size={_SHARED_MEMORY_BYTES}",
    ):
        arguments += [f"--backend-config={backend},{setting}" for backend in ("python", "onnxruntime")]
    if not has_gpu():
        arguments += ["--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"]
    return arguments


async def _prepare(where: Installation, triton: Triton) -> None:
    triton.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    await asyncio.to_thread(sweep_shared_memory, triton.shared_memory_prefix)
    await asyncio.to_thread(assemble, where, triton.folder)


async def _probe(triton: Triton) -> None:
    async with triton.control() as control:
        try:
            await control.live(deadline_s=_PROBE_DEADLINE_S)
        except (ModelError, TritonUnreachableError) as error:
            raise NotReadyError(str(error)) from error


async def _activate(triton: Triton, deadline_s: float, on_loaded: Callable[[str], None]) -> None:
    try:
        async with triton.control() as control:
            async for model in load_served(
                control, triton.repository, served(triton.repository), deadline_s=deadline_s
            ):
                on_loaded(model)
    except (ModelError, TritonUnreachableError, RepositoryError) as error:
        raise StartError(f"Triton cannot serve the models. {error}") from error
