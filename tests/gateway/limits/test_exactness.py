"""Limits and keys over real gateway processes: exactly as many pass as may, and what is dead is dead everywhere."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import httpx
import psutil
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from gateway.settings import GatewaySettings
from tests.fixtures.admissions import Clock, make_holder
from tests.fixtures.gateway import JPEG, GatewayProcess, eventually
from tests.fixtures.keys import Keyring, sign_in

pytestmark = pytest.mark.integration

StartGateway = Callable[..., Awaitable[GatewayProcess]]
NOON = datetime(2030, 6, 15, 12, tzinfo=UTC)
MIDNIGHT = datetime(2030, 6, 16, tzinfo=UTC)
CALLERS = 64
REFUSED_ENOUGH = 2 * CALLERS
BREATH_S = 0.05
SIZE = 64
PATIENCE_S = 180


class Crowd:
    """64 callers of eight gateway processes, who call until they are told to stop, and what they were answered."""

    def __init__(self, gateways: list[GatewayProcess], key: str) -> None:
        self.answered: Counter[int] = Counter()
        self._gateways = gateways
        self._key = key
        self._stopping = False

    async def refused(self, more: int) -> None:
        """Wait until so many more calls were refused by a limit."""
        wanted = self.answered[429] + more

        async def reached() -> bool:
            return self.answered[429] >= wanted

        await eventually(reached, PATIENCE_S)

    async def answers(self, status: int, count: int) -> None:
        """Wait until so many calls in all were answered with a status."""

        async def reached() -> bool:
            return self.answered[status] >= count

        await eventually(reached, PATIENCE_S)

    async def call(self) -> None:
        """Call on and on."""
        # Each call on a connection of its own, so that all processes get some.
        connector = aiohttp.TCPConnector(limit=CALLERS, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._one(session, number) for number in range(CALLERS)))

    def stop(self) -> None:
        """Let every caller stop after its call."""
        self._stopping = True

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        url = f"{self._gateways[number % len(self._gateways)].url}/v1/detections"
        while not self._stopping:
            form = aiohttp.FormData()
            form.add_field("file", JPEG[:SIZE], filename="a.jpg")
            async with session.post(url, data=form, headers={"x-api-key": self._key}) as answer:
                await answer.read()
                self.answered[answer.status] += 1
            if answer.status == 429:
                await asyncio.sleep(BREATH_S)


@pytest.fixture
async def gateways(start_gateway: StartGateway) -> list[GatewayProcess]:
    """Two gateways of four processes each."""
    options = {"gateway_workers": 4, "database_pool": 2}
    return list(await asyncio.gather(start_gateway(**options), start_gateway(**options)))


def used_s(gateways: list[GatewayProcess]) -> dict[int, float]:
    """CPU seconds of each process that serves."""
    children = [child for one in gateways for child in psutil.Process(one.process.pid).children(recursive=True)]
    return {child.pid: sum(child.cpu_times()[:2]) for child in children}


async def by_day(database: Any) -> list[tuple[Any, ...]]:
    query = "SELECT charged_on, status, count(*) FROM detections GROUP BY 1, 2 ORDER BY 1, 2"
    return await (await database.execute(query)).fetchall()


async def test_exactly_the_limit_passes_eight_processes_on_each_day_though_some_fail(
    gateways: list[GatewayProcess], database: Any, bentos: dict[Modality, Script]
) -> None:
    holder = await make_holder(database, daily_limit=1000)
    await holder.set_key(daily_limit=1000)
    clock, script = Clock(database), bentos[Modality.IMAGE]
    await clock.stop_at(NOON)
    before = used_s(gateways)
    crowd = Crowd(gateways, holder.key.secret)
    calling = asyncio.create_task(crowd.call())
    await crowd.refused(REFUSED_ENOUGH)
    assert crowd.answered == {200: 1000, 429: crowd.answered[429]}
    # The callers go on while midnight comes; on the new day every third call fails, and what failed is given back.
    script.refusal, script.refuse_every = (400, ErrorBody(code="unreadable_media", message="Not readable.")), 3
    await clock.run_from(MIDNIGHT - timedelta(milliseconds=200))
    await crowd.answers(200, 2000)
    await crowd.refused(REFUSED_ENOUGH)
    crowd.stop()
    await calling
    assert set(crowd.answered) == {200, 400, 429}
    assert crowd.answered[200] == 2000
    assert await by_day(database) == [
        (NOON.date(), "succeeded", 1000),
        (MIDNIGHT.date(), "failed", crowd.answered[400]),
        (MIDNIGHT.date(), "succeeded", 1000),
    ]
    assert crowd.answered[400] > 300
    used = (MIDNIGHT.date(), 1000, 1000 * SIZE, 2000)
    assert (await holder.meter(), await holder.meter(holder.key_id)) == (used, used)
    after = used_s(gateways)
    assert sum(after[process] - before.get(process, 0) > BREATH_S for process in after) >= 8


async def test_a_key_is_dead_on_every_process_within_a_second(
    start_gateway: StartGateway, database: Any, gateway_settings: GatewaySettings
) -> None:
    one, other = await asyncio.gather(start_gateway(database_pool=2), start_gateway(database_pool=2))
    holder = await make_holder(database)
    token = await sign_in(database, gateway_settings, holder.account_id)
    async with httpx.AsyncClient(base_url=one.url) as here, httpx.AsyncClient(base_url=other.url) as there:
        keyring = Keyring(here, token)
        for end in ("revoke", "rotate", "restrict"):
            made = await keyring.make(scopes=["detect:image", "usage:read"])
            user = Keyring(there, made["key"])
            assert (await user.detect()).status_code == 200
            match end:
                case "revoke":
                    assert (await keyring.ask("DELETE", f"/{made['id']}")).status_code == 204
                case "rotate":
                    await keyring.rotate(made["id"], overlap_s=0)
                case _:
                    assert (await keyring.ask("PATCH", f"/{made['id']}", json={"scopes": ["keys"]})).status_code == 200
            refusal = 403 if end == "restrict" else 401
            assert (await user.detect()).status_code == refusal
            answer = await there.get("/v1/usage", headers={"x-api-key": made["key"]})
            assert answer.status_code == refusal


async def test_a_suspended_account_and_a_closed_session_are_refused_on_every_process(
    start_gateway: StartGateway, database: Any, gateway_settings: GatewaySettings
) -> None:
    gateway = await start_gateway(gateway_workers=2, database_pool=2)
    holder = await make_holder(database)
    token = await sign_in(database, gateway_settings, holder.account_id)

    async def statuses(credential: str) -> set[int]:
        found: set[int] = set()
        for _ in range(8):  # Each on a connection of its own, so that both processes get some.
            async with httpx.AsyncClient(base_url=gateway.url) as http:
                found.add((await Keyring(http, credential).detect()).status_code)
        return found

    assert await statuses(token) == {200}
    await database.execute("UPDATE sessions SET closed_at = now()")
    assert await statuses(token) == {401}
    assert await statuses(holder.key.secret) == {200}
    await holder.set_account(status="suspended")
    assert await statuses(holder.key.secret) == {403}
