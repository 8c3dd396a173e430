"""The Bentos, the gateway and the worker as programs: how they are started, and asked whether they are ready."""

import functools
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
import psycopg

from bentos.contract import READY_PATH, Modality
from gateway.queue.heartbeat import is_beating, last_worker
from scripts.stack.program import NotReadyError, Program, StartError
from scripts.stack.settings import CHECKOUT, HOST

BENTOS: Final = {
    Modality.IMAGE: "bentos.image:ImageDetector",
    Modality.VIDEO: "bentos.video:VideoDetector",
    Modality.AUDIO: "bentos.audio:AudioDetector",
    Modality.TEXT: "bentos.text:TextDetector",
}
GATEWAY_READY: Final = "/health/ready"

_PROBE_DEADLINE_S: Final = 30
"""A Bento's first answer is a whole detection, which may have to start its decoding process."""


def bento(modality: Modality, port: int, environment: Mapping[str, str], *, grace_s: float) -> Program:
    """Return the process of a Bento. It is ready when a synthetic detection has gone through it and Triton."""
    return Program(
        name=f"bento-{modality}",
        command=(
            *(sys.executable, "-m", "bentoml", "serve", BENTOS[modality]),
            *("--host", HOST, "--port", str(port), "--working-dir", str(CHECKOUT)),
        ),
        environment={**environment, "BENTOML_DO_NOT_TRACK": "True"},
        probe=functools.partial(_probe, f"http://{HOST}:{port}{READY_PATH}"),
        grace_s=grace_s,
        layer=1,
        folder=CHECKOUT,
    )


def gateway(
    url: str, environment: Mapping[str, str], *, activate: Callable[[], Awaitable[None]], grace_s: float
) -> Program:
    """Return the process of the gateway; `activate` runs once the database is migrated."""
    return Program(
        name="gateway",
        command=(sys.executable, "-m", "gateway"),
        environment=environment,
        probe=functools.partial(_probe, url + GATEWAY_READY),
        activate=activate,
        after=("postgres",),
        grace_s=grace_s,
        layer=2,
        folder=CHECKOUT,
    )


def worker(conninfo: str, environment: Mapping[str, str], *, grace_s: float) -> Program:
    """Return the process of the worker. It is ready when it beats in the database that `conninfo` names."""
    heart = _Heart(conninfo)
    return Program(
        name="worker",
        command=(sys.executable, "-m", "gateway.worker"),
        environment=environment,
        prepare=heart.note_others,
        probe=heart.probe,
        after=("postgres",),
        grace_s=grace_s,
        layer=2,
        folder=CHECKOUT,
    )


@dataclass
class _Heart:
    """The heartbeat of a worker that is being started, told from those of its dead predecessors."""

    conninfo: str
    before: int = 0

    async def note_others(self) -> None:
        """Remember who was there before. Raises `StartError` where the database does not answer."""
        try:
            self.before = await last_worker(self.conninfo)
        except psycopg.Error as error:
            raise StartError(f"The database does not answer: {error}") from error

    async def probe(self) -> None:
        """Ask the database for a heartbeat of a new worker."""
        try:
            beating = await is_beating(self.conninfo, after=self.before)
        except psycopg.Error as error:
            raise NotReadyError(str(error).strip()) from error
        if not beating:
            raise NotReadyError("The worker has no heartbeat in the database.")


async def _probe(url: str) -> None:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_DEADLINE_S)) as session,
            session.get(url) as response,
        ):
            if response.status != 200:  # noqa: PLR2004  # HTTP's own word for it.
                raise NotReadyError(f"{url} answers {response.status}: {(await response.text())[:300]}")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotReadyError(f"{url}: {error or type(error).__name__}") from error
