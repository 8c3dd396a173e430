"""Contract C: a file is sent to a signed address and handed over as a job, over a real Postgres, queue and worker."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from bentos.contract import Modality
from gateway.detections.fakes import Script
from gateway.queue.runner import Runner
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import MP4, Client
from tests.fixtures.people import Person
from tests.gateway.jobs.conftest import reached, worker

pytestmark = pytest.mark.integration

__all__ = ["worker"]

MakePerson = Callable[..., Awaitable[Person]]


async def post(client: Client, path: str, body: Any) -> httpx.Response:
    return await client.http.post(path, headers=client.headers(), json=body)


async def sign(client: Client, filename: str = "interview.mp4", **body: Any) -> dict[str, Any]:
    answer = await post(client, "/uploads/signed-url", {"filename": filename, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(client: Client, signed: dict[str, Any], data: bytes = MP4) -> httpx.Response:
    """As its clients do: to the address as it is, with a type and no credential."""
    address = urlsplit(signed["signed_url"])
    headers = {"content-type": "video/mp4"}
    return await client.http.put(f"{address.path}?{address.query}", content=data, headers=headers)


async def test_a_file_is_sent_and_becomes_a_verdict(
    client: Client, bentos: dict[Modality, Script], worker: Runner, gateway_settings: GatewaySettings
) -> None:
    assert worker
    assert bentos
    signed = await sign(client, "my interview.mp4")
    assert signed.keys() == {"signed_url", "bucket", "expires_in", "file_path"}
    assert (signed["bucket"], signed["expires_in"]) == ("videos", 3600)
    account, _, name = signed["file_path"].split("/")
    assert (str(UUID(account)), name) == (account, "my_interview.mp4")
    assert signed["signed_url"].startswith(gateway_settings.public_url)
    assert urlsplit(signed["signed_url"]).path.endswith(f"/{signed['file_path']}")
    assert (await send(client, signed)).status_code == 200
    order = {"original_filename": "my interview.mp4", "file_path": signed["file_path"]}
    job = await post(client, "/uploads/init-job", order)
    assert job.status_code == 200, job.text
    body = job.json()
    assert body.keys() == {"job_id", "status", "original_filename", "upload_timestamp"}
    assert (body["status"], body["original_filename"]) == ("pending", "my interview.mp4")
    ended = await reached(client, body["job_id"], "succeeded")
    assert (ended["verdict"], ended["detection"]["filename"]) == ("REAL", "my interview.mp4")
    again = await post(client, "/uploads/init-job", order)
    assert again.json() == body
    assert await client.used() == 1
    # What was not to be kept is swept at some time; whoever lost the answer still gets the job.
    [medium] = (await client.http.get("/v1/uploads", headers=client.headers())).json()["data"]
    gone = await client.http.delete(f"/v1/storage/media/{medium['id']}", headers=client.headers())
    assert gone.status_code == 204, gone.text
    later = await post(client, "/uploads/init-job", order)
    assert later.status_code == 200, later.text
    assert later.json() | {"upload_timestamp": body["upload_timestamp"]} == body
    assert await client.used() == 1


async def test_a_path_of_another_or_of_nobody_is_an_unknown_file(client: Client, person: MakePerson) -> None:
    signed = await sign(client)
    await send(client, signed)
    other = await person("other@example.org")
    order = {"original_filename": "a.mp4", "file_path": signed["file_path"]}
    for answer in (
        await other.send("POST", "/uploads/init-job", order),
        await post(client, "/uploads/init-job", order | {"file_path": "a/b/c.mp4"}),
        await post(client, "/uploads/init-job", order | {"file_path": f"../{signed['file_path']}"}),
        await post(client, "/uploads/init-job", order | {"file_path": signed["file_path"] + "\x00"}),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "unknown_file"
        assert answer.json()["detail"]
    assert (await post(client, "/uploads/init-job", order)).status_code == 200


async def test_a_file_that_was_not_sent_or_is_none_is_refused_and_not_charged(client: Client) -> None:
    signed = await sign(client)
    order = {"original_filename": "a.mp4", "file_path": signed["file_path"]}
    missing = await post(client, "/uploads/init-job", order)
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "upload_incomplete")
    assert (await send(client, signed, b"no video at all" * 100)).status_code == 200
    other = await post(client, "/uploads/init-job", order)
    assert (other.status_code, other.json()["error"]["code"]) == (400, "unsupported_media_type")
    assert await client.used() == 0


@pytest.mark.parametrize(
    "body", [{}, {"filename": ""}, {"filename": None}, {"filename": "a", "expires_in": 0}, {"filename": 3}, []]
)
async def test_without_a_name_there_is_no_address(client: Client, body: Any) -> None:
    answer = await post(client, "/uploads/signed-url", body)
    assert answer.status_code == 400
    assert answer.json()["success"] is False


@pytest.mark.parametrize("path", ["/uploads/signed-url", "/uploads/init-job"])
async def test_without_a_token_there_is_nothing(client: Client, path: str) -> None:
    body = {"filename": "a.mp4", "original_filename": "a.mp4", "file_path": "a"}
    for headers in ({}, {"authorization": "Bearer nonsense"}):
        assert (await client.http.post(path, headers=headers, json=body)).status_code == 401


async def test_an_address_takes_what_its_length_says_and_no_more(client: Client, database: Any) -> None:
    signed = await sign(client)

    async def unsized() -> Any:
        yield MP4

    address = urlsplit(signed["signed_url"])
    target = f"{address.path}?{address.query}"
    endless = await client.http.put(target, content=unsized())
    assert (endless.status_code, endless.json()["code"]) == (411, "length_required")
    huge = await client.http.put(target, content=b"x", headers={"content-length": str(6 * 1024**3)})
    assert (huge.status_code, huge.json()["code"]) == (413, "media_too_large")
    # Its room is taken when it begins, for as many bytes as it says.
    await database.execute("UPDATE accounts SET keeps_media = true, storage_bytes = 4000")
    kept = await sign(client)
    full = await send(client, kept, MP4 + bytes(5000))
    assert (full.status_code, full.json()["code"]) == (507, "storage_full")
    assert (await send(client, kept)).status_code == 200
    meter = await (await database.execute("SELECT kept_bytes, passing_bytes FROM storage_meters")).fetchone()
    assert meter == (len(MP4), 0)
