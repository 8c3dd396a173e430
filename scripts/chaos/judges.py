"""Who judges in a run: the real image Bento before a real Triton, or one that makes scores up and takes its time."""

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from bentos.contract import Modality
from gateway.detections.fakes import FakeBento, Script
from gateway.settings import GatewaySettings
from scripts.chaos.grounds import Judge, folder_of_its_own, running_program
from scripts.stack import services, triton
from scripts.stack.ports import free_port
from scripts.stack.sessions import sweep_shared_memory
from scripts.stack.settings import CHECKOUT, HOST, load_settings
from scripts.stack.triton import Triton

_TOKEN: Final = "made-up-bento-token-of-the-run-no-other-has"  # noqa: S105 - Of a Bento that nobody else reaches.
_REFERENCE_KEY: Final = "made-up-reference-key-of-the-run-no-other-has"
_GRACE_S: Final = 20.0


@asynccontextmanager
async def real_judge(folder: Path) -> AsyncGenerator[Judge]:
    """Triton with the models of the repository and the image Bento, in a folder under `folder`.

    Raises:
        ChaosError: One of them did not start.
    """
    with folder_of_its_own(folder) as root:
        inference = Triton(
            python=load_settings({}).triton_python,
            repository=CHECKOUT / "model_repository",
            folder=root,
            http_port=free_port(),
            grpc_port=free_port(),
            metrics_port=free_port(),
            control_key=secrets.token_hex(16),
        )
        run_id, port, spool = f"judge-{secrets.token_hex(8)}", free_port(), root / "spool"
        environment = {
            **os.environ,
            "BONAFIDE_HOME": str(root),
            "BONAFIDE_SPOOL": str(spool),
            "BONAFIDE_BENTO_TOKEN": _TOKEN,
            "BONAFIDE_REFERENCE_KEY": _REFERENCE_KEY,
            "BONAFIDE_TRITON_ADDRESS": inference.address,
            "BONAFIDE_MODEL_REPOSITORY": str(CHECKOUT / "model_repository"),
            "BENTOML_HOME": str(root / "bentoml"),
        }
        try:
            async with AsyncExitStack() as stack:
                server = triton.program(inference, dict(os.environ))
                await stack.enter_async_context(running_program(server, log=root / "triton.log", run_id=run_id))
                bento = services.bento(Modality.IMAGE, port, environment, grace_s=_GRACE_S)
                await stack.enter_async_context(running_program(bento, log=root / "bento.log", run_id=run_id))
                yield _judge("The image Bento before Triton judged, as in production.", port, spool)
        finally:
            sweep_shared_memory(inference.shared_memory_prefix)


@asynccontextmanager
async def made_up_judge(folder: Path, script: Script) -> AsyncGenerator[Judge]:
    """A Bento of the same wire that makes scores up; what it does next can be set on `script`."""
    with folder_of_its_own(folder) as root:
        spool, port = root / "spool", free_port()
        fake = FakeBento(Modality.IMAGE, _fake_settings(spool))
        script.models = fake.script.models
        fake.script = script
        runner = web.AppRunner(fake.app(), shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            yield _judge("A Bento of the same wire judged, with made-up scores and times.", port, spool)
        finally:
            await runner.cleanup()


def judge_at(url: str, *, token: str, reference_key: str, spool: Path, words: str) -> Judge:
    """A Bento that runs already."""
    settings = {"IMAGE_BENTO_URL": url, "BENTO_TOKEN": token, "REFERENCE_KEY": reference_key, "SPOOL": str(spool)}
    return Judge(words=words, settings=settings)


def _judge(words: str, port: int, spool: Path) -> Judge:
    url = f"http://{HOST}:{port}"
    return judge_at(url, token=_TOKEN, reference_key=_REFERENCE_KEY, spool=spool, words=words)


def _fake_settings(spool: Path) -> GatewaySettings:
    return GatewaySettings.model_validate(
        {
            "database_url": "postgresql+psycopg://nobody@/nothing",
            "bento_token": _TOKEN,
            "reference_key": _REFERENCE_KEY,
            "token_key": "made-up-token-key-that-nothing-is-signed-by",
            "spool": spool,
        }
    )
