"""A large file of a caller who has used up the day is refused before it is on the disk, and costs nothing.

The bodies here break off within the file: whoever takes in all of it finds it incomplete and says so instead.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.settings import MIB, GatewaySettings
from tests.fixtures.gateway import MP4, Client

pytestmark = pytest.mark.integration

FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + MP4
REUSE = b'--b\r\nContent-Disposition: form-data; name="reuse"\r\n\r\ntrue\r\n'
LARGE = FILE + b"\x00" * 12 * MIB
COMPLETE = LARGE + b"\r\n--b--\r\n"


async def send(client: Client, content: Any = LARGE, **headers: str) -> Any:
    headers = client.headers() | {"content-type": "multipart/form-data; boundary=b"} | headers
    answer = await client.http.post("/v1/detections", headers=headers, content=content)
    return answer.status_code, answer.json().get("code")


async def pieces() -> AsyncIterator[bytes]:
    yield FILE
    for _ in range(12):
        yield b"\x00" * MIB


async def limit(database: Any, table: str, **limits: int) -> None:
    for column, value in limits.items():
        await database.execute(f"UPDATE {table} SET {column} = %s", (value,))  # noqa: S608 - Names of the tests.


@pytest.mark.parametrize("table", ["accounts", "api_keys"])
async def test_the_days_detections_are_used_up(
    client: Client, database: Any, gateway_settings: GatewaySettings, table: str
) -> None:
    assert await send(client) == (400, "invalid_body")
    await limit(database, table, daily_limit=0)
    assert await send(client) == (429, "quota_exceeded")
    assert await client.used() == 0
    assert list(gateway_settings.spool.iterdir()) == []
    assert await (await database.execute("SELECT FROM detections")).fetchall() == []


@pytest.mark.parametrize("table", ["accounts", "api_keys"])
async def test_more_is_announced_or_has_arrived_than_is_left_of_the_bytes(
    client: Client, database: Any, table: str
) -> None:
    await limit(database, table, daily_bytes=11 * MIB)
    assert await send(client) == (429, "bytes_exceeded")
    assert await send(client, pieces()) == (400, "invalid_body")
    await limit(database, table, daily_bytes=5 * MIB)
    assert await send(client, pieces()) == (429, "bytes_exceeded")
    assert (await client.get("/v1/usage")).json()["bytes"]["used"] == 0


async def test_what_just_fits_is_judged(client: Client, database: Any) -> None:
    await limit(database, "accounts", daily_limit=1, daily_bytes=len(MP4) + 12 * MIB)
    assert (await send(client, COMPLETE))[0] == 200
    assert await send(client) == (429, "quota_exceeded")


async def test_a_repeated_call_and_a_repeated_verdict_are_answered_on_a_used_up_day(
    client: Client, database: Any
) -> None:
    await limit(database, "accounts", daily_limit=1)
    first, again = [await send(client, COMPLETE, **{"idempotency-key": "one"}) for _ in range(2)]
    assert first == again == (200, None)
    assert (await send(client, REUSE + COMPLETE))[0] == 200
    assert await send(client, LARGE, **{"idempotency-key": "two"}) == (429, "quota_exceeded")
    assert await client.used() == 1
