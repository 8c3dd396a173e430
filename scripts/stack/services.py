"""The Bentos and the gateway as programs: how they are started, and asked over HTTP whether they are ready."""

import functools
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp

from bentos.contract import READY_PATH, Modality
from scripts.stack.program import NotReadyError, Program
from scripts.stack.settings import CHECKOUT, HOST

BENTOS: Final = {
    Modality.IMAGE: "bentos.image:ImageDetector",
    Modality.VIDEO: "bentos.video:VideoDetector",
    Modality.AUDIO: "bentos.audio:AudioDetector",
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
