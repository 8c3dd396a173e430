"""Pages of the history: their filters, their cursors, their bounds."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from bentos.contract import Modality
from gateway.db.engine import open_database
from gateway.history.filters import Filters
from gateway.history.service import History
from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client, make_account
from tests.fixtures.history import account_of, add_detection, ago

pytestmark = pytest.mark.integration

DIGEST = bytes(range(32))


async def ids(client: Client, **params: Any) -> list[str]:
    """Ids on all pages."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        answer = await client.get("/v1/detections", params=params | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        seen += [entry["id"] for entry in answer.json()["data"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return seen


KEY_ID = uuid4()
ODD_ONE_OUT = [
    ({"modality": "video"}, {"modality": "video"}),
    ({"verdict": "FAKE", "p_fake": 0.9}, {"verdict": "FAKE"}),
    ({"verdict": "UNCERTAIN", "p_fake": 0.5}, {"verdict": "UNCERTAIN"}),
    ({"status": "failed"}, {"status": "failed"}),
    ({"status": "running"}, {"status": "running"}),
    ({"model": "other"}, {"model": "other"}),
    ({"version": 7}, {"version": 7}),
    ({"key_id": KEY_ID}, {"key_id": str(KEY_ID)}),
    ({"tags": ["a", "b c"]}, {"tag": "b c"}),
    ({"tags": ["a", "b c"]}, {"tag": ["a", "b c"]}),
    ({"client_reference": "ü 1"}, {"client_reference": "ü 1"}),
    ({"media_digest": DIGEST}, {"sha256": DIGEST.hex()}),
    ({"media_digest": DIGEST}, {"sha256": DIGEST.hex().upper()}),
    ({"deleted": True}, {"deleted": "true"}),
    ({"age": timedelta(hours=3)}, {"to": ago(hours=2)}),
    ({"age": timedelta(hours=3), "model": "other"}, {"to": ago(hours=2), "from": ago(hours=4), "model": "other"}),
]


@pytest.mark.parametrize(("different", "params"), ODD_ONE_OUT)
async def test_a_filter_finds_what_it_names_and_nothing_else(
    client: Client, database: Any, different: dict[str, Any], params: dict[str, Any]
) -> None:
    account = await account_of(database, client.key)
    await add_detection(database, account, tags=["a", "b"], client_reference="ü 12")
    odd = await add_detection(database, account, **different)
    await add_detection(database, account)
    stranger = await account_of(database, await make_account(database, "other@example.org"))
    await add_detection(database, stranger, **different)
    assert await ids(client, **params) == [odd]


