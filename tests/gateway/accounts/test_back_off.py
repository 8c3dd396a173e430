"""Failed sign-ins make the next ones wait, and lock nobody out."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import httpx
import psycopg
import pytest

from gateway.accounts.back_off import BackOff, login_subject, wait_s
from gateway.db.engine import open_database
from gateway.errors import TooManyAttemptsError
from gateway.settings import GatewaySettings
from tests.fixtures.accounts import elsewhere, fail, log_in, mailed_token, register, write_letters
from tests.fixtures.gateway import EMAIL, PASSWORD, Client

pytestmark = pytest.mark.integration

HOME, ABROAD = "192.0.2.1", "198.51.100.7"


def test_tries_are_free_at_first_and_then_wait_twice_as_long_each_time_up_to_a_cap() -> None:
    waits = [wait_s(failures, free=5, longest_s=900) for failures in range(40)]
    assert waits[:8] == [0, 0, 0, 0, 0, 1, 2, 4]
    assert all(one <= other for one, other in pairwise(waits))
    assert waits[-1] == 900
    assert wait_s(10**9, free=5, longest_s=900) == 900


def test_names_are_counted_by_a_digest_in_whatever_case() -> None:
    assert login_subject("Ada@Example.org") == login_subject("ada@example.org")
    assert "ada" not in login_subject("ada@example.org")


async def codes(http: httpx.AsyncClient, tries: int, login: str = EMAIL) -> list[int]:
    return [(await fail(http, login)).status_code for _ in range(tries)]


async def put_back(database: psycopg.AsyncConnection[Any], seconds: float) -> None:
    """Let time pass for the failures; a negative number holds it up, however slow the machine is."""
    query = "UPDATE sign_in_failures SET last_failed_at = clock_timestamp() - make_interval(secs => %s)"
    await database.execute(query, (seconds,))


async def count_tries(settings: GatewaySettings, names: Sequence[str], address: str) -> None:
    async with open_database(settings) as opened:
        back_off = BackOff(settings)
        for name in names:
            async with opened.engine.begin() as connection:
                await back_off.count(connection, back_off.subjects(name, address))


@pytest.mark.parametrize("login", [EMAIL, "nobody@example.org"])
async def test_the_sixth_wrong_try_by_a_name_has_to_wait(
    anonymous: Client, database: psycopg.AsyncConnection[Any], login: str
) -> None:
    await register(anonymous.http)
    async with elsewhere(anonymous, ABROAD) as http:
        assert await codes(http, 5, login) == [401] * 5
        await put_back(database, -60)
        refused = await fail(http, login)
        assert refused.status_code == 429
        assert 50 <= int(refused.headers["retry-after"]) <= 61
        assert refused.json()["code"] == "too_many_attempts"
        await put_back(database, 1)
        assert await codes(http, 1, login) == [401]


async def test_the_wait_is_what_the_failures_say(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    await count_tries(gateway_settings, ["ada"], HOME)
    await database.execute("UPDATE sign_in_failures SET failures = 13")
    await put_back(database, 100)
    with pytest.raises(TooManyAttemptsError) as refused:
        await count_tries(gateway_settings, ["ada"], HOME)
    assert refused.value.retry_after_s is not None
    assert 140 <= refused.value.retry_after_s <= 156
    await put_back(database, 256)
    await count_tries(gateway_settings, ["ada"], HOME)


async def test_what_is_refused_does_not_make_the_wait_longer(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    async with elsewhere(anonymous, ABROAD) as http:
        await codes(http, 5)
        await put_back(database, -60)
        assert await codes(http, 20) == [429] * 20
        row = await (await database.execute("SELECT max(failures) FROM sign_in_failures")).fetchone()
    assert row == (5,)


async def test_many_tries_at_once_do_not_slip_through(gateway_settings: GatewaySettings) -> None:
    async with open_database(gateway_settings) as opened:
        back_off = BackOff(gateway_settings)

        async def count() -> bool:
            try:
                async with opened.engine.begin() as connection:
                    await back_off.count(connection, back_off.subjects("ada", HOME))
            except TooManyAttemptsError:
                return False
            return True

        assert sum(await asyncio.gather(*(count() for _ in range(20)))) == 5


async def test_the_owner_gets_in_from_a_familiar_address_whatever_others_do(
    anonymous: Client, database: psycopg.AsyncConnection[Any]
) -> None:
    async with elsewhere(anonymous, HOME) as home, elsewhere(anonymous, ABROAD) as abroad:
        await register(home)
        await codes(abroad, 5)
        await put_back(database, -60)
        right = {"login": EMAIL, "password": PASSWORD}
        assert (await abroad.post("/v1/auth/login", json=right)).status_code == 429
        await log_in(home)
        assert (await abroad.post("/v1/auth/login", json=right)).status_code == 429


async def test_guessing_from_a_familiar_address_ends_too(
    anonymous: Client, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    await register(anonymous.http)
    await fail(anonymous.http)
    query = "UPDATE sign_in_failures SET failures = %s WHERE subject LIKE 'familiar:%%'"
    changed = await database.execute(query, (gateway_settings.sign_in_tries_by_address,))
    assert changed.rowcount == 1
    await put_back(database, -60)
    assert (await fail(anonymous.http)).status_code == 429
    async with elsewhere(anonymous, ABROAD) as abroad:
        await log_in(abroad)


async def test_a_right_password_forgets_the_failures_of_its_account(anonymous: Client) -> None:
    async with elsewhere(anonymous, HOME) as home, elsewhere(anonymous, ABROAD) as abroad:
        await register(home)
        await codes(abroad, 4)
        await log_in(abroad)
        assert await codes(abroad, 5) == [401] * 5


async def test_an_address_that_tries_many_names_has_to_wait(
    anonymous: Client, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    names = [f"name-{place}" for place in range(gateway_settings.sign_in_tries_by_address)]
    await count_tries(gateway_settings, names, "2001:db8:1:2::7")
    await put_back(database, -60)
    async with elsewhere(anonymous, "2001:db8:1:2:ffff::1") as same_network:
        assert (await fail(same_network, "another")).status_code == 429
    async with elsewhere(anonymous, "2001:db8:1:3::1") as another:
        assert (await fail(another, "another")).status_code == 401


async def test_failures_are_forgotten_after_a_day(
    gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    await count_tries(gateway_settings, ["ada"] * 5, HOME)
    await put_back(database, -60)
    with pytest.raises(TooManyAttemptsError):
        await count_tries(gateway_settings, ["ada"], HOME)
    await put_back(database, 86_401)
    await count_tries(gateway_settings, ["ada"] * 5, HOME)


async def test_a_new_password_lets_the_owner_in_from_anywhere(
    anonymous: Client, gateway_settings: GatewaySettings, database: psycopg.AsyncConnection[Any]
) -> None:
    async with elsewhere(anonymous, HOME) as home, elsewhere(anonymous, ABROAD) as abroad:
        await register(home, username="ada")
        await codes(abroad, 6)
        await codes(abroad, 6, "ada")
        await abroad.post("/v1/auth/password/forgot", json={"email": EMAIL})
        await write_letters(database, gateway_settings)
        body = {"token": await mailed_token(database), "password": "battery staple"}
        assert (await abroad.post("/v1/auth/password/reset", json=body)).status_code == 204
        await log_in(abroad, EMAIL, "battery staple")
        await log_in(abroad, "ada", "battery staple")


@pytest.mark.parametrize("path", ["/login", "/regenerate-key"])
async def test_contract_a_is_held_back_as_well(
    anonymous: Client, database: psycopg.AsyncConnection[Any], path: str
) -> None:
    async with elsewhere(anonymous, HOME) as home, elsewhere(anonymous, ABROAD) as abroad:
        await home.post("/signup", json={"email": EMAIL, "password": PASSWORD})
        wrong = {"email": EMAIL, "password": "not the password"}
        answers = [await abroad.post(path, json=wrong) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401] * 5
        await put_back(database, -60)
        refused = await abroad.post(path, json=wrong)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "too_many_attempts"
        assert (await home.post(path, json=wrong | {"password": PASSWORD})).status_code == 200
