"""Server-sent events of jobs, from a gateway that Granian serves."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, LiteralString

import aiohttp
import psutil
import pytest

from tests.fixtures.admissions import Connection, make_holder
from tests.fixtures.gateway import GatewayProcess, eventually
from tests.fixtures.live import SUMMARY, Followed, Told, come_and_go, events_of, followed, opened, read_events

pytestmark = pytest.mark.integration

StartGateway = Callable[..., Awaitable[GatewayProcess]]


@pytest.fixture
async def job(database: Connection) -> Followed:
    return await followed(await make_holder(database))


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as one:
        yield one


def kinds(told: list[Told]) -> list[str]:
    return [one.event for one in told]


async def test_a_job_is_told_from_its_first_event_to_its_last_and_the_stream_ends(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    async with opened(session, gateway, job) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-request-id"]
        stream = read_events(answer)
        assert (await anext(stream)).retry == "2000"
        assert (await anext(stream)).event == "queued"
        await job.begin()
        assert (await anext(stream)).event == "running"
        begun = time.monotonic()
        await job.progress(4)
        progress = await anext(stream)
        assert time.monotonic() - begun < 0.5
        assert progress.id == "3"
        assert progress.data["done"] == 4
        assert progress.data["scores"] == [[4, 0.5]]
        assert progress.data["job_id"] == str(job.id)
        await job.end()
        last = await anext(stream)
        assert (last.id, last.event) == ("4", "succeeded")
        assert last.data | SUMMARY == last.data
        assert [one async for one in stream] == []


async def test_a_job_that_has_ended_is_told_again_and_a_browser_is_kept_from_asking_on(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    await job.run()
    gateway = await start_gateway()
    async with opened(session, gateway, job) as answer:
        assert kinds(await events_of(answer)) == ["queued", "running", "progress", "progress", "progress", "succeeded"]
    async with opened(session, gateway, job, last_event_id="4") as answer:
        assert [(one.id, one.event) for one in await events_of(answer)] == [("5", "progress"), ("6", "succeeded")]
    async with opened(session, gateway, job, query="?last_event_id=5") as answer:
        assert kinds(await events_of(answer)) == ["succeeded"]
    for after in ("6", "7", "2147483647", "9999999999"):
        async with opened(session, gateway, job, last_event_id=after) as answer:
            assert answer.status == 204
            assert await answer.read() == b""


async def test_a_job_that_was_tried_again_after_its_end_is_followed_to_the_last_of_its_ends(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    await job.begin()
    await job.end("failed")
    await job.database.execute("UPDATE jobs SET status = 'queued', attempt = NULL WHERE id = %s", (job.id,))
    await job.database.execute("SELECT note_job(%s, 'queued', '{}')", (job.id,))
    gateway = await start_gateway()
    async with opened(session, gateway, job) as answer:
        reading = asyncio.create_task(events_of(answer))
        await asyncio.sleep(0.2)
        assert not reading.done()
        await job.begin()
        await job.end()
        told = kinds(await reading)
    assert told == ["queued", "running", "failed", "queued", "running", "succeeded"]


async def test_nothing_is_lost_or_told_twice_while_many_come_and_go_and_the_database_cuts_every_connection(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    count = 300

    readers = [asyncio.create_task(come_and_go(session, gateway, job, 7 + number)) for number in range(8)]
    await job.begin()
    for done in range(count):
        await job.progress(done, count)
        if done % 75 == 30:
            await job.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
    await job.end()
    for reader in readers:
        assert await asyncio.wait_for(reader, 30) == list(range(1, count + 4))


async def test_comments_keep_a_quiet_stream_open_and_a_long_one_ends_to_be_opened_again(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway(live_heartbeat_s=0.2, live_longest_s=1.0)
    begun = time.monotonic()
    async with opened(session, gateway, job) as answer:
        told = [one async for one in read_events(answer)]
    assert 0.9 < time.monotonic() - begun < 5
    assert kinds([one for one in told if one.event]) == ["queued"]
    assert sum(bool(one.comments) for one in told) >= 3


async def test_who_may_not_follow_is_told_why_and_nothing_else(
    anonymous: Any, database: Connection, job: Followed
) -> None:
    own, another = job.holder.key.secret, (await make_holder(database)).key.secret
    unknown = "019aa000-0000-7000-8000-000000000001"

    async def refusal(path: str, key: str | None) -> tuple[int, str]:
        headers = {"x-api-key": key} if key else {}
        answer = await anonymous.http.get(f"/v1/jobs/{path}", headers=headers)
        assert "queued" not in answer.text
        return answer.status_code, answer.json()["code"]

    assert await refusal(f"{job.id}/events", None) == (401, "missing_api_key")
    assert await refusal(f"{job.id}/events", "sk-live-nothing") == (401, "invalid_api_key")
    assert await refusal(f"{unknown}/events", own) == (404, "not_found")
    assert await refusal("no-uuid/events", own) == (404, "not_found")
    assert await refusal(f"{job.id}/events", another) == (404, "not_found")
    for wrong in ("x", "-1", "1.0", "1" * 11):
        assert await refusal(f"{job.id}/events?last_event_id={wrong}", own) == (400, "invalid_last_event_id")
    assert await refusal(f"{job.id}/ws", own) == (426, "upgrade_required")
    assert await refusal(f"{job.id}/ws", another) == (404, "not_found")
    assert await refusal(f"{job.id}/ws", None) == (401, "missing_api_key")


async def test_a_key_without_the_scope_follows_nothing(anonymous: Any, job: Followed) -> None:
    await job.holder.set_key(scopes=["detect:image"])
    answer = await anonymous.http.get(f"/v1/jobs/{job.id}/events", headers=job.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_streams_end_within_seconds_of_the_key_or_the_account(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()

    async def ends(one: Followed, change: LiteralString) -> None:
        async with opened(session, gateway, one) as answer:
            assert answer.status == 200
            reading = asyncio.create_task(events_of(answer))
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            await one.database.execute(change, {"account": one.holder.account_id})
            assert kinds(await asyncio.wait_for(reading, 15)) == ["queued"]
            assert time.monotonic() - begun < 12
        async with opened(session, gateway, one) as answer:
            assert answer.status in {401, 403}

    # Both at once, since it is asked every ten seconds whether those who follow still may.
    await asyncio.gather(
        ends(job, "UPDATE api_keys SET revoked_at = now() WHERE account_id = %(account)s"),
        ends(
            await followed(await make_holder(job.database)),
            "UPDATE accounts SET status = 'suspended' WHERE id = %(account)s",
        ),
    )


async def test_an_account_and_a_process_have_so_many_streams_and_get_them_back(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway(live_streams=3, live_streams_per_account=2)
    other = await followed(await make_holder(job.database))
    third = await followed(await make_holder(job.database))

    async def refusal(one: Followed) -> tuple[int, str, bool]:
        async with opened(session, gateway, one) as answer:
            return answer.status, json.loads(await answer.read())["code"], int(answer.headers["retry-after"]) > 0

    async with opened(session, gateway, job) as first:
        assert first.status == 200
        async with opened(session, gateway, job), opened(session, gateway, other):
            assert await refusal(job) == (429, "too_many_streams", True)
            assert await refusal(third) == (503, "overloaded", True)

            async def counted() -> bool:
                async with session.get(f"{gateway.url}/metrics") as answer:
                    return 'bonafide_live_streams{kind="sse"} 3.0' in await answer.text()

            await eventually(counted)

        async def free() -> bool:
            async with opened(session, gateway, job) as answer:
                return answer.status == 200

        await eventually(free)


async def test_a_reader_that_takes_nothing_costs_no_memory_and_gets_everything_when_it_reads(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    await job.begin()
    async with opened(session, gateway, job) as answer:
        big = json.dumps({"done": 1, "total": 2, "unit": "frames", "elapsed_s": 1, "text": "x" * 50_000})
        for _ in range(300):
            query = "SELECT progress_job(%s, %s, %s::text::jsonb)"
            await job.database.execute(query, (job.id, job.attempt, big))
        await job.end()
        told = await events_of(answer)
    assert [int(one.id) for one in told] == list(range(1, 304))
    assert told[-1].event == "succeeded"


@pytest.mark.parametrize("workers", [1, 2])
async def test_open_streams_do_not_hold_the_gateway_when_it_is_told_to_stop(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed, workers: int
) -> None:
    gateway = await start_gateway(gateway_workers=workers)

    async def follow() -> list[str]:
        async with opened(session, gateway, job) as answer:
            return kinds(await events_of(answer))

    readers = [asyncio.create_task(follow()) for _ in range(6)]
    socket = await session.ws_connect(f"{gateway.url}/v1/jobs/{job.id}/ws", headers=job.headers)
    assert (await socket.receive_json())["event"] == "queued"
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    gateway.process.terminate()
    assert await asyncio.wait_for(asyncio.gather(*readers), 10) == [["queued"]] * 6
    message = await socket.receive(10)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    await asyncio.wait_for(gateway.process.wait(), 20)
    assert time.monotonic() - begun < 10
    assert gateway.process.returncode == 0


async def test_ctrl_c_in_a_terminal_ends_streams_too(
    start_gateway: StartGateway, session: aiohttp.ClientSession, job: Followed
) -> None:
    gateway = await start_gateway()
    async with opened(session, gateway, job) as answer:
        reading = asyncio.create_task(events_of(answer))
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        # A terminal signals every process of the group, the server and its workers.
        parent = psutil.Process(gateway.process.pid)
        for one in [parent, *parent.children(recursive=True)]:
            one.send_signal(signal.SIGINT)
        assert kinds(await asyncio.wait_for(reading, 10)) == ["queued"]
    await asyncio.wait_for(gateway.process.wait(), 20)
    assert time.monotonic() - begun < 10
