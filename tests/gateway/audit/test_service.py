from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gateway.audit.service import SYSTEM, Act, Actor, record
from gateway.db.engine import open_database
from gateway.settings import GatewaySettings

pytestmark = pytest.mark.integration


async def test_an_act_is_written_with_the_transaction_and_without_secrets(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    account = uuid4()
    actor = Actor(account_id=account, kind="user", address="192.0.2.1", request_id="a-request")
    act = Act(actor, "account.change", "account", str(account), {"plan": "a"}, {"plan": "b", "password": "hunter2"})
    async with open_database(gateway_settings) as opened:
        async with opened.engine.begin() as connection:
            await record(connection, act)
        async with opened.engine.connect() as connection:
            await record(connection, Act(SYSTEM, "account.forget", "account", None))
            await connection.rollback()
    query = """
        SELECT actor_id, actor_kind, address, request_id, action, target_id, before, after, place FROM audit_events
    """
    rows = await (await database.execute(query)).fetchall()
    assert rows == [
        (
            account,
            "user",
            "192.0.2.1",
            "a-request",
            "account.change",
            str(account),
            {"plan": "a"},
            {"plan": "b", "password": "[redacted]"},
            None,
        )
    ]
