"""Batches handed to a gateway, and a worker that shares its database."""

import io
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from bentos.contract import Modality
from gateway.db.engine import open_database
from gateway.detections.intake import Upload
from gateway.detections.media import MemoryMedia
from gateway.keys.secrets import digest_key
from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from gateway.storage.objects import open_object_store
from gateway.storage.shelf import Shelf
from tests.fixtures.gateway import JPEG, Client, eventually
from tests.gateway.jobs.conftest import working

Batch = dict[str, Any]
Database = psycopg.AsyncConnection[Any]
ZIP = {"content-type": "application/zip"}
LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def worker(gateway_settings: GatewaySettings) -> AsyncGenerator[Runner]:
    """A worker with the settings of this test's gateway."""
    async with working(gateway_settings) as runner:
        yield runner


Uploads = Callable[..., Awaitable[list[str]]]


async def account_of(database: Database, key: str | None) -> UUID:
    row = await (
        await database.execute("SELECT account_id FROM api_keys WHERE digest = %s", (digest_key(key or ""),))
    ).fetchone()
    assert row
    return row[0]


@pytest.fixture
async def uploads(client: Client, database: Database, gateway_settings: GatewaySettings) -> AsyncGenerator[Uploads]:
    """Puts pictures into the store as complete uploads of the client's account, or of another's; returns their ids."""
    async with open_database(gateway_settings) as opened, open_object_store(gateway_settings) as objects:
        shelf = Shelf(opened.engine, objects, gateway_settings)

        async def put(count: int, *, account_id: UUID | None = None, keep: bool = False) -> list[str]:
            owner = account_id or await account_of(database, client.key)
            ids: list[str] = []
            for number in range(count):
                data = JPEG + number.to_bytes(4, "big") + uuid4().bytes
                upload = Upload(
                    media=MemoryMedia(data, digest=bytes(32)),
                    modality=Modality.IMAGE,
                    media_type="image/jpeg",
                    filename=f"{number}.jpg",
                    model=None,
                )
                medium = await shelf.shelve(upload, account_id=owner, key_id=None, keep=keep)
                ids.append(str(medium.id))
            return ids

        yield put


async def send(client: Client, body: Any, *, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    """Hand a batch over: a document, or the bytes of lines or of an archive."""
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return await client.http.post(
        "/v1/batches", headers=client.headers() | (headers or {}), params=query or None, **content
    )


async def made(client: Client, body: Any, *, headers: dict[str, str] | None = None, **query: Any) -> Batch:
    """A batch as it was accepted."""
    answer = await send(client, body, headers=headers, **query)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/batches/{answer.json()['id']}"
    return answer.json()


async def read(client: Client, batch_id: str) -> Batch:
    answer = await client.get(f"/v1/batches/{batch_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(client: Client, batch_id: str, within_s: float = 40) -> Batch:
    """A batch once it has ended."""

    async def there() -> bool:
        return (await read(client, batch_id))["ended_at"] is not None

    await eventually(there, within_s)
    return await read(client, batch_id)


async def items(client: Client, batch_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/batches/{batch_id}/items", params={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def one(database: Database, query: str, *parameters: object) -> Any:
    row = await (await database.execute(query.encode(), parameters)).fetchone()
    assert row
    return row[0]


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return file.getvalue()


def spooled(settings: GatewaySettings) -> list[Path]:
    """What lies in the spool folder."""
    return list(settings.spool.glob("*"))
