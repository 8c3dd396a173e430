"""The bin, the labels and the feedback; whatever is done to the history, the counts by day are those of a recount."""

import asyncio
import random
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bentos.contract import ErrorBody, Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import JPEG, MP4, Client, make_account
from tests.fixtures.history import account_of, add_detection, assert_counts_are_exact

pytestmark = pytest.mark.integration


async def send(client: Client, method: str, path: str, body: Any = None) -> httpx.Response:
    return await client.http.request(method, f"/v1/detections/{path}", headers=client.headers(), json=body)


async def test_a_deleted_detection_leaves_lists_and_counts_and_comes_back(client: Client, database: Any) -> None:
    view = (await client.detect()).json()
    other = (await client.detect()).json()
    assert (await send(client, "PUT", f"{view['id']}/feedback", {"label": "real"})).status_code == 200
    for _ in range(2):
        answer = await send(client, "DELETE", view["id"])
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(f"/v1/detections/{view['id']}")).status_code == 404
    assert [one["id"] for one in (await client.get("/v1/detections")).json()["data"]] == [other["id"]]
    stats = (await client.get("/v1/stats")).json()
    assert (stats["total"], stats["rated_count"]) == (1, 0)
    # What was charged stays charged.
    assert await client.used() == 2
    await assert_counts_are_exact(database)
    for _ in range(2):
        restored = await send(client, "POST", f"{view['id']}/restore")
        assert restored.status_code == 200
        assert restored.json()["deleted_at"] is None
        assert restored.json()["feedback"]["label"] == "real"
    stats = (await client.get("/v1/stats")).json()
    assert (stats["total"], stats["rated_count"], stats["accuracy"]) == (2, 1, 100.0)
    await assert_counts_are_exact(database)


