"""Clients as careful programs are: each call has an idempotency key, and is made again until it is answered."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

import httpx
import psycopg

from gateway.keys.secrets import make_key
from scripts.chaos.errors import ChaosError

_CALL_S: Final = 60.0
_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_UNAVAILABLE: Final = 503
_TRY_AGAIN: Final = frozenset({408, 409, 429, 500, 502, 503, 504})

_ACCOUNT: Final = """
    WITH account AS (
        INSERT INTO accounts (email, plan) VALUES ('chaos-' || uuidv4() || '@example.org', 'unlimited') RETURNING id
    )
    INSERT INTO api_keys (account_id, digest, prefix, scopes, is_primary)
    SELECT id, %s, %s, '{*}', true FROM account RETURNING account_id
"""


@dataclass(frozen=True, slots=True)
class Account:
    """An account without limits, and its key."""

    id: UUID
    key: str


def make_account(conninfo: str) -> Account:
    """Make an account straight in the database."""
    key = make_key()
    with psycopg.connect(conninfo, autocommit=True) as database:
        row = database.execute(_ACCOUNT.encode(), (key.digest, key.prefix)).fetchone()
    if row is None:
        raise ChaosError("no account was made")
    return Account(row[0], key.secret)


@dataclass(slots=True)
class Tally:
    """What the calls were answered: how often each status, and what ought not to be.

    `replays` are calls that were made again after an answer was lost or was a refusal; `ids` the resources that calls
    led to, by their idempotency keys. `torn` are those that led to two.
    """

    statuses: Counter[int] = field(default_factory=Counter[int])
    broken_off: int = 0
    how_broken: Counter[str] = field(default_factory=Counter[str])
    without_retry_after: int = 0
    replays: int = 0
    ids: dict[str, str] = field(default_factory=dict[str, str])
    torn: list[str] = field(default_factory=list[str])
    accepted_at: dict[str, float] = field(default_factory=dict[str, float])


class Client:
    """Calls one gateway with the key of one account."""

    def __init__(self, url: str, key: str, tally: Tally) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        self._http = httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=_CALL_S, limits=limits)
        self.tally = tally

    async def __aenter__(self) -> Self:
        """Use it in a block, so that its connections are closed at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def hand_over(self, picture: bytes, name: str, *, within_s: float = 120) -> str:
        """Have a job made of a picture under the idempotency key `name`; its id. Raises ChaosError."""
        return await self._insist("/v1/jobs", picture, name, within_s)

    async def detect(self, picture: bytes, name: str, *, within_s: float = 120) -> str:
        """Have a picture judged while waiting, under the idempotency key `name`; the id of that. Raises ChaosError."""
        return await self._insist("/v1/detections", picture, name, within_s)

    async def get(self, path: str) -> Any:
        """What a path answers. Raises httpx.HTTPError."""
        return (await self._http.get(path)).raise_for_status().json()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """What a path answers to a document. Raises httpx.HTTPError."""
        return (await self._http.post(path, json=body)).raise_for_status().json()

    async def answers(self, path: str) -> bool:
        """Whether a path is answered as it should be, right now. Whatever the answer, it is counted."""
        try:
            answer = await self._http.get(path)
        except httpx.TransportError as error:
            self.tally.broken_off += 1
            self.tally.how_broken[f"{type(error).__name__} at {path}"] += 1
            return False
        self._count(answer)
        return answer.is_success

    async def _insist(self, path: str, picture: bytes, name: str, within_s: float) -> str:
        until, pause, tries = time.monotonic() + within_s, _PAUSE_S, 0
        while time.monotonic() < until:
            tries += 1
            found = await self._try(path, picture, name)
            if found is not None:
                self.tally.replays += tries > 1
                return found
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise ChaosError(f"{path} was not answered for {within_s:.0f} s: {dict(self.tally.statuses)}")

    async def _try(self, path: str, picture: bytes, name: str) -> str | None:
        """One call; None where it has to be made again."""
        files, headers = {"file": ("picture.jpg", picture, "image/jpeg")}, {"idempotency-key": name}
        try:
            answer = await self._http.post(path, files=files, headers=headers)
        except httpx.TransportError as error:
            self.tally.broken_off += 1
            self.tally.how_broken[f"{type(error).__name__} at {path}"] += 1
            return None
        self._count(answer)
        if answer.status_code in _TRY_AGAIN:
            return None
        if not answer.is_success:
            raise ChaosError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        found: str = answer.json()["id"]
        if self.tally.ids.setdefault(name, found) != found:
            self.tally.torn.append(name)
        self.tally.accepted_at.setdefault(name, time.time())
        return found

    def _count(self, answer: httpx.Response) -> None:
        self.tally.statuses[answer.status_code] += 1
        if answer.status_code == _UNAVAILABLE and "retry-after" not in answer.headers:
            self.tally.without_retry_after += 1


async def repeat(work: Callable[[int], Awaitable[object]], *, callers: int, until: Callable[[], bool]) -> int:
    """Do work over and over, by so many at once, until it is enough; how often. Each has a number of its own."""
    done = 0

    async def call(first: int) -> None:
        nonlocal done
        number = first
        while not until():
            await work(number)
            number += callers
            done += 1

    async with asyncio.TaskGroup() as group:
        for first in range(callers):
            group.create_task(call(first))
    return done


async def each(work: Callable[[int], Awaitable[object]], count: int, *, callers: int) -> None:
    """Do work for each number from 0 on, by so many at once."""
    left = iter(range(count))

    async def call() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
