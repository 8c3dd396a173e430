"""Lists page by page, exports as they come."""

import json

import pytest
from aiohttp import web

from bonafide_client import ConnectionLostError, NotFoundError, UnavailableError
from tests.fixtures.clients import DETECTION, answer, hang_up, problem


def page(*names: str, cursor: str | None = None):
    return answer({"data": [DETECTION | {"filename": name} for name in names], "next_cursor": cursor})


async def test_a_list_goes_on_over_all_pages_even_empty_ones(either, wayward):
    wayward.will(page("a", "b", cursor="one"), page(cursor="two"), page("c"))

    found = await either.all(either.client(wayward.url).detections.list(limit=2, verdict="FAKE", tags=["x", "y"]))

    assert [one.filename for one in found] == ["a", "b", "c"]
    asked = [("limit", "2"), ("verdict", "FAKE"), ("tag", "x"), ("tag", "y")]
    assert [call.query for call in wayward.received] == [
        asked,
        [*asked, ("cursor", "one")],
        [*asked, ("cursor", "two")],
    ]


async def test_pages_can_be_had_one_by_one_and_continued_later(either, wayward):
    wayward.will(page("a", cursor="one"), page("b"))
    client = either.client(wayward.url)

    first = await either(client.detections.list().first)
    rest = await either.all(client.detections.list(cursor=first.next_cursor).pages())

    assert [one.filename for one in first.data] == ["a"]
    assert [[one.filename for one in page.data] for page in rest] == [["b"]]
    assert wayward.received[1].query == [("cursor", "one")]


async def test_a_page_is_asked_for_only_when_it_is_needed(either, wayward):
    wayward.will(page("a", "b", cursor="one"))
    many = either.client(wayward.url).detections.list()

    if either.blocking:
        found = await either(lambda: next(iter(many)))
    else:
        found = await anext(aiter(many))

    assert found.filename == "a"
    assert len(wayward.received) == 1


async def test_a_page_that_fails_is_asked_for_again(either, wayward):
    wayward.will(page("a", cursor="one"), hang_up, problem(503, "database_unavailable"), page("b"))

    assert len(await either.all(either.client(wayward.url).detections.list())) == 2


def export(*pieces: bytes, whole: bool = True):
    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/jsonl"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if not whole:
            request.transport.abort()
        return response

    return reply


LINES = [json.dumps({"n": 1, "note": "a\u2028b"}, ensure_ascii=False), json.dumps({"n": 2}), '{"n": 3}']
BODY = "\n".join(LINES).encode()


async def test_an_export_is_read_line_by_line(either, wayward):
    wayward.will(export(BODY[:7], BODY[7:25], BODY[25:]))

    async with either.opened(either.client(wayward.url).detections.export) as stream:
        assert await either.all(stream.lines()) == LINES

    assert wayward.received[0].query == [("format", "jsonl")]


async def test_an_export_is_saved_as_it_comes(either, wayward, tmp_path):
    wayward.will(problem(503, "overloaded"), export(BODY, b"\n"))

    async with either.opened(either.client(wayward.url).detections.export, "csv", modality="audio") as stream:
        written = await either(stream.save, tmp_path / "export.jsonl")

    assert (tmp_path / "export.jsonl").read_bytes() == BODY + b"\n"
    assert written == len(BODY) + 1
    assert wayward.received[1].query == [("format", "csv"), ("modality", "audio")]


async def test_an_export_that_breaks_off_says_so(either, wayward):
    wayward.will(export(BODY, whole=False))

    async with either.opened(either.client(wayward.url).detections.export) as stream:
        with pytest.raises(ConnectionLostError):
            await either.all(stream)


async def test_a_refused_export_is_an_error_like_any_other(either, wayward):
    wayward.will(problem(404, "not_found"))
    client = either.client(wayward.url)

    with pytest.raises(NotFoundError):
        await either(client.account.export)


async def test_an_export_is_not_asked_for_for_ever(either, wayward):
    wayward.otherwise = problem(503, "overloaded")

    with pytest.raises(UnavailableError):
        await either(either.client(wayward.url).detections.export)
