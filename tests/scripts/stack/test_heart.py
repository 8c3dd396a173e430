"""A worker that hangs is started anew; one that beats, ends, or has lost its database is left alone."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.db.engine import connection_string
from gateway.settings import GatewaySettings
from scripts.stack import services
from scripts.stack.heart import HeartWatch, watch_worker
from scripts.stack.running import running

pytestmark = pytest.mark.integration

FRESH_S = 7


async def watched(conninfo: str, pid: int | None, seconds: float) -> list[str]:
    told: list[str] = []
    restarted = asyncio.Event()
    watch = HeartWatch(
        conninfo=conninfo,
        pid=lambda: pid,
        restart=restarted.set,
        tell=told.append,
        fresh_s=FRESH_S,
        look_s=0.3,
    )
    watching = asyncio.create_task(watch_worker(watch))
    with suppress(TimeoutError):
        await asyncio.wait_for(restarted.wait(), seconds)
    watching.cancel()
    assert restarted.is_set() == bool(told)
    return told


def restarts_within(conninfo: str, pid: int | None, seconds: float) -> list[str]:
    """What is told when the worker with this process is started anew, or nothing, within so many seconds."""
    return asyncio.run(watched(conninfo, pid, seconds))


def test_a_worker_that_hangs_is_started_anew(gateway_settings: GatewaySettings, tmp_path: Path) -> None:
    address = gateway_settings.database_url.get_secret_value()
    values = {
        "BONAFIDE_DATABASE_URL": address,
        "BONAFIDE_BENTO_TOKEN": gateway_settings.bento_token.get_secret_value(),
        "BONAFIDE_REFERENCE_KEY": gateway_settings.reference_key.get_secret_value(),
        "BONAFIDE_TOKEN_KEY": gateway_settings.token_key.get_secret_value(),
        "BONAFIDE_SPOOL": str(gateway_settings.spool),
        "BONAFIDE_HOME": str(tmp_path),
        "BONAFIDE_MAIL_FOLDER": str(tmp_path / "mail"),
    }
    conninfo = connection_string(address)
    program = services.worker(conninfo, os.environ | values, grace_s=10)
    with running(program, log=tmp_path / "worker.log", run_id="heart", deadline_s=60) as process:
        assert restarts_within(conninfo, process.pid, 3) == []
        os.kill(process.pid, signal.SIGSTOP)
        try:
            assert restarts_within(conninfo, None, FRESH_S + 3) == []
            assert restarts_within(conninfo, process.pid, 10) == ["The worker hangs and is started anew."]
        finally:
            os.kill(process.pid, signal.SIGCONT)


def test_a_database_that_is_away_is_no_fault_of_the_worker(tmp_path: Path) -> None:
    assert restarts_within(f"host={tmp_path} dbname=none", 1, 2) == []
