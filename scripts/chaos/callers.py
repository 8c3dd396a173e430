"""Callers of a Bento in a closed loop, in a process of their own: every answer is noted with its times and its version.

It reads `Calling` as JSON from standard input and calls until that is closed; then it writes what it noted, as JSON.
Times are those of `time.monotonic`, which all processes of a machine share.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from bentos.contract import DETECT_PATH, HEADER_CALLER, Detection

_TIMEOUT_S: Final = 60.0


class Calling(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to call: the Bento's address and token, the pictures in turn, and how many callers do so at once.

    Each call is made under another of `names` callers' names.
    """

    url: str
    token: str
    pictures: tuple[str, ...]
    callers: int
    names: int = 1000


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """An answer: when it was asked for, when it came, for which picture, by which version, with which score."""

    began: float
    ended: float
    picture: int
    version: int
    digest: str
    p_fake: float


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted; `failed` says why calls failed."""

    answers: tuple[Answered, ...]
    failed: tuple[str, ...]


async def call(calling: Calling, pictures: Sequence[bytes], stop: asyncio.Event) -> Called:
    """Call until it is to stop and the calls under way have come back."""
    answers, failed = list[Answered](), list[str]()

    async def caller(session: aiohttp.ClientSession, number: int) -> None:
        count = number
        while not stop.is_set():
            picture = count % len(pictures)
            headers = {HEADER_CALLER: f"caller-{count % calling.names}"}
            count += calling.callers + 1
            began = time.monotonic()
            try:
                async with session.post(DETECT_PATH, data=pictures[picture], headers=headers) as response:
                    body = await response.read()
                    if response.status != HTTPStatus.OK:
                        failed.append(f"{response.status}: {body[:300].decode(errors='replace')}")
                        continue
                found = msgspec.json.decode(body, type=Detection)
            except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
                failed.append(repr(error))
                continue
            ended = time.monotonic()
            answers.append(Answered(began, ended, picture, found.version, found.digest, found.p_fake))

    headers = {"authorization": f"Bearer {calling.token}", "content-type": "application/octet-stream"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(calling.url, headers=headers, timeout=timeout) as session:
        await asyncio.gather(*(caller(session, number) for number in range(calling.callers)))
    return Called(answers=tuple(answers), failed=tuple(failed))


async def main() -> None:
    """Read what to do, call until standard input is closed, write what was noted."""
    calling = msgspec.json.decode(await asyncio.to_thread(sys.stdin.buffer.readline), type=Calling)
    stop = asyncio.Event()
    pictures = [await asyncio.to_thread(Path(name).read_bytes) for name in calling.pictures]
    task = asyncio.create_task(call(calling, pictures, stop))
    await asyncio.to_thread(sys.stdin.buffer.read)
    stop.set()
    sys.stdout.buffer.write(msgspec.json.encode(await task))


if __name__ == "__main__":
    asyncio.run(main())
