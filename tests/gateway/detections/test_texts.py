"""Texts: as files, as whole bodies and within JSON, judged at once or by a job."""

from typing import Any

import httpx
import pytest

from bentos.contract import Modality
from gateway.detections.fakes import Script
from tests.fixtures.gateway import JPEG, Client

pytestmark = pytest.mark.integration

TEXT = "Wer hat das geschrieben? Ein Mensch, oder doch etwas anderes … ÄÖÜ\n" * 20


async def send(client: Client, **request: Any) -> httpx.Response:
    headers = client.headers() | request.pop("headers", {})
    return await client.http.post("/v1/detections", headers=headers, **request)


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF-8", '; charset="utf-8"'])
async def test_a_text_may_be_the_whole_body(client: Client, bentos: dict[Modality, Script], charset: str) -> None:
    answer = await send(client, content=TEXT.encode(), headers={"content-type": f"text/plain{charset}"})
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["modality"], view["media_type"], view["filename"]) == ("text", "text/plain", "text.txt")
    assert view["evidence"]["encoding"] == "utf-8"
    assert bentos[Modality.TEXT].calls == [len(TEXT.encode())]


async def test_json_says_of_a_text_what_a_form_says_of_a_file(client: Client, bentos: dict[Modality, Script]) -> None:
    asked = {"text": TEXT, "filename": "essays/one.md", "model": "other", "client_reference": "7", "tags": ["a", "b"]}
    view = (await send(client, json=asked)).json()
    assert (view["modality"], view["filename"], view["model"]) == ("text", "one.md", "other")
    assert (view["client_reference"], view["tags"]) == ("7", ["a", "b"])
    assert bentos[Modality.TEXT].calls == [len(TEXT.encode())]


async def test_a_verdict_on_a_text_may_be_repeated(client: Client) -> None:
    first = (await send(client, json={"text": TEXT})).json()
    again = (await send(client, json={"text": TEXT, "reuse": True})).json()
    assert again["cached_from"] == first["id"]


@pytest.mark.parametrize(
    ("name", "content", "announced"),
    [
        ("essay.txt", TEXT.encode(), "application/octet-stream"),
        ("README.md", TEXT.encode(), "application/octet-stream"),
        ("essay", TEXT.encode(), "text/plain; charset=utf-8"),
        ("essay.txt", TEXT.encode("utf-16"), "text/plain"),
        ("essay.txt", TEXT.encode("cp1252", "replace"), "text/plain"),
        ("cars.txt", b"BMW is a maker of cars, and its name begins as a bitmap does.", "text/plain"),
    ],
    ids=["txt", "md", "announced", "utf-16", "cp1252", "begins-as-a-bitmap"],
)
async def test_a_file_is_a_text_by_its_name_or_type(client: Client, name: str, content: bytes, announced: str) -> None:
    answer = await send(client, files={"file": (name, content, announced)})
    assert answer.json().get("modality") == "text", answer.text


async def test_a_page_that_is_called_a_picture_is_not_judged_as_a_text(client: Client) -> None:
    page = b"<html><body>404 Not Found</body></html>"
    answer = await send(client, files={"file": ("photo.jpg", page, "image/jpeg")})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert (await send(client, files={"file": ("photo.jpg", page)}, data={"modality": "text"})).status_code == 200


async def test_a_picture_stays_one_whatever_it_is_called(client: Client) -> None:
    assert (await client.detect(JPEG, name="notes.txt")).json()["modality"] == "image"


async def test_a_text_sent_again_under_its_key_is_one_detection(client: Client, bentos: dict[Modality, Script]) -> None:
    headers = {"idempotency-key": "one-text", "content-type": "text/plain"}
    first, second = [await send(client, content=TEXT.encode(), headers=headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    assert len(bentos[Modality.TEXT].calls) == 1
    other = await send(client, content=TEXT.encode() + b"!", headers=headers)
    assert other.json()["code"] == "idempotency_mismatch"


async def test_history_and_counts_know_texts(client: Client) -> None:
    await send(client, json={"text": TEXT})
    await client.detect(JPEG)
    listed = (await client.get("/v1/detections", params={"modality": "text"})).json()["data"]
    assert [one["modality"] for one in listed] == ["text"]
    stats = (await client.get("/v1/stats")).json()
    assert stats["modalities"]["text"]["total"] == stats["modalities"]["image"]["total"] == 1


async def test_a_text_may_be_handed_over_as_a_job(client: Client) -> None:
    headers = {"prefer": "respond-async", "content-type": "text/plain"}
    answer = await send(client, content=TEXT.encode(), headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["modality"] == "text"
