"""Connections: what their errors tell, how they are opened, and that no task holds two."""

import re
from pathlib import Path

import pytest
import sqlalchemy.exc
from sqlalchemy import text

from gateway.db.engine import CONNECTING, open_database
from gateway.db.transactions import SecondConnectionError, joinable_transaction, transaction
from gateway.settings import GatewaySettings

ROOT = Path(__file__).parents[3]


@pytest.mark.integration
async def test_an_error_does_not_tell_what_a_statement_was_run_with(gateway_settings: GatewaySettings) -> None:
    async with open_database(gateway_settings) as opened:
        with pytest.raises(sqlalchemy.exc.DBAPIError) as raised:
            async with opened.engine.begin() as connection:
                await connection.execute(text("SELECT 1 / 0, CAST(:secret AS text)"), {"secret": "argon2-of-someone"})
    assert "argon2-of-someone" not in str(raised.value)


def test_every_engine_hides_parameters_and_every_connection_notices_a_vanished_server() -> None:
    """Read from the source: an engine that is made anew has to say so too."""
    found = 0
    for path in (*(ROOT / "gateway").rglob("*.py"), *(ROOT / "scripts" / "operate").rglob("*.py")):
        source = path.read_text()
        for call in re.finditer(
            r"(create_(?:async_)?engine|AsyncConnectionPool|PsycopgConnector|AsyncConnection\.connect)\(", source
        ):
            arguments = _arguments(source, call.end())
            if not arguments:
                continue
            found += 1
            assert "CONNECTING" in arguments, path
            assert "engine" not in call[1] or "hide_parameters=True" in arguments, path
    assert found == 9
    assert CONNECTING.keys() >= {"connect_timeout", "keepalives_idle", "tcp_user_timeout"}


@pytest.mark.integration
async def test_a_task_that_holds_a_joinable_transaction_gets_no_second_connection(
    gateway_settings: GatewaySettings,
) -> None:
    async with open_database(gateway_settings) as opened:
        async with joinable_transaction(opened.engine) as outer:
            with pytest.raises(SecondConnectionError):
                async with opened.engine.begin():
                    pass
            with pytest.raises(SecondConnectionError):
                async with opened.engine.connect():
                    pass
            async with transaction(opened.engine) as inner:
                assert inner is outer
        async with opened.engine.begin() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1


def _arguments(source: str, start: int) -> str:
    """What stands between the parentheses that were opened right before `start`."""
    depth, place = 1, start
    while depth:
        depth += {"(": 1, ")": -1}.get(source[place], 0)
        place += 1
    return source[start : place - 1]
