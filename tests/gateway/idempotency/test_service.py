"""The effect of a call and its answer are committed together; whoever repeats the call gets that answer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.db.engine import Database, open_database
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, IdempotencyInProgressError, IdempotencyMismatchError
from gateway.idempotency.sealing import Answer
from gateway.idempotency.service import Call, Idempotency
from gateway.settings import GatewaySettings
from gateway.upkeep import Expiry
from tests.fixtures.gateway import make_account

pytestmark = pytest.mark.integration

SECRET = "made-up-secret-of-these-tests-only"
ANSWER = Answer(status=201, headers={"location": "/x"}, body=b'{"key":"shown-once"}', media_type="application/json")


@pytest.fixture
async def gateway_database(gateway_settings: GatewaySettings) -> AsyncGenerator[Database]:
    async with open_database(gateway_settings) as opened:
        yield opened


@pytest.fixture
async def idempotency(gateway_database: Database) -> Idempotency:
    return Idempotency(gateway_database.engine, SECRET)


@pytest.fixture
async def account_id(database: Any) -> UUID:
    await make_account(database)
    return (await (await database.execute("SELECT id FROM accounts")).fetchone())[0]


@pytest.fixture
def effect(gateway_database: Database) -> Callable[[], Awaitable[Answer]]:
    """Adds a plan, in a transaction as any service opens it."""

    async def add() -> Answer:
        async with transaction(gateway_database.engine) as connection:
            await connection.execute(
                text("INSERT INTO plans (name, title) VALUES ('plan-' || gen_random_uuid(), 'Made up')")
            )
        return ANSWER

    return add


async def plans(database: Any) -> int:
    return (await (await database.execute("SELECT count(*) FROM plans WHERE name LIKE 'plan-%'")).fetchone())[0]


def call(account_id: UUID, key: str = "one", fingerprint: bytes = b"f" * 32) -> Call:
    return Call(account_id=account_id, key=key, fingerprint=fingerprint)


async def never() -> Answer:
    raise AssertionError("The effect must not happen again.")


async def test_the_effect_happens_once_and_the_answer_is_given_as_often_as_it_is_asked_for(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    assert await idempotency.once(call(account_id), effect) == (ANSWER, False)
    for _ in range(2):
        assert await idempotency.once(call(account_id), never) == (ANSWER, True)
    assert await idempotency.once(call(account_id, "two"), effect) == (ANSWER, False)
    assert await plans(database) == 2


async def test_another_call_or_a_detection_under_the_key_is_refused(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    await idempotency.once(call(account_id), effect)
    with pytest.raises(IdempotencyMismatchError):
        await idempotency.once(call(account_id, fingerprint=b"g" * 32), never)
    await database.execute("UPDATE idempotency_keys SET response = NULL, detection_id = uuidv7()")
    with pytest.raises(IdempotencyMismatchError):
        await idempotency.once(call(account_id), never)


async def test_while_one_is_at_work_the_other_is_told_so_and_never_waits(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Answer:
        begun.set()
        await go_on.wait()
        return await effect()

    first = asyncio.create_task(idempotency.once(call(account_id), slow))
    await begun.wait()
    for fingerprint in (b"f" * 32, b"g" * 32):
        with pytest.raises(IdempotencyInProgressError):
            await idempotency.once(call(account_id, fingerprint=fingerprint), never)
    assert await idempotency.once(call(account_id, "two"), effect) == (ANSWER, False)
    go_on.set()
    assert await first == (ANSWER, False)
    assert await idempotency.once(call(account_id), never) == (ANSWER, True)
    assert await plans(database) == 2


async def test_of_many_at_once_one_takes_effect(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    outcomes = await asyncio.gather(
        *(idempotency.once(call(account_id), effect) for _ in range(8)), return_exceptions=True
    )
    given = [outcome for outcome in outcomes if not isinstance(outcome, IdempotencyInProgressError)]
    assert given
    assert all(isinstance(outcome, tuple) and outcome[0] == ANSWER for outcome in given)
    assert await plans(database) == 1


async def test_an_effect_that_fails_leaves_nothing_and_its_key_free(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    async def failing() -> Answer:
        await effect()
        raise ConflictError

    with pytest.raises(ConflictError):
        await idempotency.once(call(account_id), failing)
    assert await plans(database) == 0
    assert await idempotency.once(call(account_id, fingerprint=b"g" * 32), effect) == (ANSWER, False)


async def test_an_effect_that_catches_its_own_failure_goes_on(
    idempotency: Idempotency, account_id: UUID, effect: Any, gateway_database: Database, database: Any
) -> None:
    async def stubborn() -> Answer:
        await effect()
        with suppress(IntegrityError):
            async with transaction(gateway_database.engine) as connection:
                await connection.execute(text("INSERT INTO plans (name, title) VALUES ('plan-lost', '')"))
                await connection.execute(text("INSERT INTO plans (name) VALUES ('plan-without-title')"))
        return ANSWER

    assert await idempotency.once(call(account_id), stubborn) == (ANSWER, False)
    assert await plans(database) == 1


async def test_a_session_cut_in_between_leaves_neither_the_effect_nor_the_answer(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    async def cut_off() -> Answer:
        answer = await effect()
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return answer

    with pytest.raises(Exception, match="terminating connection"):
        await idempotency.once(call(account_id), cut_off)
    assert await plans(database) == 0
    assert await idempotency.once(call(account_id), effect) == (ANSWER, False)


async def test_outside_of_such_a_call_a_transaction_stands_alone(
    idempotency: Idempotency, account_id: UUID, effect: Any, database: Any
) -> None:
    await idempotency.once(call(account_id), effect)
    await effect()
    assert await plans(database) == 2


async def test_what_is_kept_shows_nothing_and_opens_only_with_the_secret_and_the_key(
    idempotency: Idempotency, account_id: UUID, effect: Any, gateway_database: Database, database: Any
) -> None:
    await idempotency.once(call(account_id), effect)
    kept = await (await database.execute("SELECT response FROM idempotency_keys")).fetchone()
    assert b"shown-once" not in kept[0]
    changed = Idempotency(gateway_database.engine, "another-made-up-secret-of-these-tests")
    with pytest.raises(ConflictError) as refused:
        await changed.once(call(account_id), never)
    assert refused.value.code == "idempotency_unreadable"
    await database.execute("UPDATE idempotency_keys SET key = 'two'")
    with pytest.raises(ConflictError):
        await idempotency.once(call(account_id, "two"), never)


async def test_what_is_a_day_old_counts_no_more_and_is_swept(
    idempotency: Idempotency, account_id: UUID, effect: Any, gateway_database: Database, database: Any
) -> None:
    for key in ("one", "two", "three"):
        await idempotency.once(call(account_id, key), effect)
    await database.execute("UPDATE idempotency_keys SET expires_at = now() WHERE key <> 'three'")
    assert await idempotency.once(call(account_id, fingerprint=b"g" * 32), effect) == (ANSWER, False)
    assert await Expiry(gateway_database.pool).sweep() == 1
    keys = await (await database.execute("SELECT key FROM idempotency_keys ORDER BY key")).fetchall()
    assert keys == [("one",), ("three",)]
