import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from gateway.accounts.passwords import LONGEST, Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Argon2 at its real cost."""
    made = Passwords()
    yield made
    made.close()


async def test_a_password_is_verified_against_its_hash(passwords: Passwords) -> None:
    kept = await passwords.hash("right")
    assert kept.startswith("$argon2id$")
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
