"""The last use of keys and sessions: noted in memory, written together, never in anyone's way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.access.tokens import read_access_token
from gateway.db.engine import open_database
from gateway.keys.last_use import LastUse
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import make_holder
from tests.fixtures.keys import sign_in

pytestmark = pytest.mark.integration


async def test_keys_and_sessions_are_written_and_time_never_runs_backwards(
    database: Any, gateway_settings: GatewaySettings
) -> None:
    used, unused = await make_holder(database), await make_holder(database)
    token = await sign_in(database, gateway_settings, used.account_id)
    session_id = read_access_token(token, key=gateway_settings.token_key.get_secret_value()).session_id
    await database.execute("UPDATE sessions SET last_used_at = '2001-01-01'")
    before = datetime.now(UTC)
    async with open_database(gateway_settings) as opened:
        last_use = LastUse(opened.pool)
        for _ in range(3):
            last_use.note(key_id=used.key_id)
        last_use.note(session_id=session_id)
        last_use.note()
        await last_use.flush()
        keys = dict(await (await database.execute("SELECT id, last_used_at FROM api_keys")).fetchall())
        ((at,),) = await (await database.execute("SELECT last_used_at FROM sessions")).fetchall()
        assert before <= keys[used.key_id] <= datetime.now(UTC)
        assert before <= at <= datetime.now(UTC)
        assert keys[unused.key_id] is None
        # Another process saw a later use.
        later = datetime.now(UTC) + timedelta(hours=1)
        await used.set_key(last_used_at=later)
        last_use.note(key_id=used.key_id)
        await last_use.flush()
    row = await (await database.execute("SELECT max(last_used_at) FROM api_keys")).fetchone()
    assert row[0] == later


async def test_a_row_that_somebody_holds_is_not_waited_for(database: Any, gateway_settings: GatewaySettings) -> None:
    held, free = await make_holder(database), await make_holder(database)
    async with open_database(gateway_settings) as opened:
        last_use = LastUse(opened.pool)
        async with database.transaction():
            await database.execute("SELECT 1 FROM api_keys WHERE id = %s FOR UPDATE", (held.key_id,))
            last_use.note(key_id=held.key_id)
            last_use.note(key_id=free.key_id)
            await last_use.flush()
    keys = dict(await (await database.execute("SELECT id, last_used_at IS NOT NULL FROM api_keys")).fetchall())
    assert keys == {held.key_id: False, free.key_id: True}
