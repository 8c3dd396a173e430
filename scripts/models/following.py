"""What the running Bentos say of versions: whether they follow a traffic table, and which calls are still in flight."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from bentos.contract import FIGURES_PATH, Figures, Modality
from scripts.models.publish import digest_of
from scripts.models.serving import Platform

FOLLOW_DEADLINE_S: Final = 15.0
_ASK_DEADLINE_S: Final = 5.0
_INTERVAL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bentos:
    """What the Bentos answered: `figures` of those that did, those `away` (nothing listens there), and `troubles`."""

    figures: Mapping[Modality, Figures]
    away: frozenset[Modality]
    troubles: Mapping[Modality, str]

    def follow(self, digest: str) -> bool:
        """Tell whether every Bento that runs routes by the table of this digest."""
        return not self.troubles and all(each.table == digest for each in self.figures.values())

    def busy(self) -> frozenset[tuple[str, int]]:
        """Return the versions, as model and number, with which a call is in flight."""
        return frozenset(
            (version.model, version.version)
            for figures in self.figures.values()
            for version in figures.versions
            if version.in_flight
        )

    def laggards(self, digest: str) -> list[str]:
        """Say of each Bento that does not follow why."""
        behind = [f"{modality} routes by another table" for modality, f in self.figures.items() if f.table != digest]
        return behind + [f"{modality}: {trouble}" for modality, trouble in self.troubles.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How the Bentos took a new table: the last answers, and after how many seconds all followed; None: not all do."""

    bentos: Bentos
    seconds: float | None


async def ask_bentos(platform: Platform) -> Bentos:
    """Ask every Bento of the platform once. Raises nothing of the network."""
    figures, away, troubles = dict[Modality, Figures](), set[Modality](), dict[Modality, str]()
    timeout = aiohttp.ClientTimeout(total=_ASK_DEADLINE_S)
    headers = {"authorization": f"Bearer {platform.token or ''}"}

    async def one(session: aiohttp.ClientSession, modality: Modality, url: str) -> None:
        try:
            async with session.get(url + FIGURES_PATH) as response:
                body = await response.read()
                if response.status != HTTPStatus.OK:
                    troubles[modality] = f"it answers {response.status} when it is asked for its figures"
                    return
                figures[modality] = msgspec.json.decode(body, type=Figures)
        except aiohttp.ClientConnectorError:
            away.add(modality)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            troubles[modality] = str(error) or type(error).__name__

    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        await asyncio.gather(*(one(session, modality, url) for modality, url in platform.bentos.items()))
    return Bentos(figures=figures, away=frozenset(away), troubles=troubles)


async def follow(platform: Platform, digest: Callable[[], str], *, deadline_s: float = FOLLOW_DEADLINE_S) -> Followed:
    """Wait until every Bento that runs routes by the table that has this digest now, at most until the deadline."""
    started = time.monotonic()
    while True:
        bentos = await ask_bentos(platform)
        passed = time.monotonic() - started
        if bentos.follow(digest()):
            return Followed(bentos=bentos, seconds=passed)
        if passed > deadline_s:
            return Followed(bentos=bentos, seconds=None)
        await asyncio.sleep(_INTERVAL_S)


async def wait_heard(platform: Platform, table: Path, *, deadline_s: float = FOLLOW_DEADLINE_S) -> str:
    """Wait until every Bento that runs routes by the table in this file, and say so, or which do not in time."""

    def digest() -> str:
        return digest_of(table.read_bytes())

    followed = await follow(platform, digest, deadline_s=deadline_s)
    if followed.seconds is None:
        return (
            f"Not every Bento follows yet ({'; '.join(followed.bentos.laggards(digest()))}). They look once a second."
        )
    if not followed.bentos.figures:
        return "No Bento runs; each reads the table when it starts."
    return f"All Bentos that run follow, after {followed.seconds:.1f} s."


async def wait_idle(platform: Platform, versions: frozenset[tuple[str, int]], *, deadline_s: float) -> Bentos:
    """Wait until no call is in flight with these versions, at most until the deadline; return the last answers."""
    until = time.monotonic() + deadline_s
    while True:
        bentos = await ask_bentos(platform)
        if not bentos.troubles and not bentos.busy() & versions:
            return bentos
        if time.monotonic() > until:
            return bentos
        await asyncio.sleep(_INTERVAL_S)
