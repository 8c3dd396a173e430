"""The parts that a run starts for itself, as the platform starts them: a durable Postgres, judges, gateways, workers.

Each lies in the run's own folder and listens on ports that were free; what a run leaves behind is killed at its end.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.chaos.errors import ChaosError
from scripts.stack import postgres, services, sessions
from scripts.stack.ports import free_port
from scripts.stack.postgres import Cluster
from scripts.stack.program import Program, StartError
from scripts.stack.running import start, stop
from scripts.stack.settings import HOST

START_DEADLINE_S: Final = 120.0
_PASSWORD: Final = "made-up-for-the-run"  # noqa: S105 - Of a cluster that nobody else reaches.
_GRACE_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The image Bento that judges, and `words` on what it is; `settings` lead the gateway to it."""

    words: str
    settings: Mapping[str, str]


@contextmanager
def folder_of_its_own(folder: Path) -> Generator[Path]:
    """A folder under `folder`, removed afterwards; others may pass through, for Postgres may run as another user."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bonafide-chaos-", dir=folder) as temporary:
        root = Path(temporary)
        root.chmod(0o711)
        yield root


@asynccontextmanager
async def running_program(program: Program, *, log: Path, run_id: str) -> AsyncGenerator[subprocess.Popen[bytes]]:
    """Run a program for the length of a block. Raises ChaosError where it does not start."""
    try:
        process = await start(program, log=log, run_id=run_id, deadline_s=START_DEADLINE_S)
    except StartError as error:
        raise ChaosError(str(error)) from error
    try:
        yield process
    finally:
        await asyncio.to_thread(stop, program, process, run_id)


@asynccontextmanager
async def durable_postgres(folder: Path) -> AsyncGenerator[Cluster]:
    """A cluster with the platform's own settings, so it waits for the disk; made under `folder`, removed afterwards."""
    with folder_of_its_own(folder) as root:
        cluster = Cluster(folder=root / "cluster", password=_PASSWORD)
        server = postgres.program(cluster, dict(os.environ), grace_s=_GRACE_S)
        run_id = f"chaos-{secrets.token_hex(8)}"
        async with running_program(server, log=root / "postgres.log", run_id=run_id):
            yield cluster


@dataclass(slots=True, kw_only=True)
class Platform:
    """A gateway and workers over a durable Postgres, each of which can be killed and started again."""

    root: Path
    cluster: Cluster
    environment: Mapping[str, str]
    url: str
    run_id: str
    grace_s: float
    gateway: subprocess.Popen[bytes] | None = None
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict[int, subprocess.Popen[bytes]])

    @property
    def database_url(self) -> str:
        """Of the platform's database, for SQLAlchemy."""
        return self.cluster.url()

    @property
    def conninfo(self) -> str:
        """Of the platform's database, for psycopg."""
        return self.cluster.conninfo()

    async def start_gateway(self) -> None:
        """Start the gateway and wait until it is ready. Raises ChaosError where it does not become so."""
        program = services.gateway(self.url, self.environment, activate=_nothing, grace_s=self.grace_s)
        try:
            self.gateway = await start(
                program, log=self.root / "gateway.log", run_id=self.run_id, deadline_s=START_DEADLINE_S
            )
        except StartError as error:
            raise ChaosError(str(error)) from error

    async def kill_gateway(self) -> None:
        """Kill all processes of the gateway at once, as `kill -9` does."""
        if self.gateway is not None:
            await _kill(self.gateway)
            self.gateway = None

    async def start_workers(self, count: int, settings: Mapping[str, str] | None = None) -> None:
        """Start workers and wait until each of them beats; `settings`, named without their prefix, are theirs alone.

        Raises:
            ChaosError: One does not.
        """
        environment = {**self.environment, **_prefixed(settings or {})}
        for _ in range(count):
            # Each is told from those before it by its number in the database, so they come one after the other.
            program = services.worker(self.conninfo, environment, grace_s=self.grace_s)
            try:
                process = await start(
                    program, log=self.root / "workers.log", run_id=self.run_id, deadline_s=START_DEADLINE_S
                )
            except StartError as error:
                raise ChaosError(str(error)) from error
            self.workers[process.pid] = process

    async def kill_worker(self, pid: int) -> None:
        """Kill a worker, as `kill -9` does."""
        await _kill(self.workers.pop(pid))

    async def end_worker(self, pid: int, deadline_s: float) -> float:
        """SIGTERM a worker and wait until it has gone; returns after how many seconds. Raises TimeoutError."""
        process, began = self.workers.pop(pid), asyncio.get_running_loop().time()
        process.terminate()
        await asyncio.to_thread(process.wait, deadline_s)
        return asyncio.get_running_loop().time() - began

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        """Send a worker a signal."""
        self.workers[pid].send_signal(number)

    def log(self, name: str) -> str:
        """What the processes of a kind, `gateway` or `workers`, have logged so far."""
        return (self.root / f"{name}.log").read_text(errors="replace")


@asynccontextmanager
async def platform(
    folder: Path, judge: Judge, *, settings: Mapping[str, str] | None = None, grace_s: float = _GRACE_S
) -> AsyncGenerator[Platform]:
    """Postgres and a gateway over `judge`, without workers. `settings` are named without their prefix.

    Raises:
        ChaosError: A part did not start.
    """
    with folder_of_its_own(folder) as root:
        async with durable_postgres(root) as cluster:
            run_id = f"chaos-{secrets.token_hex(8)}"
            port = free_port()
            made = Platform(
                root=root,
                cluster=cluster,
                environment=_environment(root, cluster, port, {**judge.settings, **(settings or {})}),
                url=f"http://{HOST}:{port}",
                run_id=run_id,
                grace_s=grace_s,
            )
            try:
                await made.start_gateway()
                yield made
            finally:
                await asyncio.to_thread(_end_all, made)


def _environment(root: Path, cluster: Cluster, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    fixed = {
        "HOME": str(root / "home"),
        "OBJECT_STORE": f"file://{root / 'media'}",
        "MAIL_FOLDER": str(root / "mail"),
        "DATABASE_URL": cluster.url(),
        "TOKEN_KEY": "made-up-token-key-of-the-run-no-other-has",
        "GATEWAY_PORT": str(port),
        "ACCESS_LOG": "false",
        "ANONYMOUS_BURST": "100000",
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("BONAFIDE_")}
    return others | _prefixed(fixed | dict(settings))


def _prefixed(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"BONAFIDE_{name}": value for name, value in settings.items()}


async def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all of its session, so that none of them can do anything more."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)


def _end_all(platform: Platform) -> None:
    sessions.kill(sessions.marked(platform.run_id))
    for process in (platform.gateway, *platform.workers.values()):
        if process is not None:
            process.wait()


async def _nothing() -> None:
    """The run makes its own accounts."""
