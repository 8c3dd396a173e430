"""What a key may do to kept media by handing them over: no more than its scopes say."""

from typing import Any
from uuid import UUID

import pytest

from gateway.keys.secrets import digest_key, make_key
from gateway.storage.shelf import Shelf
from tests.fixtures.gateway import JPEG, Client
from tests.fixtures.kept import assert_meters_are_exact, keep, rows

pytestmark = pytest.mark.integration


async def lesser_key(client: Client, database: Any, *scopes: str) -> dict[str, str]:
    """The headers of another key of the client's account, which has these scopes only."""
    key = make_key()
    await database.execute(
        """
        INSERT INTO api_keys (account_id, digest, prefix, scopes)
        SELECT account_id, %s, %s, %s FROM api_keys WHERE digest = %s
        """,
        [key.digest, key.prefix, list(scopes), digest_key(client.key or "")],
    )
    return {"x-api-key": key.secret}


async def standing(database: Any, medium_id: str) -> tuple[bool, bool]:
    """Whether a medium is kept, and whether its time is limited."""
    query = "SELECT kept, expires_at IS NOT NULL FROM media WHERE id = %s"
    ((kept, limited),) = await rows(database, query, UUID(medium_id))
    return kept, limited


@pytest.mark.parametrize("scopes", [("history:read",), ("detect:image",), ("detect:image", "media:read")])
async def test_a_key_that_may_not_delete_does_not_let_kept_media_go_by_a_job(
    client: Client, database: Any, scopes: tuple[str, ...]
) -> None:
    medium = (await keep(client))["medium_id"]
    headers = await lesser_key(client, database, *scopes)
    body = {"upload_id": medium, "store": False}
    answer = await client.http.post("/v1/jobs", headers=headers, json=body)
    assert (answer.status_code, answer.json().get("code")) == (403, "missing_scope")
    assert await standing(database, medium) == (True, False)
    assert await rows(database, "SELECT id FROM jobs") == []
    answer = await client.http.post("/v1/jobs", headers=client.headers(), json=body)
    assert answer.status_code == 202
    assert await standing(database, medium) == (False, True)
    await assert_meters_are_exact(database)


async def test_a_key_that_may_not_delete_does_not_let_kept_media_go_by_a_batch(client: Client, database: Any) -> None:
    medium = (await keep(client))["medium_id"]
    headers = await lesser_key(client, database, "detect:image")
    body: dict[str, Any] = {"items": [{"upload_id": medium}], "store": False}
    answer = await client.http.post("/v1/batches", headers=headers, json=body)
    assert (answer.status_code, answer.json().get("code")) == (403, "missing_scope")
    assert await rows(database, "SELECT id FROM batches") == []
    assert (await client.http.post("/v1/batches", headers=client.headers(), json=body)).status_code == 202
    del body["store"]
    assert (await client.http.post("/v1/batches", headers=headers, json=body)).status_code == 202


async def test_a_job_that_is_refused_leaves_its_medium_as_it_was(client: Client, database: Any) -> None:
    medium = (await keep(client))["medium_id"]
    await database.execute("UPDATE accounts SET daily_limit = 1")
    for store in (False, True):
        body = {"upload_id": medium, "store": store}
        answer = await client.http.post("/v1/jobs", headers=client.headers(), json=body)
        assert answer.status_code == 429, answer.text
        assert await standing(database, medium) == (True, False)
    await assert_meters_are_exact(database)


async def test_a_key_that_may_have_nothing_judged_hands_over_nothing(
    client: Client, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shelve(*_: object, **__: object) -> None:
        raise AssertionError("the file was taken in")

    monkeypatch.setattr(Shelf, "shelve", shelve)
    headers = await lesser_key(client, database, "history:read", "media:write")
    answer = await client.http.post("/v1/jobs", headers=headers, files={"file": ("a.jpg", JPEG)})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    answer = await client.http.post("/v1/jobs", headers=headers, json={"url": "http://127.0.0.1/a.jpg"})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
