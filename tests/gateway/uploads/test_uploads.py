"""Uploads to signed addresses of the gateway's own, over its real store and database."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.gateway import JPEG, MP4, Client
from tests.fixtures.people import Person

pytestmark = pytest.mark.integration

MakePerson = Callable[..., Awaitable[Person]]
PART = 5 * 1024 * 1024
LARGE = MP4 + os.urandom(2 * PART + 100_000)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def announce(client: Client, data: bytes = JPEG, **changed: Any) -> dict[str, Any]:
    body = {"filename": "portrait.jpg", "size_bytes": len(data)} | changed
    answer = await client.http.post("/v1/uploads", headers=client.headers(), json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def put(client: Client, url: str, data: Any, **headers: str) -> httpx.Response:
    """Send bytes to a signed address, with no credential."""
    address = urlsplit(url)
    return await client.http.put(f"{address.path}?{address.query}", content=data, headers=headers)


async def complete(client: Client, upload: dict[str, Any], **body: str) -> httpx.Response:
    return await client.http.post(f"/v1/uploads/{upload['id']}/complete", headers=client.headers(), json=body or None)


async def read(client: Client, upload: dict[str, Any]) -> dict[str, Any]:
    return (await client.get(f"/v1/uploads/{upload['id']}")).json()


def objects(settings: GatewaySettings) -> set[str]:
    """What is in the store, or on its way there."""
    folder = settings.spool.parent / "media"
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_file_is_announced_sent_and_complete(client: Client, gateway_settings: GatewaySettings) -> None:
    upload = await announce(client, sha256=digest_of(JPEG), media_type="image/jpeg")
    assert (upload["status"], upload["method"], upload["parts"]) == ("open", "PUT", None)
    assert urlsplit(upload["url"]).path.endswith(upload["file_path"])
    assert upload["url"].startswith(gateway_settings.public_url)
    sent = await put(client, upload["url"], JPEG)
    assert (sent.status_code, sent.json()) == (200, {"size": len(JPEG)})
    done = await complete(client, upload)
    assert done.status_code == 200, done.text
    body = done.json()
    assert (body["status"], body["sha256"], body["size_bytes"]) == ("ready", digest_of(JPEG), len(JPEG))
    assert (body["media_type"], body["modality"], body["url"], body["id"]) == (
        "image/jpeg",
        "image",
        None,
        upload["id"],
    )
    (path,) = objects(gateway_settings)
    assert path.startswith(f"media/{upload['id']}/")
    assert (await complete(client, upload)).json() == body
    assert (await read(client, upload)) == body
    listed = (await client.get("/v1/uploads")).json()["data"]
    assert [(one["id"], one["status"]) for one in listed] == [(upload["id"], "ready")]


async def test_parts_are_sent_in_any_order_and_resumed(client: Client, gateway_settings: GatewaySettings) -> None:
    upload = await announce(client, LARGE, filename="long.mp4", part_bytes=PART)
    assert [one["size"] for one in upload["parts"]] == [PART, PART, len(LARGE) - 2 * PART]
    pieces = [LARGE[:PART], LARGE[PART : 2 * PART], LARGE[2 * PART :]]
    for number in (2, 0):
        assert (await put(client, upload["parts"][number]["url"], pieces[number])).status_code == 200
    early = await complete(client, upload)
    assert code(early) == (409, "upload_incomplete")
    assert "2" in early.json()["detail"]
    now = await read(client, upload)
    assert [(one["number"], one["sent"], one["url"] is None) for one in now["parts"]] == [
        (1, True, True),
        (2, False, False),
        (3, True, True),
    ]
    assert (await put(client, now["parts"][1]["url"], pieces[1])).status_code == 200
    done = await complete(client, upload, sha256=digest_of(LARGE).upper())
    assert done.status_code == 200, done.text
    assert (done.json()["sha256"], done.json()["modality"]) == (digest_of(LARGE), "video")
    (path,) = objects(gateway_settings)
    stored = gateway_settings.spool.parent / "media" / path
    assert hashlib.sha256(await asyncio.to_thread(stored.read_bytes)).hexdigest() == digest_of(LARGE)


async def test_two_who_complete_at_once_get_the_same(client: Client, gateway_settings: GatewaySettings) -> None:
    upload = await announce(client)
    await put(client, upload["url"], JPEG)
    answers = await asyncio.gather(*(complete(client, upload) for _ in range(8)))
    assert {one.status_code for one in answers} == {200}
    assert len({one.text for one in answers}) == 1
    assert len(objects(gateway_settings)) == 1


async def test_what_is_here_is_not_sent_again(client: Client, gateway_settings: GatewaySettings) -> None:
    upload = await announce(client)
    assert (await put(client, upload["url"], JPEG)).status_code == 200
    assert code(await put(client, upload["url"], bytes(len(JPEG)))) == (409, "already_sent")
    done = (await complete(client, upload)).json()
    assert done["sha256"] == digest_of(JPEG)
    assert code(await put(client, upload["url"], JPEG)) == (409, "already_sent")
    assert len(objects(gateway_settings)) == 1


async def test_of_many_who_send_at_once_one_is_taken(client: Client) -> None:
    upload = await announce(client)
    bodies = [JPEG[:-1] + bytes([number]) for number in range(8)]
    answers = await asyncio.gather(*(put(client, upload["url"], body) for body in bodies))
    assert sorted(one.status_code for one in answers) == [200] + [409] * 7
    taken = bodies[[one.status_code for one in answers].index(200)]
    assert (await complete(client, upload)).json()["sha256"] == digest_of(taken)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"signature": "0" * 64}, "bad_signature"),
        ({"signature": ""}, "bad_signature"),
        ({"signature": "é"}, "bad_signature"),
        ({"size": "999999999"}, "bad_signature"),
        ({"expires": "9999999999"}, "bad_signature"),
    ],
)
async def test_an_address_that_was_changed_takes_nothing(
    client: Client, gateway_settings: GatewaySettings, change: dict[str, str], expected: str
) -> None:
    upload = await announce(client)
    address = urlsplit(upload["url"])
    query = {name: values[0] for name, values in parse_qs(address.query).items()} | change
    answer = await put(client, f"{address.path}?{urlencode(query)}", JPEG)
    assert code(answer) == (403, expected)
    assert objects(gateway_settings) == set()


async def test_an_address_is_for_its_own_file_alone(client: Client, gateway_settings: GatewaySettings) -> None:
    one, other = await announce(client), await announce(client, filename="another.jpg")
    parts = await announce(client, LARGE, part_bytes=PART)
    mine, query = urlsplit(one["url"]), urlsplit(other["url"]).query
    part = urlsplit(parts["parts"][0]["url"])
    for path, signed in (
        (mine.path, query),
        (mine.path.replace("/1/", "/2/"), mine.query),
        (part.path.replace("/1/", "/2/"), part.query),
        (mine.path.replace("portrait.jpg", "../portrait.jpg"), mine.query),
        (mine.path.replace(one["id"], str(uuid4())), mine.query),
        ("/v1/uploads/bytes/nonsense", mine.query),
    ):
        assert code(await put(client, f"{path}?{signed}", JPEG)) == (403, "bad_signature"), path
    assert objects(gateway_settings) == set()
    for method in ("GET", "POST", "DELETE", "PATCH"):
        answer = await client.http.request(method, f"{mine.path}?{mine.query}")
        assert answer.status_code == 405


async def test_an_address_ends(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await announce(client)
    expires = int(parse_qs(urlsplit(upload["url"]).query)["expires"][0])
    monkeypatch.setattr("gateway.uploads.addresses.time.time", lambda: float(expires))
    assert code(await put(client, upload["url"], JPEG)) == (403, "signature_expired")
    monkeypatch.undo()
    assert (await put(client, upload["url"], JPEG)).status_code == 200


async def pieces_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (JPEG + b"x", (413, "media_too_large")),
        (JPEG[:-1], (400, "size_mismatch")),
        (b"", (400, "empty_file")),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_more_or_fewer_bytes_than_announced_are_refused_and_leave_nothing(
    client: Client, gateway_settings: GatewaySettings, sent: bytes, expected: tuple[int, str], streamed: bool
) -> None:
    upload = await announce(client)
    answer = await put(client, upload["url"], pieces_of(sent) if streamed else sent)
    wanted = (400, "size_mismatch") if streamed and not sent else expected
    assert code(answer) == wanted
    assert objects(gateway_settings) == set()
    assert code(await complete(client, upload)) == (409, "upload_incomplete")
    assert (await put(client, upload["url"], JPEG)).status_code == 200
    assert (await complete(client, upload)).status_code == 200


async def test_another_file_than_announced_is_not_taken(client: Client, gateway_settings: GatewaySettings) -> None:
    upload = await announce(client, sha256=digest_of(b"another"))
    await put(client, upload["url"], JPEG)
    assert code(await complete(client, upload)) == (400, "digest_mismatch")
    assert code(await complete(client, upload, sha256=digest_of(JPEG))) == (400, "digest_mismatch")
    assert (await read(client, upload))["status"] == "open"
    assert {path.split("/")[0] for path in objects(gateway_settings)} == {"incoming"}
    other = await announce(client)
    await put(client, other["url"], JPEG)
    assert code(await complete(client, other, sha256="0" * 64)) == (400, "digest_mismatch")
    assert (await complete(client, other)).status_code == 200
    assert code(await complete(client, other, sha256="0" * 64)) == (400, "digest_mismatch")


@pytest.mark.parametrize(
    ("data", "announced", "expected"),
    [
        (b"just some text, of no kind at all" * 10, None, (415, "unsupported_media_type")),
        (MP4, "image/png", (415, "unsupported_media_type")),
        (b"PK\x03\x04" + bytes(100), "image/png", (415, "unsupported_media_type")),
        (JPEG + bytes(11 * 1024 * 1024), None, (413, "media_too_large")),
    ],
)
async def test_what_is_not_judged_is_not_taken(
    client: Client, data: bytes, announced: str | None, expected: tuple[int, str]
) -> None:
    upload = await announce(client, data, media_type=announced)
    assert (await put(client, upload["url"], data)).status_code == 200
    assert code(await complete(client, upload)) == expected
    assert (await read(client, upload))["status"] == "open"


async def test_an_archive_is_taken_for_a_batch(client: Client) -> None:
    data = b"PK\x03\x04" + bytes(100)
    upload = await announce(client, data, filename="many.zip")
    await put(client, upload["url"], data)
    done = (await complete(client, upload)).json()
    assert (done["status"], done["media_type"], done["modality"]) == ("ready", "application/zip", None)


@pytest.mark.parametrize(
    ("filename", "shown", "end"),
    [
        ("../../etc/passwd", "passwd", "/passwd"),
        ("..\\..\\windows\\cat.png", "cat.png", "/cat.png"),
        ("Größe & Maß?#%.jpg", "Größe & Maß?#%.jpg", "/Gr_e_Ma_.jpg"),
        ("猫.mp4", "猫.mp4", "/mp4"),
        ("..", "..", "/upload"),
        (".hidden", ".hidden", "/hidden"),
        ("a" * 300 + ".jpg", "a" * 255, "/" + "a" * 100),
        ("line\nbreak\x00.jpg", "linebreak.jpg", "/linebreak.jpg"),
        ("%2e%2e%2fx", "%2e%2e%2fx", "/2e_2e_2fx"),
    ],
)
async def test_names_lead_nowhere(
    client: Client, gateway_settings: GatewaySettings, filename: str, shown: str, end: str
) -> None:
    upload = await announce(client, filename=filename)
    assert upload["filename"] == shown
    assert upload["file_path"].endswith(end), upload["file_path"]
    assert upload["file_path"].count("/") == 2
    assert (await put(client, upload["url"], JPEG)).status_code == 200
    (path,) = objects(gateway_settings)
    assert path == f"incoming/{upload['id']}/1/{upload['file_path']}"
    assert (await complete(client, upload)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filename": "a.jpg"},
        {"filename": "", "size_bytes": 3},
        {"filename": "a.jpg", "size_bytes": 0},
        {"filename": "a.jpg", "size_bytes": -1},
        {"filename": "a.jpg", "size_bytes": 1.5},
        {"filename": "a.jpg", "size_bytes": 3, "sha256": "short"},
        {"filename": "a.jpg", "size_bytes": 3, "media_type": "image"},
        {"filename": "a.jpg", "size_bytes": 100 * PART, "part_bytes": PART - 1},
        {"filename": "a.jpg", "size_bytes": 1001 * PART, "part_bytes": PART},
        {"filename": "a.jpg", "size_bytes": 3, "account_id": str(uuid4())},
    ],
)
async def test_a_bad_announcement_changes_nothing(client: Client, database: Any, body: dict[str, Any]) -> None:
    answer = await client.http.post("/v1/uploads", headers=client.headers(), json=body)
    if body.get("size_bytes") == 1001 * PART:
        assert answer.status_code in {400, 413}
    else:
        assert answer.status_code == 400, answer.text
    assert (await (await database.execute("SELECT count(*) FROM media")).fetchone())[0] == 0


async def test_an_upload_larger_than_any_may_be_is_refused(client: Client) -> None:
    body = {"filename": "a.mp4", "size_bytes": 6 * 1024**3}
    answer = await client.http.post("/v1/uploads", headers=client.headers(), json=body)
    assert code(answer) == (413, "media_too_large")


async def test_uploads_are_given_up(client: Client, database: Any) -> None:
    upload = await announce(client)
    await put(client, upload["url"], JPEG)
    gone = await client.http.delete(f"/v1/uploads/{upload['id']}", headers=client.headers())
    assert gone.status_code == 204
    assert (await client.get(f"/v1/uploads/{upload['id']}")).status_code == 404
    assert (await complete(client, upload)).status_code == 404
    assert (await put(client, upload["url"], JPEG)).status_code == 404
    (row,) = await (await database.execute("SELECT state FROM media")).fetchall()
    assert row[0] == "deleting"
    other = await announce(client)
    await put(client, other["url"], JPEG)
    await complete(client, other)
    late = await client.http.delete(f"/v1/uploads/{other['id']}", headers=client.headers())
    assert code(late) == (409, "upload_complete")


async def test_uploads_of_others_are_not_there(client: Client, person: MakePerson) -> None:
    upload = await announce(client)
    await put(client, upload["url"], JPEG)
    other = await person("other@example.org")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/complete")):
        answer = await other.send(method, f"/v1/uploads/{upload['id']}{path}")
        assert answer.status_code == 404
    assert (await other.get("/v1/uploads")).json()["data"] == []
    assert (await complete(client, upload)).status_code == 200


async def test_who_may_not_have_files_judged_may_not_send_them(person: MakePerson) -> None:
    reader = await person("reader@example.org", scopes=["history:read"])
    answer = await reader.send("POST", "/v1/uploads", {"filename": "a.jpg", "size_bytes": 3})
    assert code(answer) == (403, "missing_scope")
    detector = await person("detector@example.org", scopes=["detect:audio"])
    assert (await detector.send("POST", "/v1/uploads", {"filename": "a.wav", "size_bytes": 3})).status_code == 201


async def test_the_same_announcement_under_a_key_is_one_upload(client: Client, database: Any) -> None:
    headers = client.headers() | {"idempotency-key": "once"}
    body = {"filename": "a.jpg", "size_bytes": len(JPEG)}
    first = await client.http.post("/v1/uploads", headers=headers, json=body)
    second = await client.http.post("/v1/uploads", headers=headers, json=body)
    assert (first.status_code, second.status_code, first.text) == (201, 201, second.text)
    assert first.headers["location"] == second.headers["location"] == f"/v1/uploads/{first.json()['id']}"
    assert (await (await database.execute("SELECT count(*) FROM media")).fetchone())[0] == 1


async def meter(database: Any) -> tuple[int, ...]:
    query = "SELECT kept_bytes, kept_count, passing_bytes, passing_count FROM storage_meters"
    return await (await database.execute(query)).fetchone()


async def test_what_is_announced_has_its_room(client: Client, database: Any) -> None:
    await database.execute("UPDATE accounts SET storage_bytes = 5000")
    body = {"filename": "a.jpg", "size_bytes": 3000, "keep": True}
    first = await client.http.post("/v1/uploads", headers=client.headers(), json=body)
    assert (first.status_code, first.json()["keep"]) == (201, True)
    full = await client.http.post("/v1/uploads", headers=client.headers(), json=body)
    assert code(full) == (507, "storage_full")
    assert (await meter(database)) == (3000, 1, 0, 0)
    assert (await announce(client, keep=False))["keep"] is False
    assert (await meter(database)) == (3000, 1, len(JPEG), 1)


async def test_what_passes_is_bounded(client: Client, database: Any) -> None:
    body = {"filename": "a.mp4", "size_bytes": 5 * 1024**3}
    for _ in range(4):
        assert (await client.http.post("/v1/uploads", headers=client.headers(), json=body)).status_code == 201
    assert code(await client.http.post("/v1/uploads", headers=client.headers(), json=body)) == (507, "passing_full")
    assert (await meter(database))[2:] == (4 * 5 * 1024**3, 4)


async def test_uploads_that_are_not_complete_are_bounded(client: Client, database: Any) -> None:
    account = (await (await database.execute("SELECT id FROM accounts")).fetchone())[0]
    await database.execute(
        "INSERT INTO media (account_id, path, filename) SELECT %s, 'x/' || n, 'x' FROM generate_series(1, 999) n",
        [account],
    )
    body = {"filename": "a.jpg", "size_bytes": 10}
    answers = await asyncio.gather(
        *(client.http.post("/v1/uploads", headers=client.headers(), json=body) for _ in range(3))
    )
    assert sorted(one.status_code for one in answers) == [201, 429, 429]
    assert {one.json().get("code") for one in answers} == {None, "too_many_uploads"}


async def test_a_medium_that_passes_goes_in_time_and_a_kept_one_when_its_account_says(
    client: Client, database: Any
) -> None:
    await database.execute("UPDATE accounts SET retention_days = 3, keeps_media = true")
    for keep in (None, False):
        upload = await announce(client, keep=keep)
        await put(client, upload["url"], JPEG)
        assert (await complete(client, upload)).status_code == 200
    rows = await (
        await database.execute(
            "SELECT kept, round(extract(epoch FROM expires_at - completed_at)) FROM media ORDER BY id"
        )
    ).fetchall()
    assert [(kept, int(life)) for kept, life in rows] == [(True, 3 * 86_400), (False, 86_400)]


async def test_every_upload_has_a_path_of_its_own(client: Client) -> None:
    uploads = await asyncio.gather(*(announce(client) for _ in range(20)))
    assert len({one["file_path"] for one in uploads}) == 20
    account, moment, name = uploads[0]["file_path"].split("/")
    assert (str(UUID(account)), moment[-1], name) == (account, "Z", "portrait.jpg")


async def test_a_list_is_read_page_by_page(client: Client) -> None:
    ids = [(await announce(client))["id"] for _ in range(5)]
    first = (await client.get("/v1/uploads?limit=3")).json()
    second = (await client.get(f"/v1/uploads?limit=3&cursor={first['next_cursor']}")).json()
    assert [one["id"] for one in first["data"] + second["data"]] == ids[::-1]
    assert second["next_cursor"] is None
    assert (await client.get("/v1/uploads?status=ready")).json()["data"] == []
    assert (await client.get("/v1/uploads?cursor=nonsense")).status_code == 400


def test_the_folder_is_beside_the_spool_folder(gateway_settings: GatewaySettings, tmp_path: Path) -> None:
    assert gateway_settings.object_store is None
    assert gateway_settings.spool.parent == tmp_path


async def test_who_stops_sending_is_waited_for_only_so_long(
    client: Client, gateway_settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.uploads.receiving._STALL_S", 0.3)
    upload = await announce(client)

    async def stalling() -> AsyncIterator[bytes]:
        yield JPEG[:100]
        await asyncio.sleep(5)
        yield JPEG[100:]

    async with asyncio.timeout(4):
        answer = await put(client, upload["url"], stalling())
    assert code(answer) == (408, "upload_timeout")
    assert objects(gateway_settings) == set()
    assert (await put(client, upload["url"], JPEG)).status_code == 200