async def test_filters_that_nothing_passes_together_find_nothing(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    await add_detection(database, account, modality="video")
    await add_detection(database, account, tags=["a"])
    assert await ids(client, modality="video", tag="a") == []


async def test_a_span_of_time_is_exact_to_the_microsecond(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    made = [await add_detection(database, account, age=timedelta(hours=age)) for age in (3, 2, 1)]
    rows = await (await database.execute("SELECT created_at FROM detections ORDER BY id")).fetchall()
    first, second, third = (row[0] for row in rows)
    a_moment = timedelta(microseconds=1)
    assert await ids(client, **{"from": second.isoformat()}) == [made[2], made[1]]
    assert await ids(client, **{"from": (second + a_moment).isoformat()}) == [made[2]]
    assert await ids(client, to=second.isoformat()) == [made[0]]
    assert await ids(client, to=(second + a_moment).isoformat()) == [made[1], made[0]]
    assert await ids(client, **{"from": first.isoformat(), "to": third.isoformat()}) == [made[1], made[0]]
    # Without an offset it is UTC.
    naive = second.replace(tzinfo=None).isoformat()
    assert await ids(client, **{"from": naive, "to": third.isoformat()}) == [made[1]]


@pytest.mark.parametrize(
    "params",
    [
        {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"},
        {"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-14:00"},
    ],
)
async def test_the_widest_span_holds_all(client: Client, database: Any, params: dict[str, str]) -> None:
    made = await add_detection(database, await account_of(database, client.key))
    assert await ids(client, **params) == [made]


async def test_a_cursor_is_a_place_whatever_the_filters(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    made = [await add_detection(database, account, modality="video" if n % 2 else "image") for n in range(6)]
    page = (await client.get("/v1/detections", params={"limit": 2})).json()
    assert [entry["id"] for entry in page["data"]] == made[5:3:-1]
    rest = await client.get("/v1/detections", params={"cursor": page["next_cursor"], "modality": "video"})
    assert [entry["id"] for entry in rest.json()["data"]] == [made[3], made[1]]
    assert rest.json()["next_cursor"] is None


async def test_a_full_page_at_the_end_names_no_further_one(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    for _ in range(4):
        await add_detection(database, account)
    page = (await client.get("/v1/detections", params={"limit": 4})).json()
    assert len(page["data"]) == 4
    assert page["next_cursor"] is None


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
@pytest.mark.parametrize("window", [1, 2, 7])
async def test_few_among_many_are_found_window_by_window(
    gateway_settings: GatewaySettings, database: Any, window: int, limit: int
) -> None:
    account = await account_of(database, await make_account(database))
    made = [
        await add_detection(database, account, modality="video" if n in (3, 4, 11, 17) else "image") for n in range(30)
    ]
    wanted = [made[n] for n in (17, 11, 4, 3)]
    filters = Filters(modality=Modality.VIDEO)
    async with open_database(gateway_settings) as gateway_database:
        history = History(gateway_database.pool, window=window)
        walked = [str(one.id) async for batch in history.walk(account, filters) for one in batch]
        assert walked == wanted
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(100):
            page = await history.page(account, filters, cursor=cursor, limit=limit)
            seen += [str(one.id) for one in page.data]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == wanted


async def test_a_page_looks_at_a_bounded_number_of_rows(gateway_settings: GatewaySettings, database: Any) -> None:
    account = await account_of(database, await make_account(database))
    oldest = await add_detection(database, account, modality="video")
    for _ in range(15):
        await add_detection(database, account)
    filters = Filters(modality=Modality.VIDEO)
    async with open_database(gateway_settings) as gateway_database:
        history = History(gateway_database.pool, window=1)
        first = await history.page(account, filters, cursor=None, limit=5)
        assert first.data == ()
        assert first.next_cursor is not None
        second = await history.page(account, filters, cursor=first.next_cursor, limit=5)
        assert [str(one.id) for one in second.data] == [oldest]
        assert second.next_cursor is None


BAD = [
    "modality=smell",
    "verdict=MAYBE",
    "status=done",
    "model=%00",
    "model=a/b",
    "version=0",
    "version=x",
    "version=99999999999999999999",
    "key_id=1",
    "tag=%00",
    "tag=" + "x" * 65,
    "&".join(f"tag={n}" for n in range(17)),
    "client_reference=%00",
    "client_reference=" + "x" * 256,
    "sha256=ab",
    "sha256=" + "g" * 64,
    "sha256=" + "a" * 64 + "%0a",
    "from=yesterday",
    "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    "deleted=perhaps",
]


async def test_a_bad_filter_is_400_for_lists_and_exports(client: Client) -> None:
    for query in BAD:
        for path in ("/v1/detections", "/v1/detections/export"):
            answer = await client.get(f"{path}?{query}")
            assert answer.status_code == 400, (query, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_reading_needs_its_scope_and_changing_its_own(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key))
    await database.execute("UPDATE api_keys SET scopes = '{detect:image}'")
    reads = ["", "/export", f"/{made}", f"/{made}/thumbnail"]
    answers = [await client.get(f"/v1/detections{path}") for path in reads] + [await client.get("/v1/stats")]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "missing_scope")}
    await database.execute("UPDATE api_keys SET scopes = '{history:read}'")
    answers = [await client.get(f"/v1/detections{path}") for path in reads[:3]] + [await client.get("/v1/stats")]
    assert {answer.status_code for answer in answers} == {200}
    writes: list[tuple[str, str, Any]] = [
        ("DELETE", "", None),
        ("POST", "/restore", None),
        ("PATCH", "", {"tags": []}),
        ("PUT", "/feedback", {"label": "real"}),
        ("DELETE", "/feedback", None),
    ]
    for method, path, body in writes:
        url = f"/v1/detections/{made}{path}"
        answer = await client.http.request(method, url, headers=client.headers(), json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope"), (method, path)


async def test_a_thumbnail_is_a_jpeg_to_be_saved_and_not_to_be_shown(client: Client, database: Any) -> None:
    account = await account_of(database, client.key)
    with_one = await add_detection(database, account, thumbnail=b"\xff\xd8\xff small")
    answer = await client.get(f"/v1/detections/{with_one}/thumbnail")
    assert answer.status_code == 200
    assert answer.content == b"\xff\xd8\xff small"
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == f'attachment; filename="{with_one}.jpg"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    without = await add_detection(database, account)
    in_bin = await add_detection(database, account, thumbnail=b"x", deleted=True)
    stranger = await account_of(database, await make_account(database, "other@example.org"))
    others = await add_detection(database, stranger, thumbnail=b"x")
    missing = await asyncio.gather(
        *(client.get(f"/v1/detections/{one}/thumbnail") for one in (without, in_bin, others, str(uuid4())))
    )
    assert {answer.status_code for answer in missing} == {404}


async def test_what_is_in_the_bin_is_not_read_by_itself(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key), deleted=True)
    assert UUID(made)
    assert (await client.get(f"/v1/detections/{made}")).status_code == 404
    (entry,) = (await client.get("/v1/detections?deleted=true")).json()["data"]
    assert entry["deleted_at"]
