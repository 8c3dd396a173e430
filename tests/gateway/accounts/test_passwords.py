import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher

from gateway.accounts import passwords as module
from gateway.accounts.passwords import LONGEST, Passwords
from gateway.accounts.service import Accounts
from gateway.db.engine import open_database
from gateway.errors import OverloadedError
from gateway.settings import GatewaySettings


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    """Argon2 at its real cost, which other tests do without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PasswordHasher", PasswordHasher)
        module._nobodys_hash.cache_clear()
        made = Passwords()
        yield made
        made.close()
    module._nobodys_hash.cache_clear()


async def test_a_password_is_verified_against_its_hash(passwords: Passwords) -> None:
    kept = await passwords.hash("right")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.verify("right", kept)
    assert not await passwords.verify("wrong", kept)
    assert not await passwords.verify("right", "no hash")


async def test_a_known_and_an_unknown_account_cost_the_same_work(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await passwords.hash("right")
    verified: list[str] = []
    verify = PasswordHasher.verify

    def counting(self: PasswordHasher, password_hash: str, password: str) -> bool:
        verified.append(password_hash.rsplit("$", 2)[0])
        return verify(self, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    assert not await passwords.verify("wrong", kept)
    assert not await passwords.verify("wrong", None)
    assert len(verified) == 2
    assert verified[0] == verified[1]


async def test_nobodys_password_is_no_way_in(passwords: Passwords) -> None:
    assert not await passwords.verify("the password of nobody", None)


async def test_an_overlong_password_is_wrong_even_where_its_beginning_is_right(passwords: Passwords) -> None:
    kept = await passwords.hash("x" * LONGEST)
    assert await passwords.verify("x" * LONGEST, kept)
    assert not await passwords.verify("x" * (LONGEST + 1), kept)


async def test_hashing_does_not_hold_up_the_event_loop(passwords: Passwords) -> None:
    hashing = asyncio.gather(*(passwords.hash("slow") for _ in range(3)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10


async def test_whoever_would_wait_too_long_is_refused_at_once() -> None:
    passwords = Passwords(most_waiting=1)
    try:
        results = await asyncio.gather(*(passwords.hash("slow") for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [str, str, str, OverloadedError, OverloadedError]
        assert await passwords.verify("slow", str(results[0]))
    finally:
        passwords.close()


@pytest.mark.integration
async def test_an_overloaded_gateway_counts_no_failure(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    passwords = Passwords(most_waiting=0)
    async with open_database(gateway_settings) as opened:
        accounts = Accounts(opened.engine, passwords, gateway_settings)
        release = threading.Event()
        busy = [asyncio.create_task(passwords._work(release.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await accounts.log_in("nobody@example.org", "password", address="192.0.2.1")
        release.set()
        await asyncio.gather(*busy)
    passwords.close()
    rows = await (await database.execute("SELECT failures FROM sign_in_failures")).fetchall()
    assert rows == [(0,), (0,)]