async def test_a_running_detection_cannot_be_deleted_or_rated(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key), status="running")
    answer = await send(client, "DELETE", made)
    assert (answer.status_code, answer.json()["code"]) == (409, "detection_running")
    answer = await send(client, "PUT", f"{made}/feedback", {"label": "real"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_verdict")
    assert (await send(client, "PATCH", made, {"tags": ["a"]})).json()["tags"] == ["a"]
    assert (await client.get(f"/v1/detections/{made}")).json()["status"] == "running"


async def test_a_failed_detection_can_be_deleted_but_not_rated(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key), status="failed")
    answer = await send(client, "PUT", f"{made}/feedback", {"label": "fake"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_verdict")
    assert (await send(client, "DELETE", made)).status_code == 204
    await assert_counts_are_exact(database)


async def test_labels_are_set_one_by_one_and_cleared(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key), tags=["old"], client_reference="r")
    view = (await send(client, "PATCH", made, {"tags": [" a ", "b", "a", ""]})).json()
    assert (view["tags"], view["client_reference"]) == (["a", "b"], "r")
    view = (await send(client, "PATCH", made, {"client_reference": " order 7 "})).json()
    assert (view["tags"], view["client_reference"]) == (["a", "b"], "order 7")
    view = (await send(client, "PATCH", made, {})).json()
    assert (view["tags"], view["client_reference"]) == (["a", "b"], "order 7")
    view = (await send(client, "PATCH", made, {"client_reference": None, "tags": []})).json()
    assert (view["tags"], view["client_reference"]) == ([], None)
    assert (await client.get(f"/v1/detections/{made}")).json() == view


async def test_feedback_is_replaced_and_withdrawn_and_moves_the_accuracy(
    client: Client, bentos: dict[Modality, Script], database: Any
) -> None:
    real = (await client.detect()).json()["id"]
    bentos[Modality.IMAGE].p_fake = 0.5
    fake = (await client.detect()).json()["id"]

    async def accuracy() -> tuple[int, float]:
        await assert_counts_are_exact(database)
        stats = (await client.get("/v1/stats")).json()
        return stats["rated_count"], stats["accuracy"]

    assert await accuracy() == (0, 0.0)
    answer = await send(client, "PUT", f"{real}/feedback", {"label": "real", "note": "seen it\nmyself"})
    assert answer.status_code == 200
    feedback = answer.json()["feedback"]
    assert (feedback["label"], feedback["note"]) == ("real", "seen it\nmyself")
    assert feedback["at"].endswith("Z")
    assert await accuracy() == (1, 100.0)
    # At 0.5 the two-way decision is fake, though the verdict is that it is uncertain.
    await send(client, "PUT", f"{fake}/feedback", {"label": "real"})
    assert await accuracy() == (2, 50.0)
    await send(client, "PUT", f"{fake}/feedback", {"label": "fake"})
    assert await accuracy() == (2, 100.0)
    await send(client, "PUT", f"{fake}/feedback", {"label": "unsure"})
    assert await accuracy() == (1, 100.0)
    view = (await send(client, "PUT", f"{real}/feedback", {"label": "fake"})).json()
    assert view["feedback"]["note"] is None
    assert await accuracy() == (1, 0.0)
    for _ in range(2):
        assert (await send(client, "DELETE", f"{real}/feedback")).status_code == 204
    assert (await client.get(f"/v1/detections/{real}")).json()["feedback"] is None
    assert await accuracy() == (0, 0.0)


BAD = [
    ("PATCH", "", {"client_reference": "x" * 256}),
    ("PATCH", "", {"client_reference": "a\u0000"}),
    ("PATCH", "", {"client_reference": 1}),
    ("PATCH", "", {"tags": None}),
    ("PATCH", "", {"tags": ["x" * 65]}),
    ("PATCH", "", {"tags": ["\u0000"]}),
    ("PATCH", "", {"tags": [str(n) for n in range(17)]}),
    ("PATCH", "", {"tags": "a"}),
    ("PATCH", "", {"verdict": "REAL"}),
    ("PATCH", "", {"account_id": str(uuid4())}),
    ("PATCH", "", []),
    ("PUT", "/feedback", {}),
    ("PUT", "/feedback", {"label": "maybe"}),
    ("PUT", "/feedback", {"label": "real", "note": "x" * 2001}),
    ("PUT", "/feedback", {"label": "real", "note": "a\u0000b"}),
    ("PUT", "/feedback", {"label": "real", "at": "2020-01-01T00:00:00Z"}),
]


async def test_what_cannot_be_kept_is_400_and_changes_nothing(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key), tags=["a"], client_reference="r")
    before = (await client.get(f"/v1/detections/{made}")).json()
    for method, path, body in BAD:
        answer = await send(client, method, f"{made}{path}", body)
        assert answer.status_code == 400, (body, answer.text)
    surrogate = b'{"label": "real", "note": "\\ud800"}'
    url = f"/v1/detections/{made}/feedback"
    headers = client.headers() | {"content-type": "application/json"}
    assert (await client.http.put(url, headers=headers, content=surrogate)).status_code == 400
    assert (await client.get(f"/v1/detections/{made}")).json() == before


async def test_another_accounts_detection_cannot_be_changed(client: Client, database: Any) -> None:
    stranger = await account_of(database, await make_account(database, "other@example.org"))
    theirs = await add_detection(database, stranger)
    in_their_bin = await add_detection(database, stranger, deleted=True)
    before = await (await database.execute("SELECT * FROM detections ORDER BY id")).fetchall()
    calls: list[tuple[str, str, Any]] = [
        ("DELETE", "", None),
        ("POST", "/restore", None),
        ("PATCH", "", {"tags": ["mine"]}),
        ("PUT", "/feedback", {"label": "real"}),
        ("DELETE", "/feedback", None),
    ]
    for one in (theirs, in_their_bin, str(uuid4())):
        for method, path, body in calls:
            answer = await send(client, method, f"{one}{path}", body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await (await database.execute("SELECT * FROM detections ORDER BY id")).fetchall() == before


async def test_what_is_in_the_bin_can_only_be_restored(client: Client, database: Any) -> None:
    made = await add_detection(database, await account_of(database, client.key), deleted=True)
    for method, path, body in (
        ("PATCH", "", {"tags": []}),
        ("PUT", "/feedback", {"label": "real"}),
        ("DELETE", "/feedback", None),
    ):
        assert (await send(client, method, f"{made}{path}", body)).status_code == 404
    assert (await send(client, "POST", f"{made}/restore")).status_code == 200


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_whatever_was_done_the_counts_are_those_of_a_recount(
    client: Client, bentos: dict[Modality, Script], database: Any, seed: int
) -> None:
    await database.execute("UPDATE accounts SET burst_limit = NULL, daily_limit = NULL")
    chance = random.Random(seed)  # noqa: S311 - Made-up traffic.
    account = await account_of(database, client.key)
    other = Client(client.http, await make_account(database, "other@example.org"))
    made = [
        await add_detection(
            database,
            account,
            age=timedelta(days=chance.randrange(4)),
            modality=chance.choice(["image", "video"]),
            key_id=chance.choice([None, uuid4()]),
            status=chance.choice(["succeeded", "failed"]),
        )
        for _ in range(10)
    ]

    async def detect() -> None:
        modality = chance.choice([Modality.IMAGE, Modality.VIDEO])
        bentos[modality].p_fake = chance.choice([0.1, 0.499, 0.5, 0.51, 0.9])
        bentos[modality].refusal = chance.choice([None, None, (400, ErrorBody(code="unreadable_media", message="No."))])
        caller = chance.choice([client, other])
        answer = await caller.detect(JPEG if modality is Modality.IMAGE else MP4)
        if answer.status_code == 200 and caller is client:
            made.append(answer.json()["id"])

    async def change() -> None:
        one = chance.choice(made)
        feedback = {"label": chance.choice(["real", "fake", "unsure"])}
        method, path, body = chance.choice(
            [
                ("DELETE", "", None),
                ("POST", "/restore", None),
                ("PUT", "/feedback", feedback),
                ("PUT", "/feedback", feedback),
                ("DELETE", "/feedback", None),
                ("PATCH", "", {"tags": ["x"]}),
            ]
        )
        answer = await send(client, method, f"{one}{path}", body)
        assert answer.status_code in {200, 204, 404, 409}, answer.text

    for _ in range(40):
        # Several at a time, often of the same detection and always of the same days.
        await asyncio.gather(*(chance.choice([detect, change, change])() for _ in range(8)))
    await assert_counts_are_exact(database)
    rows = await (await database.execute("SELECT count(*) FROM detections WHERE feedback IS NOT NULL")).fetchone()
    assert rows[0] > 0
