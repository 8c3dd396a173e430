"""A password that is replaced while it is used opens nothing any more."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from gateway.accounts.letters import Letters
from gateway.accounts.passwords import Passwords
from gateway.accounts.recovery import Recovery
from gateway.accounts.service import NOBODY, Accounts, Member
from gateway.accounts.sessions import Sessions
from gateway.db.engine import Database, open_database
from gateway.errors import InvalidTokenError, WrongPasswordError
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import EMAIL, PASSWORD

pytestmark = pytest.mark.integration

REPLACE = "UPDATE accounts SET password_hash = 'another'"
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def opened(gateway_settings: GatewaySettings, database: Connection) -> AsyncGenerator[Database]:
    assert database
    async with open_database(gateway_settings) as opened:
        yield opened


async def sign_up(opened: Database, settings: GatewaySettings) -> UUID:
    made = await Accounts(opened.engine, Passwords(), settings).register(email=EMAIL, password=PASSWORD)
    return made.account_id


async def log_in(opened: Database, settings: GatewaySettings) -> Member:
    return await Accounts(opened.engine, Passwords(), settings).log_in(EMAIL, PASSWORD, address=None)


async def open_session(opened: Database, settings: GatewaySettings, member: Member) -> None:
    await Sessions(opened.engine, settings).open(
        member.account_id, method="password", address=None, client="", proof=member.proof
    )


async def one_waits_for_a_lock(database: Connection) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await (await database.execute(query)).fetchone() is None:  # noqa: ASYNC110 - Nobody tells.
            await asyncio.sleep(0.01)


async def test_no_session_opens_by_a_password_replaced_before(
    opened: Database, gateway_settings: GatewaySettings, database: Connection
) -> None:
    await sign_up(opened, gateway_settings)
    member = await log_in(opened, gateway_settings)
    assert "argon2" not in repr(member)
    await open_session(opened, gateway_settings, member)
    await database.execute(REPLACE)
    with pytest.raises(InvalidTokenError):
        await open_session(opened, gateway_settings, member)
    assert await (await database.execute("SELECT count(*) FROM sessions")).fetchone() == (1,)


async def test_a_session_waits_for_a_password_that_is_being_replaced(
    opened: Database, gateway_settings: GatewaySettings, database: Connection
) -> None:
    await sign_up(opened, gateway_settings)
    member = await log_in(opened, gateway_settings)
    async with database.transaction():
        await database.execute(REPLACE)
        opening = asyncio.create_task(open_session(opened, gateway_settings, member))
        await one_waits_for_a_lock(database)
    with pytest.raises(InvalidTokenError):
        await opening
    assert await (await database.execute("SELECT count(*) FROM sessions")).fetchone() == (0,)


async def test_no_key_is_made_by_a_password_replaced_before(
    opened: Database, gateway_settings: GatewaySettings, database: Connection
) -> None:
    class Overtaken(Accounts):
        async def log_in(self, *arguments: Any, **options: Any) -> Member:
            member = await super().log_in(*arguments, **options)
            await database.execute(REPLACE)
            return member

    await sign_up(opened, gateway_settings)
    before = await (await database.execute("SELECT id, revoked_at FROM api_keys")).fetchall()
    with pytest.raises(WrongPasswordError):
        await Overtaken(opened.engine, Passwords(), gateway_settings).regenerate_key(EMAIL, PASSWORD)
    assert await (await database.execute("SELECT id, revoked_at FROM api_keys")).fetchall() == before


async def test_no_password_is_set_by_one_replaced_before(
    opened: Database, gateway_settings: GatewaySettings, database: Connection
) -> None:
    class Overtaken(Passwords):
        async def hash(self, password: str) -> str:
            await database.execute(REPLACE)
            return await super().hash(password)

    account_id = await sign_up(opened, gateway_settings)
    accounts = Accounts(opened.engine, Passwords(), gateway_settings)
    letters = Letters(opened.engine, gateway_settings)
    recovery = Recovery(opened.engine, Overtaken(), accounts, letters, gateway_settings)
    with pytest.raises(WrongPasswordError):
        await recovery.change_password(account_id, PASSWORD, "battery staple", session_id=None, actor=NOBODY)
    assert await (await database.execute("SELECT password_hash FROM accounts")).fetchone() == ("another",)
